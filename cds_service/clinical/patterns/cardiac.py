"""Troponin against its own past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen, since
from cds_service.domain import Evidence, Said
from fhir_adapter.model import PanelResult

_TROPONINS = ("troponin-t-hs", "troponin-i-hs", "troponin-t", "troponin-i")


@dataclass(frozen=True, slots=True)
class Assay:
    """ESC 2023, table of the 0/1 h algorithm: ng/L."""

    name: str
    rule_in: float
    step: float


ASSAYS: Mapping[str, Assay] = {
    "elecsys": Assay("hs-cTnT (Elecsys; Roche)", 52, 5),
    "architect": Assay("hs-cTnI (Architect; Abbott)", 64, 6),
    "centaur": Assay("hs-cTnI (Centaur; Siemens)", 120, 12),
    "access": Assay("hs-cTnI (Access; Beckman Coulter)", 50, 15),
    "vitros": Assay("hs-cTnI (Vitros; Ortho)", 40, 4),
}
"""By the word that a method carries; other assays aren't judged so."""


def _assay(placed: PanelResult) -> Assay | None:
    """hs-troponin T is Roche's alone; troponin I needs its method."""
    if placed.analyte is not None and placed.analyte.id == "troponin-t-hs":
        return ASSAYS["elecsys"]
    text = f"{placed.result.method or ''} {placed.result.name or ''}".lower()
    return next((assay for word, assay in ASSAYS.items() if word != "elecsys" and word in text), None)


def one_hour(seen: Seen, spec: Spec) -> Hit | None:
    """A first value at the rule-in limit, or a step within the hour."""
    for name in ("troponin-t-hs", "troponin-i-hs"):
        placed = seen.result(name)
        if placed is None or placed.canonical is None or not placed.number or seen.number(name) is None:
            continue
        assay = _assay(placed)
        if assay is None:
            continue
        scale = placed.canonical / placed.number
        hour = [
            placed.canonical - prior.number * scale
            for prior in placed.priors
            if timedelta(minutes=45) <= since(placed, prior.effective) <= timedelta(minutes=75)
        ]
        stepped = any(abs(step) >= assay.step - 1e-9 for step in hour)
        if stepped or (not placed.priors and placed.canonical >= assay.rule_in):
            point = Evidence(said=Said("troponin-assay", {"assay": assay.name}))
            return Hit(seen, members=(name, "ck-mb"), speaks_for=(point,))
    return None


def rise(seen: Seen, spec: Spec) -> Hit | None:
    """Above the limit, and changed."""
    found = _changes(seen, timedelta(0), timedelta(hours=spec.limits["hours"]))
    if found is None:
        return None
    name, limit, now, earlier = found
    for before in earlier:
        change = abs(now - before)
        needed = spec.limits["relative"] / 100 * before if before > limit else spec.limits["half"] / 100 * limit
        if change >= needed - 1e-9:
            percent = f"{100 * (now - before) / before:+.0f} %" if before > 0 else ""
            return Hit(seen, {"from": f"{before:g}", "change": percent}, members=(name, "ck-mb"))
    return None


def stable(seen: Seen, spec: Spec) -> Hit | None:
    """Above the limit, and the same hours later."""
    found = _changes(seen, timedelta(hours=spec.limits["from"]), timedelta(hours=spec.limits["hours"]))
    if found is None:
        return None
    name, limit, now, earlier = found
    if not earlier or any(before <= limit for before in earlier):
        return None
    if any(abs(now - before) >= spec.limits["relative"] / 100 * before for before in earlier):
        return None
    return Hit(seen, members=(name,))


def _changes(seen: Seen, start: timedelta, end: timedelta) -> tuple[str, float, float, list[float]] | None:
    """(analyte, high limit, now, earlier ones newest first) of the first troponin that lies above its limit."""
    for name in _TROPONINS:
        placed = seen.result(name)
        if placed is None or placed.number is None or placed.interval is None or not placed.interval.high:
            continue
        if placed.number <= placed.interval.high:
            continue
        earlier = [prior.number for prior in placed.priors if start <= since(placed, prior.effective) <= end]
        return name, placed.interval.high, placed.number, earlier
    return None


RULES: dict[str, Rule] = {"troponin-01h": one_hour, "troponin-rise": rise, "troponin-stable": stable}
