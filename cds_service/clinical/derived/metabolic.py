"""Lipids, insulin and proteins. Lipids and glucose in mg/dL, insulin in m[IU]/L, proteins in g/dL."""

from __future__ import annotations

from cds_service.clinical.derived.formula import SAME_DAY, Formula, Numbers, Person, adult

FRIEDEWALD = (
    "Friedewald WT, Levy RI, Fredrickson DS. Estimation of the concentration of low-density lipoprotein cholesterol in "
    "plasma, without use of the preparative ultracentrifuge. Clin Chem 1972;18:499-502"
)
SAMPSON = "Sampson M, et al. A new equation for calculation of low-density lipoprotein cholesterol in patients with normolipidemia and/or hypertriglyceridemia. JAMA Cardiol 2020;5:540-8"
AHA2018 = (
    "Grundy SM, et al. 2018 AHA/ACC guideline on the management of blood cholesterol. Circulation 2019;139:e1082-143"
)
MATTHEWS = "Matthews DR, et al. Homeostasis model assessment: insulin resistance and beta-cell function. Diabetologia 1985;28:412-9"


def friedewald(total: float, hdl: float, triglycerides: float) -> float | None:
    """Total - HDL - triglycerides / 5; triglycerides below 400 mg/dL."""
    return None if triglycerides >= 400 else total - hdl - triglycerides / 5


def sampson(total: float, hdl: float, triglycerides: float) -> float | None:
    """The NIH equation, triglycerides up to 800 mg/dL."""
    if triglycerides > 800:
        return None
    non_hdl = total - hdl
    return (
        total / 0.948
        - hdl / 0.971
        - (triglycerides / 8.56 + triglycerides * non_hdl / 2140 - triglycerides**2 / 16100)
        - 9.44
    )


def homa_ir(glucose: float, insulin: float) -> float:
    """Fasting glucose (mg/dL) x fasting insulin (m[IU]/L) / 405."""
    return glucose * insulin / 405


def _positive(number: float | None) -> float | None:
    return number if number is not None and number > 0 else None


def _homa(x: Numbers, person: Person) -> float | None:
    return homa_ir(x["glucose"], x["insulin"]) if adult(person) and x["glucose"] < 300 else None


FORMULAS = (
    Formula(
        "non-hdl-cholesterol",
        "mg/dL",
        ("cholesterol", "hdl-cholesterol"),
        lambda x, _: _positive(x["cholesterol"] - x["hdl-cholesterol"]),
        "Total cholesterol − HDL cholesterol",
        "One sample, fasting or not.",
        AHA2018,
        digits=0,
        shown_like="cholesterol",
        reported="non-hdl-cholesterol",
        tolerance=(8.0, 0.08),
    ),
    Formula(
        "ldl-friedewald",
        "mg/dL",
        ("cholesterol", "hdl-cholesterol", "triglycerides"),
        lambda x, _: _positive(friedewald(x["cholesterol"], x["hdl-cholesterol"], x["triglycerides"])),
        "Total − HDL − triglycerides / 5, in mg/dL",
        "Triglycerides below 400 mg/dL (4.5 mmol/L). Meant for a fasting sample.",
        FRIEDEWALD,
        digits=0,
        shown_like="cholesterol",
    ),
    Formula(
        "ldl-sampson",
        "mg/dL",
        ("cholesterol", "hdl-cholesterol", "triglycerides"),
        lambda x, _: _positive(sampson(x["cholesterol"], x["hdl-cholesterol"], x["triglycerides"])),
        "Total / 0.948 − HDL / 0.971 − (TG / 8.56 + TG × non-HDL / 2140 − TG² / 16100) − 9.44, in mg/dL",
        "Triglycerides up to 800 mg/dL (9 mmol/L).",
        SAMPSON,
        digits=0,
        shown_like="cholesterol",
        interval=(None, 190),
        interval_source=AHA2018,
        flag="H",
        reported="ldl-cholesterol",
        tolerance=(20.0, 0.2),
    ),
    Formula(
        "homa-ir",
        "",
        ("glucose", "insulin"),
        _homa,
        "fasting glucose in mg/dL × fasting insulin in mIU/L / 405",
        "Adults, only where the glucose is known to be a fasting one.",
        MATTHEWS,
    ),
    Formula(
        "globulin",
        "g/dL",
        ("total-protein", "albumin"),
        lambda x, _: _positive(x["total-protein"] - x["albumin"]),
        "Total protein − albumin",
        "One sample.",
        "Wu AHB, ed. Tietz Clinical Guide to Laboratory Tests. 4th ed. Saunders Elsevier; 2006",
        window=SAME_DAY,
        shown_like="total-protein",
        reported="globulin",
        tolerance=(0.5, 0.0),
    ),
)
