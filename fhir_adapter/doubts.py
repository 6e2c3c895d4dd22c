"""What an interval's digits mean where they leave doubt: whether "4,000" is thousands, "0-0" an interval, "4000-11000 /mm3" one of blood.
The unit or what is usual for the test decides, never a guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from fhir_adapter.catalog import Analyte
from fhir_adapter.interval_text import Bounds
from fhir_adapter.model import Quantity
from fhir_adapter.values import counts_cells

_MAYBE_GROUPED = re.compile(r"[1-9]\d{0,2}\.\d{3}\Z")
_ROUND = re.compile(r"(?:[<>≤≥]\s*)?\d{1,3}\.000(?:-\d{1,3}\.000)?")
"""Decimals that are all zero are rather thousands: "150.000-400.000"."""
Scale = tuple[float, float]


def counted(value: Quantity, unit: str | None) -> Quantity:
    """The same, or a thousand times that where "7.800" are cells in a microlitre."""
    if not _MAYBE_GROUPED.match(value.text) or not counts_cells(unit):
        return value
    return replace(value, number=round(value.number * 1000))


def settled(
    own: Sequence[Bounds], unit: str | None, analyte: Analyte | None, scales: Mapping[str | None, Scale | None]
) -> list[Bounds]:
    """A laboratory's intervals without doubt of what their digits mean; one that stays in doubt is left out, unless a point
    is its sign and something stands after it: that is nearly everywhere the decimal one."""
    made = []
    for bound in own:
        if bound.grouped is None:
            made.append(bound)
            continue
        said = bound.unit or unit
        many = _times_thousand(bound)
        if counts_cells(said):
            made.append(many)
            continue
        scale = scales.get(said)
        few_fit, many_fit = (_usual(one, analyte, scale) for one in (bound, many))
        if many_fit and not few_fit:
            made.append(many)
        elif (few_fit and not many_fit) or (bound.grouped == "." and not _ROUND.fullmatch(bound.text)):
            made.append(bound)
    return made


def _times_thousand(bound: Bounds) -> Bounds:
    low, high = (None if limit is None else limit * 1000 for limit in (bound.low, bound.high))
    return replace(bound, low=low, high=high, grouped=None)


def _usual(bound: Bounds, analyte: Analyte | None, scale: Scale | None) -> bool:
    """Whether it overlaps any usual interval of the test."""
    if analyte is None or scale is None:
        return False
    low = None if bound.low is None else bound.low * scale[0] + scale[1]
    high = None if bound.high is None else bound.high * scale[0] + scale[1]
    return any(
        (low is None or usual.high is None or low <= usual.high)
        and (high is None or usual.low is None or high >= usual.low)
        for usual in analyte.intervals
    )


def placeholder(bound: Bounds, analyte: Analyte | None) -> bool:
    """Whether 0-0 stands where a system has no interval to send: nobody's potassium should be zero. For what shouldn't be there
    at all (blasts, casts) it is an interval."""
    if analyte is None or bound.low != 0 or bound.high != 0:
        return False
    return any(usual.low is not None and usual.low > 0 for usual in analyte.intervals)


def ph_of_blood(bound: Bounds) -> bool:
    """Whether an interval of a bare "pH" is blood's, which is narrow: urine's, stomach's and effusions' lie elsewhere or reach wider."""
    return bound.low is not None and bound.high is not None and 7.25 <= bound.low < 7.4 <= bound.high <= 7.5


def like_usual(bound: Bounds, analyte: Analyte, scale: Scale) -> bool:
    """Whether an interval with two limits is about a usual one: each limit within half and twice of that one's."""
    if bound.grouped is not None:
        return any(like_usual(replace(one, grouped=None), analyte, scale) for one in (bound, _times_thousand(bound)))
    if bound.low is None or bound.high is None:
        return False
    low, high = bound.low * scale[0] + scale[1], bound.high * scale[0] + scale[1]
    return any(
        usual.low is not None
        and usual.high is not None
        and usual.low / 2 <= low <= usual.low * 2
        and usual.high / 2 <= high <= usual.high * 2
        for usual in analyte.intervals
    )
