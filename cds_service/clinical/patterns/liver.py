"""Liver values by their ratio: ALT and ALP, each over its own high limit."""

from __future__ import annotations

from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen


def _ratio(seen: Seen, spec: Spec) -> tuple[Seen, float] | None:
    """R, where one of the two is high enough for it."""
    near = spec.near(seen, "alt")
    alt, alp = near.times_limit("alt"), near.times_limit("alp")
    if alt is None or alp is None or alp <= 0 or (alt < spec.limits["alt"] and alp < spec.limits["alp"]):
        return None
    return near, alt / alp


def hepatocellular(seen: Seen, spec: Spec) -> Hit | None:
    """R of 5 or more."""
    found = _ratio(seen, spec)
    return None if found is None or found[1] < spec.limits["ratio"] else Hit(found[0], {"ratio": f"{found[1]:.1f}"})


def cholestatic(seen: Seen, spec: Spec) -> Hit | None:
    """R of 2 or less."""
    found = _ratio(seen, spec)
    return None if found is None or found[1] > spec.limits["ratio"] else Hit(found[0], {"ratio": f"{found[1]:.1f}"})


def mixed(seen: Seen, spec: Spec) -> Hit | None:
    """R between the two."""
    found = _ratio(seen, spec)
    if found is None or not spec.limits["low"] < found[1] < spec.limits["high"]:
        return None
    return Hit(found[0], {"ratio": f"{found[1]:.1f}"})


RULES: dict[str, Rule] = {"hepatocellular": hepatocellular, "cholestatic": cholestatic, "mixed-liver": mixed}
