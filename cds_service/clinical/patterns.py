"""Patterns: several results that mean more together. Each is one pure function with its criteria and source.

Numbers are in the catalog's canonical units (``PanelResult.canonical``). The newest result of an analyte speaks. A
pattern never asserts a diagnosis and names no dose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cds_service.clinical.analytes import UNITS
from cds_service.clinical.taint import haemolysed
from cds_service.domain import Finding, Indicator, Pattern, Said
from fhir_adapter.model import Panel, PanelResult, Quantity

KDIGO_AKI = "KDIGO Clinical Practice Guideline for Acute Kidney Injury, Kidney Int Suppl 2012;2:1-138"
ADA_CRISES = "Umpierrez GE et al. Hyperglycemic Crises in Adults With Diabetes: A Consensus Report, Diabetes Care 2024;47:1257-1275"
WHO_HB = "WHO guideline on haemoglobin cutoffs to define anaemia in individuals and populations, 2024"
ACG_LIVER = "Kwo PY, Cohen SM, Lim JK. ACG Clinical Guideline: Evaluation of Abnormal Liver Chemistries, Am J Gastroenterol 2017;112:18-35"
FDA_HY = "FDA Guidance for Industry: Drug-Induced Liver Injury: Premarketing Clinical Evaluation, 2009"
NEUTROPENIA = "Freifeld AG et al. IDSA Clinical Practice Guideline for Antimicrobial Agents in Neutropenic Patients, Clin Infect Dis 2011;52:e56-e93"
PSEUDO_K = "CLSI C56-A: Hemolysis, Icterus, and Lipemia/Turbidity Indices as Indicators of Interference, 2012"
PANCYTOPENIA = "Gnanaraj J et al. Approach to pancytopenia in adults, Blood Rev 2018;32:361-367"


@dataclass(frozen=True, slots=True)
class Seen:
    """The newest judged number of each analyte: what the patterns look at."""

    panel: Panel
    newest: dict[str, int]
    findings: Sequence[Finding]

    def index(self, analyte: str) -> int | None:
        return self.newest.get(analyte)

    def number(self, analyte: str) -> float | None:
        """The canonical number, or None where it isn't there or isn't exact."""
        index = self.newest.get(analyte)
        return None if index is None else self.panel.results[index].canonical

    def code(self, analyte: str) -> str | None:
        index = self.newest.get(analyte)
        return None if index is None else self.findings[index].code

    def answer(self, analyte: str) -> str | None:
        """The code of the newest judged answer of an analyte, numbers or words; None where it wasn't tested."""
        for index, placed in enumerate(self.panel.results):
            if (
                placed.analyte is not None
                and placed.analyte.id == analyte
                and placed.newest
                and self.findings[index].code
            ):
                return self.findings[index].code
        return None

    def high_limit(self, analyte: str) -> float | None:
        """The high limit of the result's own interval, in the canonical unit."""
        index = self.newest.get(analyte)
        if index is None:
            return None
        placed = self.panel.results[index]
        if placed.interval is None or not placed.interval.high or not placed.number or placed.canonical is None:
            return None
        return placed.interval.high * placed.canonical / placed.number

    def indices(self, *analytes: str) -> tuple[int, ...]:
        return tuple(self.newest[analyte] for analyte in analytes if analyte in self.newest)


def find(panel: Panel, findings: Sequence[Finding]) -> tuple[Pattern, ...]:
    """All patterns of a panel, most urgent first."""
    seen = Seen(panel, _newest(panel, findings), findings)
    found = [pattern for rule in RULES if (pattern := rule(seen)) is not None]
    order = {"critical": 0, "warning": 1, "info": 2}
    return tuple(sorted(found, key=lambda pattern: order[pattern.severity]))


def _newest(panel: Panel, findings: Sequence[Finding]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for index, placed in enumerate(panel.results):
        if (
            placed.analyte is None
            or placed.analyte.id not in UNITS
            or not placed.newest
            or findings[index].code is None
        ):
            continue
        value = placed.result.value
        if (
            placed.canonical is None
            or placed.implausible
            or not isinstance(value, Quantity)
            or value.comparator is not None
        ):
            continue
        newest.setdefault(placed.analyte.id, index)
    return newest


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


def aki_stage(placed: PanelResult) -> int:
    """KDIGO AKI stage by serum creatinine against the lowest prior of 7 days (or +0.3 mg/dL within 48 h); 0 if none.

    Urine output isn't known here. Numbers are in the result's own unit, so ratios need none; the absolute steps use the
    canonical unit, mg/dL.
    """
    if placed.number is None or placed.canonical is None or placed.result.effective is None or placed.number <= 0:
        return 0
    to_canonical = placed.canonical / placed.number
    now = placed.result.effective
    week = [prior.number for prior in placed.priors if now - prior.effective <= timedelta(days=7) and prior.number > 0]
    two_days = [prior.number for prior in placed.priors if now - prior.effective <= timedelta(hours=48)]
    ratio = placed.number / min(week) if week else 0.0
    rise = (placed.number - min(two_days)) * to_canonical if two_days else 0.0
    if ratio < 1.5 - 1e-9 and rise < 0.3 - 1e-9:
        return 0
    if ratio >= 3.0 - 1e-9 or placed.canonical >= 4.0:
        return 3
    return 2 if ratio >= 2.0 - 1e-9 else 1


def acute_kidney_injury(seen: Seen) -> Pattern | None:
    index = seen.index("creatinine")
    stage = aki_stage(seen.panel.results[index]) if index is not None else 0
    if not stage:
        return None
    severity: Indicator = "critical" if stage == 3 else "warning"
    return _pattern(seen, "aki", severity, KDIGO_AKI, ("creatinine", "urea-nitrogen", "urea"), {"stage": str(stage)})


def hyperkalaemia_kidney(seen: Seen) -> Pattern | None:
    """Potassium >= 6.0 mmol/L with a creatinine above its interval or an AKI by KDIGO, on an untainted sample."""
    potassium, index = seen.number("potassium"), seen.index("creatinine")
    if potassium is None or potassium < 6.0 or index is None:
        return None
    own = seen.index("potassium")
    if own is not None and _spoiled(seen, own):
        return None
    if seen.code("creatinine") not in ("H", "HH") and not aki_stage(seen.panel.results[index]):
        return None
    return _pattern(
        seen,
        "hyperkalaemia-kidney",
        "critical",
        KDIGO_AKI,
        ("potassium", "creatinine", "urea-nitrogen", "urea", "bicarbonate"),
    )


def pseudohyperkalaemia(seen: Seen) -> Pattern | None:
    """A potassium above its interval on a haemolysed sample."""
    index = seen.index("potassium")
    if index is None or seen.code("potassium") not in ("H", "HH") or not _spoiled(seen, index):
        return None
    return _pattern(seen, "haemolysed-potassium", "warning", PSEUDO_K, ("potassium",))


def _spoiled(seen: Seen, index: int) -> bool:
    return haemolysed(seen.panel.results[index]) or any(
        basis.said.key == "haemolysed" for basis in seen.findings[index].basis
    )


def ketoacidosis(seen: Seen) -> Pattern | None:
    """Glucose >= 200 mg/dL (11.1 mmol/L) with bicarbonate < 18 mmol/L or pH < 7.3, with ketones in the urine or,
    where they weren't tested, an anion gap above 12 mmol/L (ADA consensus 2024; the gap, where not reported, from sodium,
    chloride and bicarbonate)."""
    glucose = seen.number("glucose")
    if glucose is None or glucose < 200:
        return None
    bicarbonate = seen.number("bicarbonate")
    ph = next((number for id in ("ph", "ph-venous") if (number := seen.number(id)) is not None), None)
    acid = (bicarbonate is not None and bicarbonate < 18) or (ph is not None and ph < 7.3)
    gap = seen.number("anion-gap")
    sodium, chloride = seen.number("sodium"), seen.number("chloride")
    if gap is None and sodium is not None and chloride is not None and bicarbonate is not None:
        gap = sodium - chloride - bicarbonate
    ketones = seen.answer("urine-ketones")
    if not acid or ketones == "N" or not (ketones is not None or (gap is not None and gap > 12)):
        return None
    members = ("glucose", "bicarbonate", "ph", "ph-venous", "anion-gap", "potassium", "sodium", "chloride")
    return _pattern(seen, "ketoacidosis", "critical", ADA_CRISES, members)


def microcytic_anaemia(seen: Seen) -> Pattern | None:
    """Haemoglobin and MCV below their intervals; a ferritin below 15 ng/mL (WHO: 12 to 15 by age) speaks for iron deficiency."""
    if seen.code("haemoglobin") not in ("L", "LL") or seen.code("mcv") not in ("L", "LL"):
        return None
    ferritin = seen.number("ferritin")
    kind = "iron-deficiency-anaemia" if ferritin is not None and ferritin < 15 else "microcytic-anaemia"
    return _pattern(seen, kind, "warning", WHO_HB, ("haemoglobin", "mcv", "ferritin", "iron", "transferrin", "crp"))


def pancytopenia(seen: Seen) -> Pattern | None:
    """Haemoglobin, white cells and platelets all below their intervals."""
    if any(seen.code(id) not in ("L", "LL") for id in ("haemoglobin", "leucocytes", "platelets")):
        return None
    return _pattern(
        seen, "pancytopenia", "warning", PANCYTOPENIA, ("haemoglobin", "leucocytes", "platelets", "neutrophils")
    )


def neutropenia(seen: Seen) -> Pattern | None:
    """Absolute neutrophils below 0.5 x 10^9/L."""
    count = seen.number("neutrophils")
    if count is None or count >= 0.5:
        return None
    return _pattern(seen, "severe-neutropenia", "critical", NEUTROPENIA, ("neutrophils", "leucocytes"))


def liver(seen: Seen) -> Pattern | None:
    """R = (ALT / its high limit) / (ALP / its high limit), where ALT or ALP is above its interval: >= 5 hepatocellular, <= 2
    cholestatic, else mixed (ACG 2017). ALT >= 3x with bilirubin >= 2x and ALP < 2x its limit is Hy's law (FDA 2009)."""
    alt, alt_limit = seen.number("alt"), seen.high_limit("alt")
    alp, alp_limit = seen.number("alp"), seen.high_limit("alp")
    if alt is None or not alt_limit or alp is None or not alp_limit or alp <= 0:
        return None
    times_alt, times_alp = alt / alt_limit, alp / alp_limit
    bilirubin, bilirubin_limit = seen.number("bilirubin-total"), seen.high_limit("bilirubin-total")
    if (
        times_alt >= 3
        and times_alp < 2
        and bilirubin is not None
        and bilirubin_limit
        and bilirubin >= 2 * bilirubin_limit
    ):
        return _pattern(seen, "hys-law", "critical", FDA_HY, ("alt", "ast", "alp", "bilirubin-total"))
    if times_alt < 2 and times_alp < 1.5:
        return None
    ratio = times_alt / times_alp
    kind = "hepatocellular" if ratio >= 5 else "cholestatic" if ratio <= 2 else "mixed-liver"
    return _pattern(
        seen, kind, "warning", ACG_LIVER, ("alt", "ast", "alp", "ggt", "bilirubin-total"), {"ratio": f"{ratio:.1f}"}
    )


RULES: tuple[Callable[[Seen], Pattern | None], ...] = (
    hyperkalaemia_kidney,
    acute_kidney_injury,
    pseudohyperkalaemia,
    ketoacidosis,
    microcytic_anaemia,
    pancytopenia,
    neutropenia,
    liver,
)
