"""Evidence and derived values in words, for cards, wire and explain."""

from __future__ import annotations

from collections.abc import Sequence

from cds_service import words
from cds_service.clinical.show import interval_text, unit_text, value_text, with_unit
from cds_service.domain import Derived, Evidence, Flag
from cds_service.typeset import numbers, unit
from fhir_adapter import intervals
from fhir_adapter.model import Interval, Measured, PanelResult


def value(placed: PanelResult, language: str) -> str:
    """Value and unit ("6,8 mmol/L", "38 10³/µL"); an answer in the laboratory's own words."""
    measured = placed.result.value
    if not isinstance(measured, Measured):
        return value_text(placed)
    return numbers(unit(with_unit(placed)), language)


def interval(placed: PanelResult, limits: Interval, language: str) -> str:
    """Interval and unit; a usual one, which may come from a conversion, to three figures."""
    if limits.source != "usual":
        return numbers(unit(interval_text(limits, placed)), language)
    low, high = (None if one is None else _three(one) for one in (limits.low, limits.high))
    return numbers(unit(f"{intervals.show(low, high)} {unit_text(placed)}".strip()), language)


def _three(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def derived_name(derived: Derived, language: str) -> str:
    """Its name."""
    return words.template(language, f"derived-{derived.id}")


def derived_value(derived: Derived, language: str) -> str:
    """Value and unit as printed."""
    return numbers(unit(f"{derived.text} {derived.shown_unit}".strip()), language)


def derived_interval(derived: Derived, language: str) -> str:
    """Its interval as printed, or nothing."""
    return numbers(unit(derived.interval or ""), language)


def reported(derived: Derived, language: str) -> str:
    """That the laboratory's own result differs, or nothing."""
    if derived.reported is None:
        return ""
    return words.template(language, "derived-reported").format(value=value(derived.reported, language))


def evidence(one: Evidence, flags: Sequence[Flag], language: str) -> str:
    """A phrase: name, value, and what it is ("Haptoglobin < 10 mg/dL (low)"); a sentence of its own as it stands."""
    if one.index is not None:
        flag = flags[one.index]
        analyte = flag.subject.analyte
        name = analyte.name(language) if analyte is not None else flag.subject.display
        return f"{name} {value(flag.subject, language)} ({words.flag_word(language, flag.code)})"
    if one.derived is not None:
        shown = f"{derived_name(one.derived, language)} {derived_value(one.derived, language)}"
        return shown if one.derived.code is None else f"{shown} ({words.flag_word(language, one.derived.code)})"
    return "" if one.said is None else words.say(language, one.said)
