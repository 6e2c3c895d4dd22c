"""Values and intervals as people read them: the laboratory's own digits, with the unit. Only what no laboratory measures is left out:
a calculated "16.771131239686177" is 16.771 to a reader."""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from cds_service.clinical.interval import side
from fhir_adapter.model import Interval, Measured, PanelResult, Quantity, Span, Titre

MEASURED = 7
"""Significant figures that a laboratory may print."""


def value_text(placed: PanelResult) -> str:
    """The value without its unit ("< 0.01", "6.8", "1:160", "Positive")."""
    value = placed.result.value
    if isinstance(value, Quantity):
        digits = value.text.lstrip("<>=≤≥ ") or f"{value.number:g}"
        return f"{value.comparator} {digits}" if value.comparator else digits
    if isinstance(value, Span):
        return value.text or f"{_end(value.low)}-{_end(value.high)}"
    if isinstance(value, Titre):
        return value.text or f"{value.numerator:g}:{value.denominator:g}"
    return value.text


def unit_text(placed: PanelResult) -> str:
    """The unit as the laboratory printed it, else the one its number is judged in; empty where there is none."""
    value = placed.result.value
    if not isinstance(value, Measured):
        return ""
    unit = value.shown_unit or value.unit or placed.unit or ""
    # INR has none to print; a pH is named by its name.
    return "" if unit in ("1", "pH", "[pH]") or (unit.startswith("{") and unit.endswith("}")) else unit


def with_unit(placed: PanelResult) -> str:
    """Value and unit ("6.8 mmol/L")."""
    return f"{_readable(placed)} {unit_text(placed)}".strip()


def short(digits: str) -> str:
    """A decimal of more figures than are ever measured, to five; anything else as it is."""
    whole, point, rest = digits.lstrip("-").partition(".")
    if not point or not (whole + rest).isdecimal() or len((whole + rest).lstrip("0")) <= MEASURED:
        return digits
    rounded = f"{float(digits):.5g}"
    return digits if "e" in rounded else rounded


def _readable(placed: PanelResult) -> str:
    value, digits = placed.result.value, value_text(placed)
    if len(digits) <= MEASURED or not isinstance(value, Quantity):
        return digits
    shown = short(digits)
    if shown == digits:
        return digits
    near = replace(value, number=float(shown))
    limits = [one for one in (placed.interval, placed.critical) if one is not None]
    # 5.1000001 is over 5.1: rounded it would seem to be wrongly flagged.
    return shown if all(side(near, one) == side(value, one) for one in limits) else digits


def interval_text(interval: Interval, placed: PanelResult) -> str:
    """Interval and unit ("3.5-5.1 mmol/L")."""
    return f"{interval.text} {unit_text(placed)}".strip()


def _end(number: float | None) -> str:
    return "" if number is None else f"{number:g}"


def time_text(at: datetime | None, before: datetime) -> str:
    """The time between two results ("40 min", "36 h", "5 d"); empty where the newer one has none."""
    if at is None:
        return ""
    hours = (at - before).total_seconds() / 3600
    if hours < 1:
        return f"{max(1, round(hours * 60))} min"
    return f"{round(hours)} h" if hours <= 72 else f"{round(hours / 24)} d"
