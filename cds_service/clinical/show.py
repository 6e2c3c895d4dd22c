"""Values and intervals as people read them: the laboratory's own digits, with the unit."""

from __future__ import annotations

from datetime import datetime

from fhir_adapter.model import Interval, Measured, PanelResult, Quantity, Span, Titre


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
    return "" if unit == "1" or (unit.startswith("{") and unit.endswith("}")) else unit  # INR has none to print


def with_unit(placed: PanelResult) -> str:
    """Value and unit ("6.8 mmol/L")."""
    return f"{value_text(placed)} {unit_text(placed)}".strip()


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
