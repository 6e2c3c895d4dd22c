"""A creatinine against its own past: KDIGO's stages of acute kidney injury."""

from __future__ import annotations

from datetime import timedelta

from fhir_adapter.model import PanelResult

_EPSILON = 1e-9
"""Ratios of decimal numbers: 1.5 / 1.0 must reach 1.5."""


def aki_stage(placed: PanelResult) -> int:
    """KDIGO AKI stage by serum creatinine; 0 if none.

    The baseline is the lowest creatinine of the last 7 days (for the ratio) and of the last 48 hours (for the step of 0.3
    mg/dL). Urine output isn't known here. Numbers are in the result's own unit, so ratios need none; the absolute steps
    use the canonical unit, mg/dL.
    """
    if placed.number is None or placed.canonical is None or placed.result.effective is None or placed.number <= 0:
        return 0
    to_canonical = placed.canonical / placed.number
    now = placed.result.effective
    week = [prior.number for prior in placed.priors if now - prior.effective <= timedelta(days=7) and prior.number > 0]
    two_days = [prior.number for prior in placed.priors if now - prior.effective <= timedelta(hours=48)]
    ratio = placed.number / min(week) if week else 0.0
    rise = (placed.number - min(two_days)) * to_canonical if two_days else 0.0
    if ratio < 1.5 - _EPSILON and rise < 0.3 - _EPSILON:
        return 0
    if ratio >= 3.0 - _EPSILON or placed.canonical >= 4.0:
        return 3
    return 2 if ratio >= 2.0 - _EPSILON else 1


def has_risen(placed: PanelResult) -> bool:
    """Whether the creatinine has risen as in an acute kidney injury: filtration can't be estimated from it then."""
    return aki_stage(placed) > 0
