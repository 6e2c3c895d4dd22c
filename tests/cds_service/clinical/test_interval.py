"""Numbers, bounds and ranges against an interval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.clinical.interval import beyond, side
from fhir_adapter.model import Interval, Quantity, Span


def _interval(low: float | None, high: float | None, **more: bool) -> Interval:
    return Interval(low, high, "u", "lab", **more)


@pytest.mark.parametrize(("number", "where"), [(3.4, "L"), (3.5, "N"), (4.0, "N"), (5.1, "N"), (5.2, "H")])
def test_limits_belong_to_the_interval(number: float, where: str) -> None:
    assert side(Quantity(number), _interval(3.5, 5.1)) == where


def test_unless_it_says_otherwise() -> None:
    assert side(Quantity(200), _interval(None, 200, high_inclusive=False)) == "H"
    assert side(Quantity(60), _interval(60, None, low_inclusive=False)) == "L"


@pytest.mark.parametrize(
    ("comparator", "number", "low", "high", "where"),
    [
        ("<", 0.01, 0, 0.04, "N"),
        ("<", 0.01, None, 0.01, "N"),
        ("<", 5, 5, 10, "L"),
        ("<=", 5, 5, 10, None),
        ("<", 7, 5, 10, None),
        ("<", 20, 0, 10, None),
        (">", 2000, 0, 500, "H"),
        (">", 10, 0, 10, "H"),
        (">=", 10, 0, 10, None),
        (">", 60, 60, None, "N"),
        (">", 60, 90, None, None),
        (">", 5, 0, 10, None),
    ],
)
def test_bounds(comparator: str, number: float, low: float | None, high: float | None, where: str | None) -> None:
    assert side(Quantity(number, comparator=comparator), _interval(low, high)) == where  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "where"), [(0, 2, "N"), (3, 5, "H"), (10, 40, "H"), (2, 5, "H"), (1, 3, None), (6, None, "H")]
)
def test_ranges(low: float, high: float | None, where: str | None) -> None:
    limit = 10 if low == 10 else 2
    assert side(Span(low, high), _interval(0, limit)) == where


def test_past_a_critical_limit_means_beyond_it() -> None:
    limits = _interval(2.5, 6.2)
    assert beyond(Quantity(6.2), limits) is None
    assert beyond(Quantity(6.3), limits) == "HH"
    assert beyond(Quantity(2.4), limits) == "LL"
    assert beyond(Quantity(7, comparator=">"), limits) == "HH"
    assert beyond(Quantity(5, comparator=">"), limits) is None


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(-1e6, 1e6), st.sampled_from(["<", "<=", ">", ">="]))
def test_a_bound_never_says_more_than_every_number_it_allows(
    low: float, width: float, number: float, sign: str
) -> None:
    interval = _interval(low, low + width)
    found = side(Quantity(number, comparator=sign), interval)  # type: ignore[arg-type]
    if found in ("L", "H"):
        inside = number - 1.0 if sign.startswith("<") else number + 1.0
        assert side(Quantity(inside), interval) == found
