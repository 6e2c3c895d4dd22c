"""Patterns: several results that mean more together. Each is one pure function with its criteria and source.

Numbers are in the catalog's canonical units (``PanelResult.canonical``). The newest result of an analyte speaks. A
pattern never asserts a diagnosis and names no dose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Literal

from cds_service.clinical.analytes import URINE_KETONES
from cds_service.clinical.kidney import aki_stage
from cds_service.clinical.seen import Seen
from cds_service.clinical.taint import SOURCE as PSEUDO_K
from cds_service.clinical.taint import haemolysed
from cds_service.domain import Indicator, Pattern, Said
from fhir_adapter.model import Answer, Quantity

KDIGO_AKI = "KDIGO Clinical Practice Guideline for Acute Kidney Injury, Kidney Int Suppl 2012;2:1-138"
ADA_CRISES = "Umpierrez GE et al. Hyperglycemic Crises in Adults With Diabetes: A Consensus Report, Diabetes Care 2024;47:1257-1275"
WHO_HB = "WHO guideline on haemoglobin cutoffs to define anaemia in individuals and populations, 2024"
WHO_FERRITIN = (
    "WHO guideline on use of ferritin concentrations to assess iron status in individuals and populations, 2020"
)
ACG_LIVER = "Kwo PY, Cohen SM, Lim JK. ACG Clinical Guideline: Evaluation of Abnormal Liver Chemistries, Am J Gastroenterol 2017;112:18-35"
FDA_HY = "FDA Guidance for Industry: Drug-Induced Liver Injury: Premarketing Clinical Evaluation, 2009"
NEUTROPENIA = "Freifeld AG et al. Clinical practice guideline for the use of antimicrobial agents in neutropenic patients with cancer: 2010 update by the IDSA, Clin Infect Dis 2011;52:e56-e93"
PANCYTOPENIA = "Gnanaraj J et al. Approach to pancytopenia: Diagnostic algorithm for clinical hematologists, Blood Rev 2018;32:361-367"

ACUTE = timedelta(hours=24)
"""How far apart the parts of an acid-base picture may have been taken."""
TOGETHER = timedelta(hours=48)
"""How far apart the parts of a slower picture may have been taken: KDIGO's own short window."""


def find(seen: Seen) -> tuple[Pattern, ...]:
    """All patterns of a panel, most urgent first."""
    found = [pattern for rule in RULES if (pattern := rule(seen)) is not None]
    order = {"critical": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda pattern: order[pattern.severity]))


def _pattern(
    seen: Seen,
    id: str,
    severity: Indicator,
    citation: str,
    analytes: Sequence[str],
    params: dict[str, str] | None = None,
) -> Pattern:
    said = params or {}
    return Pattern(
        id, Said(f"pattern-{id}-title", said), Said(f"pattern-{id}", said), severity, seen.indices(*analytes), citation
    )


def acute_kidney_injury(seen: Seen) -> Pattern | None:
    """A creatinine that has risen as KDIGO 2012 defines an acute kidney injury; stage 3 is critical."""
    creatinine = seen.result("creatinine")
    stage = 0 if creatinine is None else aki_stage(creatinine)
    if not stage:
        return None
    severity: Indicator = "critical" if stage == 3 else "warning"
    near = seen.near("creatinine", TOGETHER)
    return _pattern(near, "aki", severity, KDIGO_AKI, ("creatinine", "urea-nitrogen", "urea"), {"stage": str(stage)})


def hyperkalaemia_kidney(seen: Seen) -> Pattern | None:
    """Potassium >= 6.0 mmol/L with a creatinine above its interval or an AKI by KDIGO, on an untainted sample."""
    potassium = seen.number("potassium")
    if potassium is None or potassium < 6.0 or _spoiled(seen, "potassium"):
        return None
    near = seen.near("potassium", TOGETHER)
    creatinine = near.result("creatinine")
    if creatinine is None or (near.code("creatinine") not in ("H", "HH") and not aki_stage(creatinine)):
        return None
    members = ("potassium", "creatinine", "urea-nitrogen", "urea", "bicarbonate")
    return _pattern(near, "hyperkalaemia-kidney", "critical", KDIGO_AKI, members)


def pseudohyperkalaemia(seen: Seen) -> Pattern | None:
    """A potassium above its interval on a haemolysed sample."""
    if seen.code("potassium") not in ("H", "HH") or not _spoiled(seen, "potassium"):
        return None
    return _pattern(seen, "haemolysed-potassium", "warning", PSEUDO_K, ("potassium",))


def _spoiled(seen: Seen, analyte: str) -> bool:
    index = seen.index(analyte)
    return index is not None and (
        haemolysed(seen.panel.results[index])
        or any(basis.said.key == "haemolysed" for basis in seen.findings[index].basis)
    )


def ketoacidosis(seen: Seen) -> Pattern | None:
    """Glucose >= 200 mg/dL (11.1 mmol/L) with bicarbonate < 18 mmol/L or pH < 7.3, and ketones of 2+ or more in the urine
    (ADA consensus 2024). Where they weren't tested, or are fewer, an anion gap above 12 mmol/L stands in (not reported: from
    sodium, chloride and bicarbonate); a strip without ketones speaks against. All within 24 h of the glucose."""
    glucose = seen.number("glucose")
    if glucose is None or glucose < 200:
        return None
    near = seen.near("glucose", ACUTE)
    bicarbonate = near.number("bicarbonate")
    ph = next((number for id in ("ph", "ph-venous") if (number := near.number(id)) is not None), None)
    if not ((bicarbonate is not None and bicarbonate < 18) or (ph is not None and ph < 7.3)):
        return None
    gap = near.number("anion-gap")
    sodium, chloride = near.number("sodium"), near.number("chloride")
    if gap is None and sodium is not None and chloride is not None and bicarbonate is not None:
        gap = sodium - chloride - bicarbonate
    ketones = _ketones(seen)
    if ketones == "none" or (ketones != "many" and not (gap is not None and gap > 12)):
        return None
    members = ("glucose", "bicarbonate", "ph", "ph-venous", "anion-gap", "potassium", "sodium", "chloride")
    return _pattern(near, "ketoacidosis", "critical", ADA_CRISES, members)


_FEW_KETONES = re.compile(r"\s*(?:\+?\s*1\s*\+?|\+|\+/?-|±|tr(?:ace)?s?|small|few|weak.*|faible.*)\s*\Z", re.IGNORECASE)
_MANY_KETONES = 40.0
"""mg/dL that a strip calls 2+ ("moderate")."""


def _ketones(seen: Seen) -> Literal["none", "few", "many"] | None:
    """What the newest urine strip within 24 h of the glucose says; None where there is none."""
    glucose = seen.result("glucose")
    at = None if glucose is None else glucose.result.effective
    for placed, finding in zip(seen.panel.results, seen.findings, strict=True):
        if placed.analyte is None or placed.analyte.id != URINE_KETONES or not placed.newest or finding.code is None:
            continue
        when = placed.result.effective
        if at is not None and when is not None and abs(when - at) > ACUTE:
            continue
        if finding.code == "N":
            return "none"
        value = placed.result.value
        few = isinstance(value, Answer) and _FEW_KETONES.match(value.text) is not None
        if isinstance(value, Quantity):
            few = placed.canonical is None or placed.canonical < _MANY_KETONES
        return "few" if few else "many"
    return None


def microcytic_anaemia(seen: Seen) -> Pattern | None:
    """Haemoglobin and MCV below their intervals. A ferritin below 15 ng/mL (12 under five years) speaks for iron
    deficiency (WHO 2020)."""
    blood = seen.near("haemoglobin", TOGETHER)
    if blood.code("haemoglobin") not in ("L", "LL") or blood.code("mcv") not in ("L", "LL"):
        return None
    members = ("haemoglobin", "mcv", "ferritin", "iron", "transferrin", "crp")
    ferritin = seen.result("ferritin")
    if ferritin is not None and ferritin.canonical is not None:
        limit = 12 if ferritin.age_years is not None and ferritin.age_years < 5 else 15
        if ferritin.canonical < limit:
            sources = f"{WHO_HB}; {WHO_FERRITIN}"
            return _pattern(seen, "iron-deficiency-anaemia", "warning", sources, members, {"limit": str(limit)})
    return _pattern(seen, "microcytic-anaemia", "warning", WHO_HB, members)


def pancytopenia(seen: Seen) -> Pattern | None:
    """Haemoglobin, white cells and platelets all below their intervals."""
    blood = seen.near("haemoglobin", TOGETHER)
    if any(blood.code(id) not in ("L", "LL") for id in ("haemoglobin", "leucocytes", "platelets")):
        return None
    members = ("haemoglobin", "leucocytes", "platelets", "neutrophils")
    return _pattern(blood, "pancytopenia", "warning", PANCYTOPENIA, members)


def neutropenia(seen: Seen) -> Pattern | None:
    """Absolute neutrophils below 0.5 x 10^9/L."""
    count = seen.number("neutrophils")
    if count is None or count >= 0.5:
        return None
    near = seen.near("neutrophils", TOGETHER)
    return _pattern(near, "severe-neutropenia", "critical", NEUTROPENIA, ("neutrophils", "leucocytes"))


def hys_law(seen: Seen) -> Pattern | None:
    """ALT or AST >= 3x its high limit with a total bilirubin > 2x and an ALP < 2x theirs: the laboratory part of Hy's law
    (FDA 2009)."""
    lead = max(("alt", "ast"), key=lambda id: seen.times_limit(id) or 0.0)
    enzyme = seen.times_limit(lead)
    near = seen.near(lead, TOGETHER)
    alp, bilirubin = near.times_limit("alp"), near.times_limit("bilirubin-total")
    if enzyme is None or alp is None or bilirubin is None or enzyme < 3 or alp >= 2 or bilirubin <= 2:
        return None
    members = dict.fromkeys((lead, "alt", "ast", "alp", "bilirubin-total"))
    return _pattern(near, "hys-law", "critical", FDA_HY, tuple(members))


def liver(seen: Seen) -> Pattern | None:
    """R = (ALT / its high limit) / (ALP / its high limit), where ALT is at twice its limit or ALP at 1.5 times: >= 5
    hepatocellular, <= 2 cholestatic, else mixed (ACG 2017). Hy's law goes before it."""
    if hys_law(seen) is not None:
        return None
    near = seen.near("alt", TOGETHER)
    alt, alp = near.times_limit("alt"), near.times_limit("alp")
    if alt is None or alp is None or alp <= 0 or (alt < 2 and alp < 1.5):
        return None
    ratio = alt / alp
    kind = "hepatocellular" if ratio >= 5 else "cholestatic" if ratio <= 2 else "mixed-liver"
    members = ("alt", "ast", "alp", "ggt", "bilirubin-total")
    return _pattern(near, kind, "warning", ACG_LIVER, members, {"ratio": f"{ratio:.1f}"})


RULES: tuple[Callable[[Seen], Pattern | None], ...] = (
    hyperkalaemia_kidney,
    acute_kidney_injury,
    pseudohyperkalaemia,
    ketoacidosis,
    microcytic_anaemia,
    pancytopenia,
    neutropenia,
    hys_law,
    liver,
)
