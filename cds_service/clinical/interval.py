"""A number, a bound or a range against an interval."""

from __future__ import annotations

from typing import Literal

from fhir_adapter.model import Interval, Quantity, Span

Side = Literal["N", "L", "H"]


def side(value: Quantity | Span, interval: Interval) -> Side | None:
    """Where a value lies: inside (N), below (L), above (H); None where it reaches across a limit, or nothing limits it.

    A limit belongs to the interval unless the interval says otherwise. "<x" lies below every number from x on, so it is
    low where x is at or under the low limit, and normal where nothing below x can be low: with a low limit of zero
    nothing can, with one below zero (a base excess) something can. A range whose lower end touches the high limit and
    goes on ("10-40" in 0-10) is above it.
    """
    if _says_nothing(interval):
        return None
    if isinstance(value, Span):
        return _span(value, interval)
    if value.comparator is None:
        return _exact(value.number, interval)
    if value.comparator in ("<", "<="):
        return _below(value.number, value.comparator == "<=", interval)
    return _above(value.number, value.comparator == ">=", interval)


def _says_nothing(interval: Interval) -> bool:
    """No limit, or limits that leave no value inside."""
    low, high = interval.low, interval.high
    if low is None or high is None:
        return low is high
    return low > high or (low == high and not (interval.low_inclusive and interval.high_inclusive))


def _exact(number: float, interval: Interval) -> Side | None:
    low, high = interval.low, interval.high
    if low is not None and (number < low or (number == low and not interval.low_inclusive)):
        return "L"
    if high is not None and (number > high or (number == high and not interval.high_inclusive)):
        return "H"
    return None if number != number else "N"  # not a number: neither


def _below(bound: float, attained: bool, interval: Interval) -> Side | None:
    low, high = interval.low, interval.high
    if low is not None and (bound < low or (bound == low and not (attained and interval.low_inclusive))):
        return "L"
    fits = high is None or bound < high or (bound == high and (interval.high_inclusive or not attained))
    return "N" if fits and _nothing_lies_under(interval) else None


def _nothing_lies_under(interval: Interval) -> bool:
    """Whether a laboratory's "<x" can't mean a low value: no low limit, or one of zero, under which nothing is."""
    return interval.low is None or (interval.low == 0 and interval.low_inclusive)


def _above(bound: float, attained: bool, interval: Interval) -> Side | None:
    low, high = interval.low, interval.high
    if high is not None:
        over = bound > high or (bound == high and not (attained and interval.high_inclusive))
        return "H" if over else None
    if low is None:
        return None
    fits = bound > low or (bound == low and (interval.low_inclusive or not attained))
    return "N" if fits else None


def _span(span: Span, interval: Interval) -> Side | None:
    if span.low is not None and span.high is not None:
        if span.low > span.high:
            return None
        if span.low == span.high:
            return _exact(span.low, interval)
    low, high = interval.low, interval.high
    if high is not None and span.low is not None and span.low >= high:
        return "H"
    if low is not None and span.high is not None and span.high <= low:
        return "L"
    if span.low is None:
        fits_low = _nothing_lies_under(interval)
    else:
        fits_low = low is None or span.low > low or (span.low == low and interval.low_inclusive)
    if span.high is None:
        fits_high = high is None
    else:
        fits_high = high is None or span.high < high or (span.high == high and interval.high_inclusive)
    return "N" if fits_low and fits_high else None


def beyond(value: Quantity | Span, limits: Interval) -> Literal["LL", "HH"] | None:
    """Past a critical limit: LL below the low one, HH above the high one; a value on the limit is not past it. A bound
    or a range counts where all of it lies past the limit."""
    found = side(value, limits)
    return "LL" if found == "L" else "HH" if found == "H" else None
