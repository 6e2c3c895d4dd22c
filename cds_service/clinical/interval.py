"""A number, a bound or a range against an interval."""

from __future__ import annotations

from typing import Literal

from fhir_adapter.model import Interval, Quantity, Span

Side = Literal["N", "L", "H"]


def side(value: Quantity | Span, interval: Interval) -> Side | None:
    """Where a value lies: inside (N), below (L), above (H); None where it reaches across a limit.

    A limit belongs to the interval unless the interval says otherwise. "<x" lies below every number from x on, so it is
    low where x is at or under the low limit, and normal where nothing below x can be low. A range whose lower end
    touches the high limit and goes on ("10-40" in 0-10) is above it.
    """
    if isinstance(value, Span):
        return _span(value, interval)
    if value.comparator is None:
        return _exact(value.number, interval)
    if value.comparator in ("<", "<="):
        return _below(value.number, value.comparator == "<=", interval)
    return _above(value.number, value.comparator == ">=", interval)


def _exact(number: float, interval: Interval) -> Side:
    low, high = interval.low, interval.high
    if low is not None and (number < low or (number == low and not interval.low_inclusive)):
        return "L"
    if high is not None and (number > high or (number == high and not interval.high_inclusive)):
        return "H"
    return "N"


def _below(bound: float, attained: bool, interval: Interval) -> Side | None:
    low, high = interval.low, interval.high
    if low is not None and low > 0:
        under = bound < low or (bound == low and not (attained and interval.low_inclusive))
        return "L" if under else None
    fits = high is None or bound < high or (bound == high and (interval.high_inclusive or not attained))
    return "N" if fits else None


def _above(bound: float, attained: bool, interval: Interval) -> Side | None:
    low, high = interval.low, interval.high
    if high is not None:
        over = bound > high or (bound == high and not (attained and interval.high_inclusive))
        return "H" if over else None
    if low is None:
        return "N"
    fits = bound > low or (bound == low and (interval.low_inclusive or not attained))
    return "N" if fits else None


def _span(span: Span, interval: Interval) -> Side | None:
    low, high = interval.low, interval.high
    if high is not None and span.low is not None and (span.low > high or (span.low == high and span.high != high)):
        return "H"
    if low is not None and span.high is not None and (span.high < low or (span.high == low and span.low != low)):
        return "L"
    fits_low = low is None or (span.low is not None and span.low >= low) or (span.low is None and low <= 0)
    fits_high = high is None or (span.high is not None and span.high <= high)
    return "N" if fits_low and fits_high else None


def beyond(value: Quantity | Span, limits: Interval) -> Literal["LL", "HH"] | None:
    """Past a critical limit: LL below the low one, HH above the high one; a value on the limit is not past it. A bound or a range
    counts where all of it lies past the limit."""
    found = side(value, limits)
    return {"L": "LL", "H": "HH"}.get(found or "")  # type: ignore[return-value]
