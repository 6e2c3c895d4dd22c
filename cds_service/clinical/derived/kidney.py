"""Filtration, urine indices. Creatinine and urea nitrogen in mg/dL, cystatin C in mg/L, urine as in the catalog."""

from __future__ import annotations

from math import pow

from cds_service.clinical.derived.formula import SAME_DAY, Formula, Numbers, Person, adult
from fhir_adapter.model import Sex

INKER2021 = (
    "Inker LA, et al. New creatinine- and cystatin C-based equations to estimate GFR without race. "
    "N Engl J Med 2021;385:1737-49"
)
INKER2012 = "Inker LA, et al. Estimating glomerular filtration rate from serum creatinine and cystatin C. N Engl J Med 2012;367:20-9"
SCHWARTZ = "Schwartz GJ, et al. New equations to estimate GFR in children with CKD. J Am Soc Nephrol 2009;20:629-37"
KDIGO_CKD = "KDIGO 2024 Clinical Practice Guideline for the Evaluation and Management of Chronic Kidney Disease. Kidney Int 2024;105(4S):S117-S314"
ESPINEL = "Espinel CH. The FENa test: use in the differential diagnosis of acute renal failure. JAMA 1976;236:579-81"
CARVOUNIS = "Carvounis CP, Nisar S, Guro-Razuman S. Significance of the fractional excretion of urea in the differential diagnosis of acute renal failure. Kidney Int 2002;62:2223-9"
DOSSETOR = "Dossetor JB. Creatininemia versus uremia. Ann Intern Med 1966;65:1287-99"


def egfr_creatinine(creatinine: float, age: float, sex: Sex) -> float:
    """CKD-EPI 2021, creatinine: mL/min/1.73 m²."""
    female = sex == "female"
    ratio = creatinine / (0.7 if female else 0.9)
    alpha = -0.241 if female else -0.302
    found = 142 * pow(min(ratio, 1.0), alpha) * pow(max(ratio, 1.0), -1.200) * pow(0.9938, age)
    return found * 1.012 if female else found


def egfr_cystatin(cystatin: float, age: float, sex: Sex) -> float:
    """CKD-EPI 2012, cystatin C, which the 2021 paper keeps: mL/min/1.73 m²."""
    ratio = cystatin / 0.8
    found = 133 * pow(min(ratio, 1.0), -0.499) * pow(max(ratio, 1.0), -1.328) * pow(0.996, age)
    return found * 0.932 if sex == "female" else found


def egfr_both(creatinine: float, cystatin: float, age: float, sex: Sex) -> float:
    """CKD-EPI 2021, creatinine and cystatin C: mL/min/1.73 m²."""
    female = sex == "female"
    ratio, other = creatinine / (0.7 if female else 0.9), cystatin / 0.8
    alpha = -0.219 if female else -0.144
    found = 135 * pow(min(ratio, 1.0), alpha) * pow(max(ratio, 1.0), -0.544)
    found *= pow(min(other, 1.0), -0.323) * pow(max(other, 1.0), -0.778) * pow(0.9961, age)
    return found * 0.963 if female else found


def egfr_schwartz(creatinine: float, height_cm: float) -> float:
    """The bedside equation of 2009, creatinine by an IDMS-traceable method: 0.413 x height / creatinine."""
    return 0.413 * height_cm / creatinine


def fractional_excretion(urine: float, plasma: float, urine_creatinine: float, creatinine: float) -> float | None:
    """100 x (urine x plasma creatinine) / (plasma x urine creatinine), in %; units cancel in pairs."""
    if plasma <= 0 or urine_creatinine <= 0:
        return None
    return 100 * urine * creatinine / (plasma * urine_creatinine)


def per_gram(substance: float, creatinine: float) -> float | None:
    """mg of a substance per g of creatinine in urine, both in mg/dL."""
    return None if creatinine <= 0 else 1000 * substance / creatinine


def _known(person: Person) -> bool:
    return adult(person) and person.sex is not None and person.pregnant is not True


def _creatinine(x: Numbers, person: Person) -> float | None:
    if not _known(person) or person.age is None or person.sex is None or x["creatinine"] <= 0:
        return None
    return egfr_creatinine(x["creatinine"], person.age, person.sex)


def _cystatin(x: Numbers, person: Person) -> float | None:
    if not _known(person) or person.age is None or person.sex is None or x["cystatin-c"] <= 0:
        return None
    return egfr_cystatin(x["cystatin-c"], person.age, person.sex)


def _both(x: Numbers, person: Person) -> float | None:
    if not _known(person) or person.age is None or person.sex is None or min(x["creatinine"], x["cystatin-c"]) <= 0:
        return None
    return egfr_both(x["creatinine"], x["cystatin-c"], person.age, person.sex)


def _schwartz(x: Numbers, person: Person) -> float | None:
    if person.age is None or not 1 <= person.age < 18 or person.height_cm is None or x["creatinine"] <= 0:
        return None
    return egfr_schwartz(x["creatinine"], person.height_cm)


GFR = "mL/min/{1.73_m2}"
_ADULTS = "Adults of known sex, not pregnant, creatinine steady: not where it has risen as in an acute kidney injury."

FORMULAS = (
    Formula(
        "egfr",
        GFR,
        ("creatinine",),
        _creatinine,
        "142 × min(Scr/κ, 1)^α × max(Scr/κ, 1)^−1.200 × 0.9938^age (× 1.012 for women); κ 0.7 for women, 0.9 for men; "
        "α −0.241 for women, −0.302 for men; Scr in mg/dL",
        _ADULTS,
        INKER2021,
        digits=0,
        interval=(60, None),
        interval_source=KDIGO_CKD,
        flag="L",
        reported="egfr",
        tolerance=(8.0, 0.15),
    ),
    Formula(
        "egfr-cystatin",
        GFR,
        ("cystatin-c",),
        _cystatin,
        "133 × min(Scys/0.8, 1)^−0.499 × max(Scys/0.8, 1)^−1.328 × 0.996^age (× 0.932 for women); Scys in mg/L",
        "Adults of known sex, not pregnant.",
        INKER2012,
        digits=0,
        interval=(60, None),
        interval_source=KDIGO_CKD,
        flag="L",
    ),
    Formula(
        "egfr-creatinine-cystatin",
        GFR,
        ("creatinine", "cystatin-c"),
        _both,
        "135 × min(Scr/κ, 1)^α × max(Scr/κ, 1)^−0.544 × min(Scys/0.8, 1)^−0.323 × max(Scys/0.8, 1)^−0.778 × 0.9961^age "
        "(× 0.963 for women); κ 0.7 for women, 0.9 for men; α −0.219 for women, −0.144 for men",
        _ADULTS,
        INKER2021,
        digits=0,
        window=SAME_DAY,
        interval=(60, None),
        interval_source=KDIGO_CKD,
        flag="L",
    ),
    Formula(
        "egfr-schwartz",
        GFR,
        ("creatinine",),
        _schwartz,
        "0.413 × height in cm / creatinine in mg/dL",
        "From 1 to 17 years, where the height stands in the bundle.",
        SCHWARTZ,
        digits=0,
        interval=lambda person: (60, None) if person.age is not None and person.age >= 2 else (None, None),
        interval_source=KDIGO_CKD,
        flag="L",
        reported="egfr",
        tolerance=(8.0, 0.15),
    ),
    Formula(
        "bun-creatinine-ratio",
        "",
        ("urea-nitrogen|urea", "creatinine"),
        lambda x, person: x["urea-nitrogen"] / x["creatinine"] if adult(person) and x["creatinine"] > 0 else None,
        "Urea nitrogen / creatinine, both in mg/dL",
        "Adults.",
        DOSSETOR,
        digits=0,
        interval=(10, 20),
        interval_source=DOSSETOR,
    ),
    Formula(
        "fractional-sodium",
        "%",
        ("urine-sodium", "sodium", "urine-creatinine", "creatinine"),
        lambda x, _: fractional_excretion(x["urine-sodium"], x["sodium"], x["urine-creatinine"], x["creatinine"]),
        "100 × (urine Na × serum creatinine) / (serum Na × urine creatinine)",
        "Blood and urine within 24 hours. Diuretics raise it.",
        ESPINEL,
        digits=2,
        window=SAME_DAY,
    ),
    Formula(
        "fractional-urea",
        "%",
        ("urine-urea-nitrogen", "urea-nitrogen|urea", "urine-creatinine", "creatinine"),
        lambda x, _: fractional_excretion(
            x["urine-urea-nitrogen"], x["urea-nitrogen"], x["urine-creatinine"], x["creatinine"]
        ),
        "100 × (urine urea N × serum creatinine) / (serum urea N × urine creatinine)",
        "Blood and urine within 24 hours; holds under diuretics too.",
        CARVOUNIS,
        window=SAME_DAY,
    ),
    Formula(
        "albumin-creatinine-ratio",
        "mg/g",
        ("urine-albumin", "urine-creatinine"),
        lambda x, _: per_gram(x["urine-albumin"], x["urine-creatinine"]),
        "1000 × urine albumin / urine creatinine, both in mg/dL",
        "One urine sample.",
        KDIGO_CKD,
        digits=0,
        interval=(None, 30),
        interval_source=KDIGO_CKD,
        flag="H",
        reported="albumin-creatinine-ratio",
    ),
    Formula(
        "protein-creatinine-ratio",
        "mg/g",
        ("urine-protein", "urine-creatinine"),
        lambda x, _: per_gram(x["urine-protein"], x["urine-creatinine"]),
        "1000 × urine protein / urine creatinine, both in mg/dL",
        "One urine sample, protein measured (not a strip).",
        KDIGO_CKD,
        digits=0,
        interval=lambda person: (None, 300 if person.pregnant else 150),
        interval_source=KDIGO_CKD,
        flag="H",
        reported="protein-creatinine-ratio",
    ),
)
