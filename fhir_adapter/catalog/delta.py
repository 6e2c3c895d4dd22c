"""How far a result may move from the one before it: a reference change value, a step, a share, each within a time.

A reference change value is computed from the variation within a person (``cvi``) and of the measurement (``cva``), both in per
cent, for a chance of 5 % on both sides. Large variations are skewed, so the logarithms are taken: a rise may be larger than a
fall (Fokkema MR, et al. Clin Chem 2006;52:1602-3). Where no ``cva`` is given, half the ``cvi`` is taken, which laboratories
are meant to reach (Fraser CG, Petersen PH. Clin Chem 1993;39:1447-55).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Meaning = Literal["change", "event", "sample"]
"""What reaching a limit says: more than chance; a step by which a guideline names an event; a step so rare in one person that
sample and patient want a check."""
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)

KEYS = frozenset(
    [
        "rise",
        "fall",
        "change",
        "rise_percent",
        "fall_percent",
        "change_percent",
        "cvi",
        "cva",
        "hours",
        "days",
        "means",
        "source",
    ]
)
DEFAULT_HOURS = 365 * 24.0
"""How far back the earlier result may lie where a limit doesn't say: studies of variation span weeks to months of a steady
state; a year is ours."""
DEFAULT_PERCENT = 20.0
"""The change worth a line where the catalog has no limit for an analyte."""
_Z = 1.96 * math.sqrt(2)
_EPSILON = 1e-9
"""Differences of decimal numbers: 1.3 - 1.0 must reach 0.3."""


@dataclass(frozen=True, slots=True)
class DeltaLimit:
    """Steps in the canonical unit, shares of the earlier number (0.5: by half). Of a direction, all that is given must be reached;
    a direction without a step or a share has no limit."""

    means: Meaning
    source: str
    hours: float = DEFAULT_HOURS
    rise: float | None = None
    fall: float | None = None
    rise_share: float | None = None
    fall_share: float | None = None
    cvi: float | None = None
    cva: float | None = None

    @property
    def in_steps(self) -> bool:
        """Whether it needs numbers in the canonical unit."""
        return self.rise is not None or self.fall is not None

    def reached(self, now: float, was: float) -> bool:
        """Whether the change between two numbers, in the canonical unit, reaches it."""
        moved = now - was
        step, share = (self.rise, self.rise_share) if moved > 0 else (self.fall, self.fall_share)
        if moved == 0 or (step is None and share is None):
            return False
        size = abs(moved) * (1 + _EPSILON)
        return (step is None or size >= step) and (share is None or (was != 0 and size >= share * abs(was)))


def read_limit(one: Mapping[str, Any], source: str) -> tuple[DeltaLimit, list[str]]:
    """A limit from its table, and what is wrong with the table. ``change`` and ``change_percent`` are for both directions."""
    faults = [f"unknown key {key} of a delta limit" for key in sorted(set(one) - KEYS)]
    faults += [
        f"{key} of a delta limit must be a positive number"
        for key in sorted(KEYS & set(one) - {"means", "source"})
        if not isinstance(one[key], int | float) or isinstance(one[key], bool) or not 0 < one[key] < math.inf
    ]
    means = one.get("means", "change")
    if means not in MEANINGS:
        faults.append(f"means of a delta limit must be one of {', '.join(MEANINGS)}")
    if "hours" in one and "days" in one:
        faults.append("a delta limit is within hours or within days")
    for both, each in (("change", ("rise", "fall")), ("change_percent", ("rise_percent", "fall_percent", "cvi"))):
        if both in one and set(each) & set(one):
            faults.append(f"{both} of a delta limit is for both directions")
    if "cvi" in one and {"rise_percent", "fall_percent"} & set(one):
        faults.append("cvi of a delta limit gives its own percentages")
    if "cva" in one and "cvi" not in one:
        faults.append("cva of a delta limit without its cvi")
    if not set(one) & (KEYS - {"cva", "hours", "days", "means", "source"}):
        faults.append("a delta limit without a limit")
    if faults:
        return DeltaLimit("change", source), faults
    rise_share, fall_share = _shares(one)
    if fall_share is not None and fall_share > 1:
        faults.append("nothing falls by more than 100 %")
    return (
        DeltaLimit(
            means,
            source,
            float(one.get("hours", one["days"] * 24 if "days" in one else DEFAULT_HOURS)),
            _float(one.get("rise", one.get("change"))),
            _float(one.get("fall", one.get("change"))),
            rise_share,
            fall_share,
            _float(one.get("cvi")),
            _float(one.get("cva", one["cvi"] / 2 if "cvi" in one else None)),
        ),
        faults,
    )


def _shares(one: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if "cvi" in one:
        cvi, cva = float(one["cvi"]), float(one.get("cva", one["cvi"] / 2))
        return reference_change(cvi, cva)
    rise = one.get("rise_percent", one.get("change_percent"))
    fall = one.get("fall_percent", min(one["change_percent"], 100) if "change_percent" in one else None)
    return (None if rise is None else rise / 100), (None if fall is None else fall / 100)


def reference_change(cvi: float, cva: float) -> tuple[float, float]:
    """(rise, fall) as shares of the earlier number, from variations in per cent."""
    sigma = math.sqrt(sum(math.log(1 + (cv / 100) ** 2) for cv in (cvi, cva)))
    return math.exp(_Z * sigma) - 1, 1 - math.exp(-_Z * sigma)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
