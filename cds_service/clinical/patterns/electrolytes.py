"""Electrolytes that fall together."""

from __future__ import annotations

from datetime import timedelta

from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen


def fall(seen: Seen, analyte: str, days: float) -> float:
    """By how many percent the newest lies under the highest of the last days; 0 where there is none, or it rose."""
    placed = seen.result(analyte)
    if placed is None or placed.number is None or placed.result.effective is None:
        return 0.0
    since = placed.result.effective - timedelta(days=days)
    highest = max((prior.number for prior in placed.priors if prior.effective >= since), default=0.0)
    return 100 * (highest - placed.number) / highest if highest > placed.number else 0.0


def refeeding_like(seen: Seen, spec: Spec) -> Hit | None:
    """Phosphate that has fallen below its interval, another electrolyte with it."""
    if seen.code("phosphate") not in ("L", "LL"):
        return None
    days, other = spec.limits["days"], spec.limits["other"]
    down = fall(seen, "phosphate", days)
    if down < spec.limits["fall"] - 1e-9:
        return None
    near = spec.near(seen, "phosphate")
    if max(fall(near, "potassium", days), fall(near, "magnesium", days)) < other - 1e-9:
        return None
    return Hit(near, {"fall": f"{down:.0f} %"})


RULES: dict[str, Rule] = {"refeeding-like": refeeding_like}
