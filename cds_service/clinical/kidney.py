"""A creatinine against its own past: KDIGO's stages of acute kidney injury."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from fhir_adapter.model import PanelResult, Prior

_EPSILON = 1e-9
"""Ratios of decimal numbers: 1.5 / 1.0 must reach 1.5."""
_DIALYSED, _DIALYSED_FROM, _DIALYSED_IN = 0.6, 4.0, timedelta(hours=12)
"""A fall to this share of this many mg/dL within this time is no kidney's: with failing ones it takes days."""


def aki_stage(placed: PanelResult) -> int:
    """KDIGO AKI stage by serum creatinine; 0 if none.

    The baseline is the lowest creatinine of the last 7 days (for the ratio) and of the last 48 hours (for the step of 0.3
    mg/dL), but none that dialysis left. Urine output isn't known here. Numbers are in the result's own unit, so ratios need none; the absolute steps
    use the canonical unit, mg/dL.
    """
    if placed.number is None or placed.canonical is None or placed.result.effective is None or placed.number <= 0:
        return 0
    to_canonical = placed.canonical / placed.number
    now = placed.result.effective
    priors = _undialysed(placed.priors, to_canonical)
    week = [prior.number for prior in priors if now - prior.effective <= timedelta(days=7) and prior.number > 0]
    two_days = [prior.number for prior in priors if now - prior.effective <= timedelta(hours=48)]
    ratio = placed.number / min(week) if week else 0.0
    rise = (placed.number - min(two_days)) * to_canonical if two_days else 0.0
    if ratio < 1.5 - _EPSILON and rise < 0.3 - _EPSILON:
        return 0
    if ratio >= 3.0 - _EPSILON or placed.canonical >= 4.0:
        return 3
    return 2 if ratio >= 2.0 - _EPSILON else 1


def _undialysed(priors: Sequence[Prior], to_canonical: float) -> list[Prior]:
    """Those before the first fall that only a dialyser makes: what comes after it is no baseline."""
    ordered = sorted(priors, key=lambda prior: prior.effective)
    for index, (before, after) in enumerate(pairwise(ordered), start=1):
        if (
            before.number * to_canonical >= _DIALYSED_FROM
            and after.number <= _DIALYSED * before.number
            and after.effective - before.effective <= _DIALYSED_IN
        ):
            return ordered[:index]
    return ordered


def has_risen(placed: PanelResult) -> bool:
    """Whether the creatinine has risen as in an acute kidney injury: filtration can't be estimated from it then."""
    return aki_stage(placed) > 0
