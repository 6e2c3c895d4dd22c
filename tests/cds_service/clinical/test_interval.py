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
        ("<", -5, -2, 2, "L"),
        ("<", 1, -2, 2, None),
        ("<=", 0, 0, 5, "N"),
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


@pytest.mark.parametrize(
    ("low", "high", "where"),
    [(5, 10, None), (10, 10, "H"), (4, 5, "L"), (None, 9, None), (None, 1, "L"), (20, 10, None), (5.1, 9, "N")],
)
def test_ranges_at_limits_that_do_not_belong_to_the_interval(
    low: float | None, high: float | None, where: str | None
) -> None:
    assert side(Span(low, high), _interval(5, 10, low_inclusive=False, high_inclusive=False)) == where


def test_what_nothing_limits_is_not_called_normal() -> None:
    nothing = _interval(None, None)
    for value in (Quantity(3), Quantity(3, comparator="<"), Quantity(3, comparator=">"), Span(1, 2)):
        assert side(value, nothing) is None
    assert side(Quantity(float("nan")), _interval(1, 2)) is None


@pytest.mark.parametrize(("low", "high", "inclusive"), [(5, 5, False), (6, 5, True)])
def test_an_interval_that_holds_nothing_calls_nothing_abnormal(low: float, high: float, inclusive: bool) -> None:
    empty = _interval(low, high, low_inclusive=inclusive)
    for value in (Quantity(5), Quantity(9), Quantity(9, comparator=">"), Quantity(1, comparator="<"), Span(7, 9)):
        assert side(value, empty) is None
    assert side(Quantity(5), _interval(5, 5)) == "N"


def test_past_a_critical_limit_means_beyond_it() -> None:
    limits = _interval(2.5, 6.2)
    assert beyond(Quantity(6.2), limits) is None
    assert beyond(Quantity(6.3), limits) == "HH"
    assert beyond(Quantity(2.4), limits) == "LL"
    assert beyond(Quantity(7, comparator=">"), limits) == "HH"
    assert beyond(Quantity(5, comparator=">"), limits) is None


_SIGNS = st.sampled_from(["<", "<=", ">", ">="])


@given(
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.floats(-1e6, 1e6),
    _SIGNS,
    st.floats(0, 2e6),
    st.booleans(),
    st.booleans(),
)
def test_a_bound_never_says_more_than_every_number_it_allows(
    low: float, width: float, bound: float, sign: str, away: float, takes_low: bool, takes_high: bool
) -> None:
    """Whatever number a bound leaves open, its own verdict is the bound's; under a low limit of zero none is left open."""
    interval = _interval(low, low + width, low_inclusive=takes_low, high_inclusive=takes_high)
    found = side(Quantity(bound, comparator=sign), interval)  # type: ignore[arg-type]
    number = bound - away if sign.startswith("<") else bound + away
    allowed = number != bound or sign in ("<=", ">=")
    if found is not None and allowed and not (sign.startswith("<") and low == 0 and number < 0):
        assert side(Quantity(number), interval) == found


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_a_range_called_normal_holds_only_normal_numbers(
    low: float, width: float, start: float, length: float, part: float
) -> None:
    interval = _interval(low, low + width)
    if side(Span(start, start + length), interval) == "N":
        assert side(Quantity(min(start + part * length, start + length)), interval) == "N"
