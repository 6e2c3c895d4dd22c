"""The newest result against the newest comparable one before it, by the analyte's delta limits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cds_service.clinical.show import time_text, unit_text
from cds_service.domain import Basis, Said
from fhir_adapter.catalog.delta import DEFAULT_HOURS, DEFAULT_PERCENT, DeltaLimit
from fhir_adapter.model import PanelResult, Prior
from fhir_adapter.scale import to_canonical

_BY_DEFAULT = DeltaLimit(
    "change", "", DEFAULT_HOURS, rise_share=DEFAULT_PERCENT / 100, fall_share=DEFAULT_PERCENT / 100
)
_WEIGHT = ("sample", "event", "change")
"""Where several limits are reached, the first of these is said."""
TOLD_ALONE = frozenset({"delta-sample", "delta-event"})
"""What a card says of a result that lies inside its interval, too."""


def step(bases: Sequence[Basis]) -> Said | None:
    """What is said of a result's step where it is worth a card by itself."""
    for one in bases:
        if one.said.key in TOLD_ALONE:
            return one.said
    return None


def basis(placed: PanelResult) -> Basis | None:
    """What the change from the newest prior of the same specimen and method says; None where it reaches no limit."""
    prior = next((one for one in placed.priors if one.alike), None)
    at = placed.result.effective
    if prior is None or at is None or placed.number is None:
        return None
    numbers, limits, factor = _compared(placed, prior)
    within = (at - prior.effective) / timedelta(hours=1)
    reached = [one for one in limits if within <= one.hours and one.reached(*numbers)]
    if not reached:
        return None
    limit = min(reached, key=lambda one: _WEIGHT.index(one.means))
    return _said(placed, prior, limit, factor)


def _compared(placed: PanelResult, prior: Prior) -> tuple[tuple[float, float], tuple[DeltaLimit, ...], float]:
    """(now, before), the limits that can be held against them, and what turns a limit's step into the reported unit. Without a
    canonical unit only shares can be compared; a site's limits without an analyte are in the reported unit."""
    number = placed.number or 0.0
    scale = None if placed.canonical is None else to_canonical(placed)
    limits = placed.delta or (placed.analyte.delta if placed.analyte is not None else ())
    if scale is not None and placed.canonical is not None:
        numbers = (placed.canonical, prior.number * scale[0] + scale[1])
        return numbers, limits or (_BY_DEFAULT,), 1 / scale[0]
    if not placed.delta:
        limits = tuple(one for one in limits if not one.in_steps)
    return (number, prior.number), limits or (_BY_DEFAULT,), 1.0


def _said(placed: PanelResult, prior: Prior, limit: DeltaLimit, factor: float) -> Basis:
    change = (placed.number or 0.0) - prior.number
    params = {
        "change": f"{change:+.4g} {unit_text(placed)}".strip(),
        "percent": f"{100 * change / abs(prior.number):+.0f} %" if prior.number else "∞",
        "from": f"{prior.number:.5g}",
        "time": time_text(placed.result.effective, prior.effective),
    }
    if limit is _BY_DEFAULT:
        return Basis("delta", Said("delta", params))
    params["limit"] = limit_text(limit, change > 0, factor, unit_text(placed))
    params["window"] = window_text(limit.hours)
    return Basis("delta", Said(f"delta-{limit.means}", params), citation=limit.source)


def limit_text(limit: DeltaLimit, rising: bool, factor: float, unit: str) -> str:
    """What a direction must reach ("13 %", "0.3 mg/dL", "20 % + 7 ng/L"); empty where it has no limit. ``factor`` turns a step
    into ``unit``."""
    step, share = (limit.rise, limit.rise_share) if rising else (limit.fall, limit.fall_share)
    parts = [] if share is None else [f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"]
    if step is not None:
        parts.append(f"{step * factor:.3g} {unit}".strip())
    return " + ".join(parts)


def window_text(hours: float) -> str:
    """ "48 h", "7 d"."""
    return f"{hours:g} h" if hours <= 72 else f"{hours / 24:g} d"
