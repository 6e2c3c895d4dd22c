"""UCUM codes as a factor and dimensions, for the units laboratories use; exact, without importing anything slow.

Covers codes of prefix, atom, exponent, ".", "/" and annotations, without parentheses. Whatever else comes is left to ucumvert.
Each factor is held against ucumvert by a test.

Kinds of quantity that UCUM (or pint) would let cancel are kept apart on purpose: amount of substance, equivalents,
osmoles, catalytic activity, pH, microscope fields, and each arbitrary unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

Dimensions = tuple[tuple[str, int], ...]

_MASS, _LENGTH, _TIME = ("g", 1), ("m", 1), ("s", 1)
_ATOMS: dict[str, tuple[Fraction, Dimensions]] = {
    "g": (Fraction(1), (_MASS,)),
    "m": (Fraction(1), (_LENGTH,)),
    "s": (Fraction(1), (_TIME,)),
    "min": (Fraction(60), (_TIME,)),
    "h": (Fraction(3600), (_TIME,)),
    "d": (Fraction(86400), (_TIME,)),
    "L": (Fraction(1, 1000), (("m", 3),)),
    "l": (Fraction(1, 1000), (("m", 3),)),
    "mol": (Fraction(1), (("mol", 1),)),
    "eq": (Fraction(1), (("eq", 1),)),
    "osm": (Fraction(1), (("osm", 1),)),
    "kat": (Fraction(1), (("kat", 1),)),
    "U": (Fraction(1, 60_000_000), (("kat", 1),)),
    "[IU]": (Fraction(1, 60_000_000), (("kat", 1),)),
    "[iU]": (Fraction(1, 60_000_000), (("kat", 1),)),
    "Pa": (Fraction(1000), (("g", 1), ("m", -1), ("s", -2))),
    "m[Hg]": (Fraction(133322000), (("g", 1), ("m", -1), ("s", -2))),
    "[HPF]": (Fraction(1), (("hpf", 1),)),
    "[LPF]": (Fraction(1), (("lpf", 1),)),
    "[pH]": (Fraction(1), (("pH", 1),)),
    "%": (Fraction(1, 100), ()),
    "[GPL'U]": (Fraction(1), (("gpl", 1),)),
    "[MPL'U]": (Fraction(1), (("mpl", 1),)),
    "[arb'U]": (Fraction(1), (("arb", 1),)),
}
"""1 U = 1 umol/min = 1/60 ukat; [IU] stands for U, as laboratories use them for enzymes."""
_PREFIXES = {
    "T": Fraction(10**12),
    "G": Fraction(10**9),
    "M": Fraction(10**6),
    "k": Fraction(1000),
    "d": Fraction(1, 10),
    "c": Fraction(1, 100),
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
    "p": Fraction(1, 10**12),
    "f": Fraction(1, 10**15),
}
_METRIC = frozenset({"g", "m", "s", "L", "l", "mol", "eq", "osm", "kat", "U", "[IU]", "[iU]", "Pa", "m[Hg]"})
_PART = re.compile(
    r"^(?P<body>10\*-?\d{1,2}|10\^-?\d{1,2}|\d{1,9}|[A-Za-z%\[\]']*?)(?P<exponent>-?[1-9])?(?P<note>\{[^{}]*\})?$"
)
_BENIGN = re.compile(
    r"\{(?:cells?|#|rbc|wbc|wbcs|leukocytes|platelets|count|creat|creatinine|hb|hgb|hemoglobin|total|ratio|index|inr)\}",
    re.IGNORECASE,
)
"""Annotations that name what is counted and don't change what the number means."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A unit: ``factor`` to base units, ``dimensions`` sorted, ``notes`` that must agree."""

    factor: Fraction
    dimensions: Dimensions
    notes: tuple[str, ...]

    def power(self, name: str) -> int:
        """The exponent of a dimension, 0 where absent."""
        return next((exponent for found, exponent in self.dimensions if found == name), 0)


@lru_cache(maxsize=1024)
def measure(code: str) -> Measure | None:
    """What a UCUM code measures, or None where this small algebra can't tell."""
    factor = Fraction(1)
    powers: dict[str, int] = {}
    notes: list[str] = []
    seen_mol = False
    sign = 1
    for index, part in enumerate(re.split(r"([./](?![^{]*\}))", code)):
        if part in (".", "/"):
            sign = -1 if part == "/" else 1
            continue
        if not part and index == 0:
            continue
        piece = _piece(part)
        if piece is None:
            return None
        size, dimensions, note = piece
        factor *= size**sign
        for name, exponent in dimensions:
            seen_mol |= name == "mol"
            powers[name] = powers.get(name, 0) + exponent * sign
        if note:
            notes.append(f"{sign}{note}")
    if seen_mol and not powers.get("mol"):
        powers["mol/mol"] = 1
    kept = tuple(sorted((name, exponent) for name, exponent in powers.items() if exponent))
    return Measure(factor, kept, tuple(sorted(notes)))


def _piece(part: str) -> tuple[Fraction, Dimensions, str | None] | None:
    match = _PART.match(part)
    if match is None:
        return None
    body, note = match["body"], match["note"]
    note = None if note is None or _BENIGN.fullmatch(note) else note
    exponent = int(match["exponent"] or 1)
    if not body:
        return (Fraction(1), (), note) if match["note"] and not match["exponent"] else None
    if body[0].isdigit():
        if match["exponent"] and not body.startswith("10"):
            return None
        number = Fraction(10) ** int(body[3:]) if body[2:3] in ("*", "^") else Fraction(body)
        return (number**exponent, (), note) if number else None
    found = _ATOMS.get(body)
    if found is None:
        size = _PREFIXES.get(body[0])
        found = _ATOMS.get(body[1:]) if size is not None and body[1:] in _METRIC else None
        if found is None or size is None:
            return None
        found = (found[0] * size, found[1])
    return found[0] ** exponent, tuple((name, power * exponent) for name, power in found[1]), note


def ratio(one: Measure, other: Measure, molar_mass: float | None, valence: int | None) -> float | None:
    """Factor from one to the other; None where they measure different things or the bridge between them is missing.

    ``molar_mass`` in g/mol bridges mass and substance, ``valence`` equivalents and substance; both only where they
    stand once, over the fraction line.
    """
    if one.notes != other.notes:
        return None
    if one.dimensions == other.dimensions:
        return float(one.factor / other.factor)
    there, back = _in_substance(one, molar_mass, valence), _in_substance(other, molar_mass, valence)
    if there is None or back is None or there[1] != back[1]:
        return None
    return float(there[0] / back[0])


def _in_substance(
    unit: Measure, molar_mass: float | None, valence: int | None
) -> tuple[Fraction, frozenset[tuple[str, int]]] | None:
    kinds = [(name, unit.power(name)) for name in ("mol", "eq", "g") if unit.power(name)]
    if len(kinds) != 1 or kinds[0][1] != 1:
        return None
    kind = kinds[0][0]
    rest = frozenset(pair for pair in unit.dimensions if pair[0] != kind)
    if kind == "mol":
        return unit.factor, rest
    if kind == "eq":
        return (unit.factor / abs(valence), rest) if valence else None
    if molar_mass is None or molar_mass <= 0:
        return None
    return unit.factor / Fraction(molar_mass).limit_denominator(10**6), rest
