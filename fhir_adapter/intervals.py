"""Reference intervals: reading their text, choosing the one that fits the patient, placing a value in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fhir_adapter.interval_text import Bounds as Bounds
from fhir_adapter.interval_text import parse_text as parse_text
from fhir_adapter.interval_text import sex_named
from fhir_adapter.model import Coding, Patient, Quantity, ReferenceRange, Sex

_FEMALE = frozenset({"248152002", "f", "female", "w", "10052007-f", "femme", "féminin", "women", "woman", "1086007"})
_MALE = frozenset({"248153007", "m", "male", "homme", "masculin", "men", "man", "10052007"})
_PREGNANT = frozenset({"77386006", "pregnant", "pregnancy", "enceinte", "grossesse"})

NORMAL_TYPES = frozenset({"normal", "n", "reference", "recommended"})
CRITICAL_TYPES = frozenset({"critical", "panic", "critical-range", "absolute-critical", "alert"})
TARGET_TYPES = frozenset({"treatment", "therapeutic", "target"})


def bounds(reference: ReferenceRange) -> Bounds | tuple[str, ...] | None:
    """The numbers of a ReferenceRange, else what its text says. A range that is upside down says nothing."""
    low, high = reference.low, reference.high
    if low is None and high is None:
        return parse_text(reference.text) if reference.text else None
    if low is not None and high is not None and low.number > high.number:
        return None
    named = low if low is not None and low.unit else high
    return Bounds(
        low.number if low is not None else None,
        high.number if high is not None else None,
        None if named is None else named.unit,
        low_inclusive=low is None or low.comparator != ">",
        high_inclusive=high is None or high.comparator != "<",
        text=show(
            _digits(low), _digits(high), high is None or high.comparator != "<", low is None or low.comparator != ">"
        ),
        shown=None if named is None else named.shown_unit,
    )


def _digits(quantity: Quantity | None) -> str | None:
    return None if quantity is None else quantity.text or f"{quantity.number:g}"


def show(low: str | None, high: str | None, high_inclusive: bool = True, low_inclusive: bool = True) -> str:
    """An interval for people: "3.5-5.1", "≤ 40", "> 60"."""
    if low is not None and high is not None:
        return f"{low}-{high}" if not low.startswith("-") and not high.startswith("-") else f"{low} to {high}"
    if high is not None:
        return f"{'≤' if high_inclusive else '<'} {high}"
    return f"{'≥' if low_inclusive else '>'} {low}" if low is not None else ""


Kind = Literal["normal", "critical", "target", "other"]


def kind(reference: ReferenceRange) -> Kind:
    """What an interval is for; one without a type is the normal one (FHIR: "if not present, assumed normal")."""
    codes = {code.lower() for code in reference.type_codes}
    if not codes or codes & NORMAL_TYPES:
        return "normal"
    if codes & CRITICAL_TYPES:
        return "critical"
    return "target" if codes & TARGET_TYPES else "other"


def choose(
    ranges: Sequence[ReferenceRange], wanted: Kind, patient: Patient, age_years: float | None
) -> tuple[ReferenceRange, ...]:
    """The ranges of one kind that fit the patient best; more than one where the patient's sex or age, which would
    decide, isn't known. Ranges that contradict the patient are left out."""
    best: list[ReferenceRange] = []
    score = -1
    for reference in ranges:
        if kind(reference) != wanted:
            continue
        fit = _fit(reference, patient, age_years)
        if fit is None:
            continue
        if fit > score:
            best, score = [reference], fit
        elif fit == score:
            best.append(reference)
    return tuple(best)


def _fit(reference: ReferenceRange, patient: Patient, age_years: float | None) -> int | None:
    """How many qualifiers fit, plus one if all do; None where one contradicts the patient."""
    fitting = 0
    certain = True
    for sex in _sexes(reference.applies_to):
        if patient.sex is None:
            certain = False
        elif patient.sex != sex:
            return None
        else:
            fitting += 1
    if any(_words(coding) & _PREGNANT for coding in reference.applies_to):
        if patient.pregnant is not True:
            return None
        fitting += 2
    if reference.age_low is not None or reference.age_high is not None:
        if age_years is None:
            certain = False
        elif (reference.age_low is not None and age_years < reference.age_low) or (
            reference.age_high is not None and age_years >= reference.age_high + _rounding(reference.age_high)
        ):
            return None
        else:
            fitting += 1
    return fitting * 2 + 1 if certain else 0


def _rounding(age_high: float) -> float:
    """ "up to 17 years" includes the year of life that begins at 17; for newborn bands the limit is exact."""
    return 1.0 if age_high >= 2 and age_high == int(age_high) else 0.0


def _words(coding: Coding) -> set[str]:
    return {text.strip().lower() for text in (coding.code, coding.display) if text}


def _sexes(codings: Sequence[Coding]) -> set[Sex]:
    found: set[Sex] = set()
    for coding in codings:
        words = _words(coding)
        if words & _FEMALE:
            found.add("female")
        elif words & _MALE:
            found.add("male")
        elif named := {sex for word in words if (sex := sex_named(word))}:
            found |= named
    return found if len(found) == 1 else set()


def hull(intervals: Sequence[Bounds]) -> Bounds:
    """The widest of several intervals in one unit, where it isn't known which of them applies."""
    if len(intervals) == 1:
        return intervals[0]
    lows = [interval.low for interval in intervals]
    highs = [interval.high for interval in intervals]
    low = None if any(value is None for value in lows) else min(value for value in lows if value is not None)
    high = None if any(value is None for value in highs) else max(value for value in highs if value is not None)
    text = show(None if low is None else f"{low:g}", None if high is None else f"{high:g}")
    return Bounds(low, high, intervals[0].unit, text=text)


def position(number: float, low: float | None, high: float | None) -> float | None:
    """Signed position of a number in an interval.

    Two-sided: -1 at ``low``, +1 at ``high``. One-sided: at a lone high limit +1, at zero 0; at a lone low limit
    -1, at twice it 0. An interval of no width counts one unit of its own limit (or of 1) as half its width.
    """
    if low is not None and high is not None:
        half = (high - low) / 2
        if half > 0:
            return (number - (low + high) / 2) / half
        scale = abs(high) or 1.0
        distance = (number - high) / scale
        return distance + 1 if distance > 0 else distance - 1 if distance < 0 else 0.0
    if high is not None:
        scale = abs(high) or 1.0
        return (number - high) / scale + 1
    if low is not None:
        scale = abs(low) or 1.0
        return (number - low) / scale - 1
    return None
