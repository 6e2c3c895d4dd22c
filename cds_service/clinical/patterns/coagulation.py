"""Coagulation: the ISTH score, and a platelet count that halves."""

from __future__ import annotations

from datetime import timedelta

from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence, Said


def disseminated_coagulation(seen: Seen, spec: Spec) -> Hit | None:
    """ISTH 2001: overt from five points."""
    platelets = seen.reach("platelets")
    if platelets is None:
        return None
    near = spec.near(seen, "platelets")
    points = 2 if platelets[1] < 50 else 1 if platelets[1] < 100 else 0
    degradation = _degradation(near, spec.limits["strong"])
    if degradation is None:
        return None
    points += degradation + _prothrombin(near)
    fibrinogen = near.reach("fibrinogen")
    points += 1 if fibrinogen is not None and fibrinogen[1] < 100 else 0
    if points < spec.limits["score"]:
        return None
    missing = () if "prothrombin-time" in near.newest else (Evidence(said=Said("dic-no-seconds")),)
    return Hit(near, {"score": str(points)}, speaks_against=missing)


def _degradation(seen: Seen, strong: float) -> int | None:
    """3 for a strong rise, 2 for another, 0 for none; None where none was measured."""
    found = [
        reach
        for name in ("d-dimer", "d-dimer-ddu", "fibrin-degradation-products")
        if (reach := seen.reach_of_limit(name))
    ]
    if not found:
        return None
    highest = max(low for low, _, _ in found)
    return 3 if highest >= strong else 2 if highest > 1 else 0


def _prothrombin(seen: Seen) -> int:
    placed = seen.result("prothrombin-time")
    if placed is None or placed.number is None or placed.interval is None or placed.interval.high is None:
        return 0
    beyond = placed.number - placed.interval.high
    return 2 if beyond > 6 else 1 if beyond >= 3 else 0


def platelet_fall(seen: Seen, spec: Spec) -> Hit | None:
    """Platelets at half of what they were four to fourteen days ago, and not lower than HIT leaves them."""
    placed, limits = seen.result("platelets"), spec.limits
    if placed is None or placed.number is None or placed.canonical is None or placed.result.effective is None:
        return None
    now = placed.result.effective
    low, high = timedelta(days=limits["from"]), timedelta(days=limits["to"])
    before = max((prior.number for prior in placed.priors if low <= now - prior.effective <= high), default=0.0)
    if before <= 0 or placed.canonical < limits["floor"] or seen.code("platelets") == "N":
        return None
    down = 100 * (before - placed.number) / before
    return Hit(seen, {"fall": f"{down:.0f} %"}) if down >= limits["fall"] - 1e-9 else None


RULES: dict[str, Rule] = {"dic": disseminated_coagulation, "hit-like": platelet_fall}
