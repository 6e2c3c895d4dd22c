"""Acid-base: the disorder that pH, bicarbonate and pCO2 name, and what compensation is expected beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from cds_service.clinical.derived.acid_base import alkalosis_pco2, expected_bicarbonate, winters
from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence, Said

_DRAW = timedelta(hours=1)
_PH = ("ph", "ph-capillary", "ph-venous")
_BICARBONATE = ("bicarbonate-arterial", "bicarbonate-capillary", "bicarbonate")
_PCO2 = ("pco2", "pco2-capillary")
_GAPS = ("anion-gap-corrected", "anion-gap")
_ANCHORS = (*_PH, *_BICARBONATE)
_LOW_PH, _HIGH_PH = 7.35, 7.45
_BICARBONATE_USUAL, _GAP_USUAL = 24.0, 12.0


@dataclass(frozen=True, slots=True)
class State:
    """Numbers of one draw, none where each lies inside its own interval: a newborn's gas is no adult's. ``gap`` is corrected for albumin where that is there. A venous pCO2 stands in for an arterial
    one in nothing: it is left out; a capillary one is near enough."""

    seen: Seen
    ph: float | None
    bicarbonate: float | None
    pco2: float | None
    gap: float | None


def state(seen: Seen) -> State:
    """What was taken with the pH, else with the bicarbonate."""
    anchor = next((name for name in _ANCHORS if name in seen.newest), None)
    near = seen if anchor is None else seen.near(anchor, _DRAW)

    used = [
        next((name for name in names if near.number(name) is not None), None) for names in (_PH, _BICARBONATE, _PCO2)
    ]
    if all(near.code(name) == "N" for name in used if name is not None):
        return State(near, None, None, None, None)
    ph, bicarbonate, pco2 = (None if name is None else near.number(name) for name in used)
    gap = next((number for name in _GAPS if (number := near.number(name)) is not None), None)
    return State(near, ph, bicarbonate, pco2, gap)


def _high_gap(found: State, limit: float) -> bool:
    return found.gap is not None and found.gap > limit


def _acidosis(found: State, bicarbonate: float) -> bool:
    if found.bicarbonate is None or found.bicarbonate >= bicarbonate:
        return False
    return found.ph is None or found.ph < _LOW_PH


def high_gap_acidosis(seen: Seen, spec: Spec) -> Hit | None:
    """A low bicarbonate with a high gap."""
    found = state(seen)
    if not _acidosis(found, spec.limits["bicarbonate"]) or not _high_gap(found, spec.limits["gap"]):
        return None
    gap = "anion-gap-corrected" if "anion-gap-corrected" in found.seen.derived else "anion-gap"
    return Hit(found.seen, {"gap": f"{found.gap:.0f}"}, speaks_for=_computed(found.seen, gap, "delta-ratio"))


def normal_gap_acidosis(seen: Seen, spec: Spec) -> Hit | None:
    """A low bicarbonate and pH with chloride in its place."""
    found = state(seen)
    if found.ph is None or not _acidosis(found, spec.limits["bicarbonate"]) or found.gap is None:
        return None
    if _high_gap(found, spec.limits["gap"]) or found.seen.code("chloride") not in ("H", "HH"):
        return None
    return Hit(found.seen, {"gap": f"{found.gap:.0f}"})


def metabolic_alkalosis(seen: Seen, spec: Spec) -> Hit | None:
    """A high bicarbonate and pH."""
    found = state(seen)
    if found.ph is None or found.bicarbonate is None or found.ph <= _HIGH_PH:
        return None
    return Hit(found.seen) if found.bicarbonate >= spec.limits["bicarbonate"] else None


def respiratory_acidosis(seen: Seen, spec: Spec) -> Hit | None:
    """A high pCO2 that explains the pH."""
    found = state(seen)
    if found.ph is None or found.pco2 is None or found.ph >= _LOW_PH or found.pco2 <= 45:
        return None
    return _respiratory(found, spec)


def respiratory_alkalosis(seen: Seen, spec: Spec) -> Hit | None:
    """A low pCO2 that explains the pH."""
    found = state(seen)
    if found.ph is None or found.pco2 is None or found.ph <= _HIGH_PH or found.pco2 >= 35:
        return None
    return _respiratory(found, spec)


def _respiratory(found: State, spec: Spec) -> Hit | None:
    """Only where the bicarbonate lies between what an acute and a chronic one leave, or isn't known."""
    if found.bicarbonate is not None and found.pco2 is not None:
        ends = sorted(expected_bicarbonate(found.pco2, acute=acute) for acute in (True, False))
        if not ends[0] - spec.limits["margin"] <= found.bicarbonate <= ends[1] + spec.limits["margin"]:
            return None
    return Hit(found.seen)


def mixed(seen: Seen, spec: Spec) -> Hit | None:
    """Two disorders at once; told once, by what is beside the first."""
    found = state(seen)
    kind = _mixed_kind(found, spec)
    if kind is None:
        return None
    computed = _computed(found.seen, "pco2-expected", "delta-ratio", "anion-gap")
    return Hit(found.seen, speaks_for=(Evidence(said=Said(f"acid-base-{kind}")), *computed))


def _mixed_kind(found: State, spec: Spec) -> str | None:
    ph, bicarbonate, pco2 = found.ph, found.bicarbonate, found.pco2
    margin = spec.limits["margin"]
    if ph is None or bicarbonate is None or pco2 is None:
        return None
    if bicarbonate < 20 and pco2 > 45 and ph < _LOW_PH:
        return "both-acidosis"
    if bicarbonate > 28 and pco2 < 35 and ph > _HIGH_PH:
        return "both-alkalosis"
    if ph < _LOW_PH and bicarbonate < 20:
        if abs(pco2 - winters(bicarbonate)) > margin:
            return "respiratory-too-high" if pco2 > winters(bicarbonate) else "respiratory-too-low"
        return _delta(found, spec)
    if ph > _HIGH_PH and bicarbonate >= 30 and abs(pco2 - alkalosis_pco2(bicarbonate)) > margin:
        return "respiratory-too-high" if pco2 > alkalosis_pco2(bicarbonate) else "respiratory-too-low"
    if _LOW_PH <= ph <= _HIGH_PH and bicarbonate < 18 and pco2 < 32 and _high_gap(found, spec.limits["gap"]):
        return "normal-ph"
    return _hidden(ph, bicarbonate, pco2, found, spec) if ph >= _LOW_PH else None


def _hidden(ph: float, bicarbonate: float, pco2: float, found: State, spec: Spec) -> str | None:
    """A gap so high that there is an acidosis, at a pH that another disorder keeps up."""
    if found.gap is None or found.gap <= spec.limits["hidden"]:
        return None
    if bicarbonate < 20 and ph > _HIGH_PH and winters(bicarbonate) - pco2 > spec.limits["margin"]:
        return "respiratory-too-low"
    fell, rose = _BICARBONATE_USUAL - bicarbonate, found.gap - _GAP_USUAL
    return "hidden-gap" if fell * spec.limits["delta_high"] < rose else None


def _delta(found: State, spec: Spec) -> str | None:
    ratio = found.seen.number("delta-ratio")
    if ratio is None or not _high_gap(found, spec.limits["gap"]):
        return None
    if ratio < spec.limits["delta_low"]:
        return "delta-low"
    return "delta-high" if ratio > spec.limits["delta_high"] else None


def _computed(seen: Seen, *names: str) -> tuple[Evidence, ...]:
    return tuple(Evidence(derived=seen.derived[name]) for name in names if name in seen.derived)


RULES: dict[str, Rule] = {
    "mixed-acid-base": mixed,
    "high-gap-acidosis": high_gap_acidosis,
    "normal-gap-acidosis": normal_gap_acidosis,
    "metabolic-alkalosis": metabolic_alkalosis,
    "respiratory-acidosis": respiratory_acidosis,
    "respiratory-alkalosis": respiratory_alkalosis,
}
