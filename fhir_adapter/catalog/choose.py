"""Which of an analyte's usual intervals fits a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhir_adapter.catalog.model import UsualInterval
    from fhir_adapter.model import Sex

ADULT_AGE = 40.0
"""Whom an unknown age stands for."""


def choose_interval(
    intervals: Sequence[UsualInterval],
    *,
    sex: Sex | None,
    age_years: float | None,
    pregnant: bool | None,
    trimester: int | None = None,
    fasting: bool | None = None,
) -> UsualInterval | None:
    """See :meth:`fhir_adapter.catalog.model.Analyte.interval_for`. Pregnancy goes before sex, sex before the narrower
    age band."""
    age = ADULT_AGE if age_years is None else age_years
    fitting = [
        one
        for one in intervals
        if one.age_min <= age < one.age_max
        and (sex is None or one.sex is None or one.sex == sex)
        and (not one.pregnant or (pregnant is True and sex != "male"))
        and (one.trimester is None or one.trimester == trimester)
        and (one.fasting is not False or fasting is False)
    ]
    if not fitting:
        return None
    if expecting := [one for one in fitting if one.pregnant]:
        fitting = [one for one in expecting if one.trimester is not None] or expecting
    elif sex is not None:
        fitting = [one for one in fitting if one.sex is not None] or fitting
    else:
        both = [one for one in fitting if one.sex is None]
        if not both:
            return _union(fitting)
        fitting = both
    if fasting is False:
        fitting = [one for one in fitting if one.fasting is False] or fitting
    return min(fitting, key=lambda one: one.age_max - one.age_min)


def _union(fitting: Sequence[UsualInterval]) -> UsualInterval | None:
    narrowest = [
        min((one for one in fitting if one.sex == sex), key=lambda one: one.age_max - one.age_min, default=None)
        for sex in ("female", "male")
    ]
    known = [one for one in narrowest if one is not None]
    if len(known) < 2:
        return None
    lows = [one.low for one in known if one.low is not None]
    highs = [one.high for one in known if one.high is not None]
    sources = "; ".join(dict.fromkeys(one.source for one in known))
    return replace(
        known[0],
        low=min(lows) if len(lows) == len(known) else None,
        high=max(highs) if len(highs) == len(known) else None,
        source=sources,
        sex=None,
        age_min=max(one.age_min for one in known),
        age_max=min(one.age_max for one in known),
    )
