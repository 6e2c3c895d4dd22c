"""The catalog's usual interval and critical limits for a result, in its unit, and for whom they hold: pregnancy at the time of
the result, its trimester, fasting."""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from fhir_adapter import intervals
from fhir_adapter.catalog import Analyte, UsualInterval
from fhir_adapter.fasting import fasting
from fhir_adapter.gestation import trimester
from fhir_adapter.model import About, Interval, Patient, Result, Sex

_TRIMESTERS: tuple[About, About, About] = ("trimester-1", "trimester-2", "trimester-3")


Pregnancy = tuple[bool | None, int | None]
"""Whether the patient was pregnant when a result was taken, and in which trimester (None: not known)."""
NOT_PREGNANT: Pregnancy = (None, None)


def pregnancy(patient: Patient, result: Result) -> Pregnancy:
    """The patient's at the time of the result."""
    if not patient.pregnant or patient.sex == "male":
        return NOT_PREGNANT
    begun, at = patient.pregnant_since, result.effective or result.issued
    if begun is None or at is None:
        return True, None
    return (None if at.date() < begun else True), trimester(begun, at.date())


def about_of(usual: UsualInterval, state: Pregnancy, fasted: bool | None) -> tuple[About, ...]:
    """What is to be said of the interval that was taken for such a patient and sample."""
    pregnant, stage = state
    found: tuple[About, ...] = (_of_pregnancy(usual, stage),) if pregnant else ()
    if usual.fasting is False:
        return (*found, "not-fasting")
    if usual.fasting is True and fasted is not True:
        return (*found, "fasting-unknown" if fasted is None else "fasting-limit")
    return found


def _of_pregnancy(usual: UsualInterval, stage: int | None) -> About:
    if not usual.pregnant:
        return "non-pregnant"
    if usual.trimester is not None:
        return _TRIMESTERS[usual.trimester - 1]
    return "trimester-unknown" if stage is None else "all-trimesters"


def usual_interval(
    analyte: Analyte,
    scale: tuple[float, float],
    unit: str | None,
    sex: Sex | None,
    age: float | None,
    result: Result,
    state: Pregnancy,
) -> Interval | None:
    """The usual interval for a result of this patient; ``scale`` is (factor, offset) into the canonical unit."""
    fasted = fasting(result) if analyte.by_fasting else None
    pregnant, stage = state
    found = analyte.interval_for(sex=sex, age_years=age, pregnant=pregnant, trimester=stage, fasting=fasted)
    if found is None:
        return None
    about = about_of(found, state, fasted) if pregnant or found.fasting is not None else ()
    return _shown(found.low, found.high, found.source, scale, unit, about)


def usual_critical(
    analyte: Analyte, scale: tuple[float, float], unit: str | None, age: float | None
) -> Interval | None:
    """The critical limits for that age."""
    limit = analyte.critical_for(age_years=age)
    return None if limit is None else _shown(limit.low, limit.high, limit.source, scale, unit)


def in_keeping(critical: Interval | None, interval: Interval | None) -> Interval | None:
    """The catalog's critical limits without one that lies inside the laboratory's own interval: what a laboratory calls normal is no
    emergency, it measures something else (a corrected calcium sent under the code of an ionized one)."""
    if critical is None or interval is None or interval.source != "lab":
        return critical
    low, high = critical.low, critical.high
    if low is not None and interval.low is not None and low > interval.low:
        low = None
    if high is not None and interval.high is not None and high < interval.high:
        high = None
    if (low, high) == (critical.low, critical.high):
        return critical
    if low is None and high is None:
        return None
    return replace(critical, low=low, high=high, text=intervals.show(figures(low), figures(high)))


@lru_cache(maxsize=4096)
def _shown(
    low: float | None,
    high: float | None,
    source: str,
    scale: tuple[float, float],
    unit: str | None,
    about: tuple[About, ...] = (),
) -> Interval:
    """The catalog's limits in the reported unit. Cached: a panel repeats the same few."""
    low, high = back(low, scale), back(high, scale)
    text = intervals.show(figures(low), figures(high))
    return Interval(low, high, unit, "usual", text=text, citation=source, about=about)


def back(number: float | None, scale: tuple[float, float]) -> float | None:
    """A canonical limit in the reported unit. Rounded to 10 figures so that 3.5 stays 3.5."""
    return None if number is None else float(f"{(number - scale[1]) / scale[0]:.10g}")


def figures(number: float | None) -> str | None:
    """A limit as it is printed."""
    if number is None:
        return None
    return f"{number:.4g}" if abs(number) < 10_000 else f"{float(f'{number:.4g}'):.10g}"
