"""Kidney: what takes a creatinine's past."""

from __future__ import annotations

from datetime import timedelta

from cds_service.clinical.derived.kidney import egfr_creatinine
from cds_service.clinical.kidney import aki_stage, has_risen
from cds_service.clinical.patterns.sample import spoiled
from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen, since

_DAYS_A_YEAR = 365.2425


def acute_kidney_injury(seen: Seen, spec: Spec) -> Hit | None:
    """A creatinine that has risen as KDIGO 2012 defines it; stage 3 is critical."""
    creatinine = seen.result("creatinine")
    stage = 0 if creatinine is None else aki_stage(creatinine)
    if not stage:
        return None
    return Hit(spec.near(seen, "creatinine"), {"stage": str(stage)}, "critical" if stage == 3 else "warning")


def chronic_kidney_disease(seen: Seen, spec: Spec) -> Hit | None:
    """eGFR or albuminuria beyond KDIGO's limits now and three months ago."""
    creatinine = seen.result("creatinine")
    if creatinine is not None and has_risen(creatinine):
        return None
    days, limit = timedelta(days=spec.limits["days"]), spec.limits["egfr"]
    now = seen.number("egfr")
    filtration = _filtrations(seen)
    if now is not None and now < limit and _lasting([(at, number < limit) for at, number in filtration], days):
        return Hit(seen, {"stage": _stage(now), "egfr": f"{now:.0f}"}, members=("creatinine", "egfr"))
    ratio = seen.result("albumin-creatinine-ratio")
    if ratio is None or ratio.canonical is None or not ratio.number or ratio.canonical < spec.limits["acr"]:
        return None
    scale = ratio.canonical / ratio.number
    past = [(since(ratio, prior.effective), prior.number * scale >= spec.limits["acr"]) for prior in ratio.priors]
    if now is None or not _lasting(past, days):
        return None
    params = {"stage": f"{_stage(now)} {'A3' if ratio.canonical >= 300 else 'A2'}", "egfr": f"{now:.0f}"}
    return Hit(seen, params, members=("albumin-creatinine-ratio", "creatinine", "egfr"))


def _filtrations(seen: Seen) -> list[tuple[timedelta, float]]:
    """Earlier eGFR, newest first, as (how long ago, number): the laboratory's own, else computed from creatinines."""
    own = seen.result("egfr")
    if own is not None and own.priors:
        return [(since(own, prior.effective), prior.number) for prior in own.priors]
    creatinine, sex = seen.result("creatinine"), seen.panel.patient.sex
    if creatinine is None or creatinine.canonical is None or not creatinine.number or sex is None:
        return []
    scale, found = creatinine.canonical / creatinine.number, []
    for prior in creatinine.priors:
        ago = since(creatinine, prior.effective)
        age = (creatinine.age_years or 0.0) - ago.days / _DAYS_A_YEAR
        if age >= 18 and prior.number > 0:
            found.append((ago, egfr_creatinine(prior.number * scale, age, sex)))
    return found


def _lasting(past: list[tuple[timedelta, bool]], days: timedelta) -> bool:
    """Whether it was so at least that long ago, and every time since."""
    for ago, so in past:
        if not so:
            return False
        if ago >= days:
            return True
    return False


def _stage(egfr: float) -> str:
    """KDIGO's category of filtration."""
    for limit, name in ((90, "G1"), (60, "G2"), (45, "G3a"), (30, "G3b"), (15, "G4")):
        if egfr >= limit:
            return name
    return "G5"


def hyperkalaemia_kidney(seen: Seen, spec: Spec) -> Hit | None:
    """Potassium with a creatinine above its interval or an AKI by KDIGO, on an untainted sample."""
    potassium = seen.number("potassium")
    if potassium is None or potassium < spec.limits["potassium"] or spoiled(seen, "potassium"):
        return None
    near = spec.near(seen, "potassium")
    creatinine = near.result("creatinine")
    if creatinine is None or (near.code("creatinine") not in ("H", "HH") and not aki_stage(creatinine)):
        return None
    return Hit(near)


RULES: dict[str, Rule] = {
    "aki": acute_kidney_injury,
    "ckd": chronic_kidney_disease,
    "hyperkalaemia-kidney": hyperkalaemia_kidney,
}
