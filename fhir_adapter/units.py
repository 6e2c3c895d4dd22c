"""Units: what laboratories write, as UCUM, and the factor from one unit to another. Never a guess.

The units that laboratories use are handled here without help; other UCUM codes go to ucumvert and pint, which are
imported only then (about a second, once).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from fhir_adapter.unit_algebra import measure, ratio
from fhir_adapter.unit_names import MAX_LENGTH, known_spelling

_SAFE = re.compile(r"^[A-Za-z0-9%\[\](){}./*^'_+\-:]{1,40}$")
_BIG = re.compile(r"\d{7}|(?<=[*^])[+-]?\d{3}|(?<=[A-Za-z\])])[+-]?\d{2}")
_GUARDED = re.compile(r"mol|eq|osm|kat|(?<![A-Za-z])[kmun]?U(?![A-Za-z])|\[[^\]]*\]|\{[^}]*\}")
_CONVERTIBLE_BRACKETS = re.compile(r"\[(?:in|ft|yd|mi|lb|oz|dr|gr|gal|qt|pt|foz|ly|pi|c|h|k|g|deg|cal|mu|eps)[^\]]*\]")


@lru_cache(maxsize=8192)
def normalize_unit(text: str | None) -> str | None:
    """The UCUM code of what a laboratory wrote ("K/uL" -> "10*3/uL", "µkat/L" -> "ukat/L").

    A valid UCUM code stays as it is, unless there is a usual one for it. None for no unit, for one that says there is
    none ("N/A"), and for one not known. "ratio" and "INR" are the unit one, "1".
    """
    if text is None or len(text) > MAX_LENGTH:
        return None
    known = known_spelling(text)
    if known is not None:
        return known or None
    code = text.strip()
    if measure(code) is not None:
        return code
    return code if _parsed(code) is not None else None


def convert(
    number: float, from_unit: str, to_unit: str, *, molar_mass: float | None = None, valence: int | None = None
) -> float | None:
    """A number in another unit; None where units are unknown or don't measure the same. See :func:`factor`."""
    found = factor(from_unit, to_unit, molar_mass=molar_mass, valence=valence)
    return None if found is None else number * found


@lru_cache(maxsize=16384)
def factor(
    from_unit: str | None, to_unit: str | None, molar_mass: float | None = None, valence: int | None = None
) -> float | None:
    """What to multiply a number in ``from_unit`` by to have it in ``to_unit``.

    The same text gives 1 unparsed. Mass and substance convert only with ``molar_mass`` (g/mol), equivalents and
    substance only with ``valence``. Arbitrary units convert to nothing but themselves; IU and U count as one, as
    enzyme laboratories use them (1 U = 1 umol/min = 1/60 ukat). Temperatures and logarithms, which take more than a
    factor, give None.
    """
    if not from_unit or not to_unit:
        return None
    if from_unit == to_unit:
        return 1.0
    one, other = normalize_unit(from_unit), normalize_unit(to_unit)
    if one is None or other is None:
        return None
    if one == other:
        return 1.0
    first, second = measure(one), measure(other)
    if first is not None and second is not None:
        return ratio(first, second, molar_mass, valence)
    return _by_ucumvert(one, other)


def _by_ucumvert(one: str, other: str) -> float | None:
    if _guarded(one) != _guarded(other):
        return None
    first, second = _parsed(one), _parsed(other)
    if first is None or second is None:
        return None
    try:
        if not (first._is_multiplicative and second._is_multiplicative):
            return None
        found = float((first / second).to("dimensionless").magnitude)
    except Exception:  # pint raises many types (dimensions, offsets, logarithms, overflow): all mean "can't convert"
        return None
    return found if 0 < abs(found) < float("inf") else None


def _guarded(code: str) -> frozenset[str]:
    """The kinds that pint would let cancel; they must be the same on both sides."""
    found = (text for text in _GUARDED.findall(code) if not _CONVERTIBLE_BRACKETS.fullmatch(text))
    return frozenset("U" if text.endswith("U") else text for text in found)


@lru_cache(maxsize=4096)
def _parsed(code: str) -> Any:
    """A pint quantity of a UCUM code, or None. Sizes are bounded first: a unit is no place for big arithmetic."""
    if not _SAFE.match(code) or _BIG.search(code) or code.count("(") > 4:
        return None
    registry = _registry()
    try:
        quantity = registry.from_ucum(code)
        return quantity if hasattr(quantity, "units") else registry.Quantity(quantity)
    except Exception:  # the parser raises many types (lark's, pint's, its own): all mean "not UCUM"
        return None


@lru_cache(maxsize=1)
def _registry() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ucumvert import PintUcumRegistry

        return PintUcumRegistry()
