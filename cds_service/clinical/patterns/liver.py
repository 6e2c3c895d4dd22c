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


def _of_muscle(near: Seen, spec: Spec) -> bool:
    """A muscle that breaks down sets both transaminases free, AST more than ALT: no liver need be ill."""
    ck, ast, alt, times = near.number("ck"), near.number("ast"), near.number("alt"), near.times_limit("alt")
    if ck is None or ast is None or alt is None or times is None or near.code("bilirubin-total") in ("H", "HH"):
        return False
    return ck >= spec.limits["ck"] and ast > alt and times < spec.limits["ceiling"]


def _of_bone(near: Seen, spec: Spec) -> bool:
    """GGT comes from the liver's ALP only. Where bilirubin is high GGT may be normal in a cholestasis, too."""
    alt = near.times_limit("alt")
    only_alp = alt is not None and alt < spec.limits["alt"]
    return only_alp and near.code("ggt") == "N" and near.code("bilirubin-total") not in ("H", "HH")


def hepatocellular(seen: Seen, spec: Spec) -> Hit | None:
    """R of 5 or more."""
    found = _ratio(seen, spec)
    if found is None or found[1] < spec.limits["ratio"] or _of_muscle(found[0], spec):
        return None
    return Hit(found[0], {"ratio": f"{found[1]:.1f}"})


def cholestatic(seen: Seen, spec: Spec) -> Hit | None:
    """R of 2 or less."""
    found = _ratio(seen, spec)
    if found is None or found[1] > spec.limits["ratio"] or _of_bone(found[0], spec):
        return None
    return Hit(found[0], {"ratio": f"{found[1]:.1f}"})


def mixed(seen: Seen, spec: Spec) -> Hit | None:
    """R between the two."""
    found = _ratio(seen, spec)
    if found is None or not spec.limits["low"] < found[1] < spec.limits["high"] or _of_muscle(found[0], spec):
        return None
    return Hit(found[0], {"ratio": f"{found[1]:.1f}"})


RULES: dict[str, Rule] = {"hepatocellular": hepatocellular, "cholestatic": cholestatic, "mixed-liver": mixed}
