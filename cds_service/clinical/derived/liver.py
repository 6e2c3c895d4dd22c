"""Scores of liver values. Bilirubin and creatinine in mg/dL, albumin in g/dL, platelets in 10*9/L, enzymes in U/L."""

from __future__ import annotations

import math

from cds_service.clinical.derived.formula import SAME_DAY, Formula, Numbers, Person, adult

STERLING = "Sterling RK, et al. Development of a simple noninvasive index to predict significant fibrosis in patients with HIV/HCV coinfection. Hepatology 2006;43:1317-25"
AASLD_NAFLD = "Rinella ME, et al. AASLD Practice Guidance on the clinical assessment and management of nonalcoholic fatty liver disease. Hepatology 2023;77:1797-835"
WAI = "Wai CT, et al. A simple noninvasive index can predict both significant fibrosis and cirrhosis in patients with chronic hepatitis C. Hepatology 2003;38:518-26"
KIM = "Kim WR, et al. MELD 3.0: the Model for End-Stage Liver Disease updated for the modern era. Gastroenterology 2021;161:1887-95"
DE_RITIS = "De Ritis F, Coltorti M, Giusti G. An enzymic test for the diagnosis of viral hepatitis: the transaminase serum activities. Clin Chim Acta 1957;2:70-4"
GILBERT = (
    "Wagner KH, et al. Diagnostic criteria and contributors to Gilbert's syndrome. Crit Rev Clin Lab Sci 2018;55:129-39"
)
ACG_LIVER = "Kwo PY, Cohen SM, Lim JK. ACG Clinical Guideline: evaluation of abnormal liver chemistries. Am J Gastroenterol 2017;112:18-35"


def fib4(age: float, ast: float, alt: float, platelets: float) -> float:
    """Age x AST / (platelets x root of ALT)."""
    return age * ast / (platelets * math.sqrt(alt))


def apri(ast_times_limit: float, platelets: float) -> float:
    """100 x (AST / its high limit) / platelets."""
    return 100 * ast_times_limit / platelets


def meld3(bilirubin: float, sodium: float, inr: float, creatinine: float, albumin: float, *, female: bool) -> float:
    """MELD 3.0, rounded: bilirubin, INR and creatinine at least 1, creatinine at most 3, sodium 125-137, albumin 1.5-3.5;
    the score 6 to 40."""
    log_bilirubin, log_inr = math.log(max(bilirubin, 1.0)), math.log(max(inr, 1.0))
    log_creatinine = math.log(min(max(creatinine, 1.0), 3.0))
    low_sodium = 137 - min(max(sodium, 125.0), 137.0)
    low_albumin = 3.5 - min(max(albumin, 1.5), 3.5)
    found = (
        (1.33 if female else 0.0)
        + 4.56 * log_bilirubin
        + 0.82 * low_sodium
        - 0.24 * low_sodium * log_bilirubin
        + 9.09 * log_inr
        + 11.14 * log_creatinine
        + 1.85 * low_albumin
        - 1.83 * low_albumin * log_creatinine
        + 6
    )
    return float(min(40, max(6, math.floor(found + 0.5))))


def _fib4(x: Numbers, person: Person) -> float | None:
    if not adult(person) or person.age is None or min(x["alt"], x["ast"], x["platelets"]) <= 0:
        return None
    if x.get("alt/limit", 0.0) >= 5 or x.get("ast/limit", 0.0) >= 5:
        return None
    return fib4(person.age, x["ast"], x["alt"], x["platelets"])


def _meld(x: Numbers, person: Person) -> float | None:
    if person.age is None or person.age < 12 or person.sex is None:
        return None
    return meld3(
        x["bilirubin-total"], x["sodium"], x["inr"], x["creatinine"], x["albumin"], female=person.sex == "female"
    )


FORMULAS = (
    Formula(
        "fib-4",
        "",
        ("ast", "alt", "platelets"),
        _fib4,
        "age × AST / (platelets × √ALT)",
        "Adults, no acute hepatitis (ALT and AST below 5 times their limits). Less sure below 35 years.",
        STERLING,
        digits=2,
        optional=("alt/limit", "ast/limit"),
        window=SAME_DAY,
        interval=(None, 2.67),
        interval_source=AASLD_NAFLD,
        flag="H",
    ),
    Formula(
        "apri",
        "",
        ("ast/limit", "platelets"),
        lambda x, person: apri(x["ast/limit"], x["platelets"]) if adult(person) and x["platelets"] > 0 else None,
        "100 × (AST / its high limit) / platelets",
        "Adults.",
        WAI,
        digits=2,
        window=SAME_DAY,
    ),
    Formula(
        "r-ratio",
        "",
        ("alt/limit", "alp/limit"),
        lambda x, person: (
            x["alt/limit"] / x["alp/limit"]
            if x["alp/limit"] > 0 and (x["alt/limit"] >= 2 or x["alp/limit"] >= 1.5)
            else None
        ),
        "(ALT / its high limit) / (ALP / its high limit)",
        "ALT at twice its limit or more, or ALP at 1.5 times.",
        ACG_LIVER,
        window=SAME_DAY,
    ),
    Formula(
        "de-ritis",
        "",
        ("ast", "alt"),
        lambda x, person: x["ast"] / x["alt"] if adult(person) and x["alt"] > 0 else None,
        "AST / ALT",
        "Adults.",
        DE_RITIS,
    ),
    Formula(
        "direct-bilirubin-share",
        "%",
        ("bilirubin-direct", "bilirubin-total"),
        lambda x, _: 100 * x["bilirubin-direct"] / x["bilirubin-total"] if x["bilirubin-total"] > 0 else None,
        "100 × direct / total bilirubin",
        "One sample.",
        GILBERT,
        digits=0,
    ),
    Formula(
        "meld-3",
        "",
        ("bilirubin-total", "sodium", "inr", "creatinine", "albumin"),
        _meld,
        "1.33 (women) + 4.56 ln(bilirubin) + 0.82 (137 − Na) − 0.24 (137 − Na) ln(bilirubin) + 9.09 ln(INR) + "
        "11.14 ln(creatinine) + 1.85 (3.5 − albumin) − 1.83 (3.5 − albumin) ln(creatinine) + 6",
        "From 12 years. Bilirubin, INR, creatinine at least 1; creatinine at most 3; Na 125-137; albumin 1.5-3.5; score 6-40. "
        "Means something in chronic liver disease only.",
        KIM,
        digits=0,
        window=SAME_DAY,
    ),
)
