"""Anion gap, osmolality, corrected sodium and calcium. Numbers in canonical units: mmol/L, mg/dL, g/dL."""

from __future__ import annotations

from cds_service.clinical.derived.formula import SAME_DAY, Formula

EMMETT = "Emmett M, Narins RG. Clinical use of the anion gap. Medicine (Baltimore) 1977;56:38-54"
KRAUT = "Kraut JA, Madias NE. Serum anion gap: its uses and limitations in clinical medicine. Clin J Am Soc Nephrol 2007;2:162-74"
FIGGE = "Figge J, et al. Anion gap and hypoalbuminemia. Crit Care Med 1998;26:1807-10"
RASTEGAR = "Rastegar A. Use of the deltaAG/deltaHCO3- ratio in the diagnosis of mixed acid-base disorders. J Am Soc Nephrol 2007;18:2429-31"
PURSSELL = "Purssell RA, et al. Derivation and validation of a formula to calculate the contribution of ethanol to the osmolal gap. Ann Emerg Med 2001;38:653-9"
HOFFMAN = "Hoffman RS, et al. Osmol gaps revisited: normal values and limitations. J Toxicol Clin Toxicol 1993;31:81-93"
HILLIER = (
    "Hillier TA, Abbott RD, Barrett EJ. Hyponatremia: evaluating the correction factor for hyperglycemia. "
    "Am J Med 1999;106:399-403"
)
PAYNE = (
    "Payne RB, et al. Interpretation of serum calcium in patients with abnormal serum proteins. BMJ 1973;4:643-6; "
    "slope of 0.02 mmol/L per g/L as in common use"
)
MAYO = "Mayo Clinic Laboratories. Test Catalog (Rochester), reference values of the test"
TIETZ = "Wu AHB, ed. Tietz Clinical Guide to Laboratory Tests. 4th ed. Saunders Elsevier; 2006"
ABIM = "American Board of Internal Medicine. ABIM Laboratory Test Reference Ranges"
ADA_CRISES = "Umpierrez GE, et al. Hyperglycemic Crises in Adults With Diabetes: A Consensus Report. Diabetes Care 2024;47:1257-75"

GLUCOSE_PER_MMOL = 18.0156
"""mg/dL of glucose in 1 mmol/L."""
NITROGEN_PER_MMOL = 2.80134
"""mg/dL of urea nitrogen in 1 mmol/L of urea."""
ETHANOL_PER_MMOL = 4.6068
"""mg/dL of ethanol in 1 mmol/L."""
NORMAL_ALBUMIN = 4.4
"""g/dL, Figge's."""
NORMAL_GAP, NORMAL_BICARBONATE = 12.0, 24.0
HIGH_GAP = 15.0
"""mmol/L: upper end of the usual interval without potassium."""


def anion_gap(sodium: float, chloride: float, bicarbonate: float) -> float:
    """Na - Cl - HCO3, mmol/L."""
    return sodium - chloride - bicarbonate


def albumin_corrected_gap(gap: float, albumin: float) -> float:
    """Gap + 2.5 x (4.4 - albumin in g/dL): Figge's 0.25 mmol/L for each g/L that albumin lacks."""
    return gap + 2.5 * (NORMAL_ALBUMIN - albumin)


def delta_ratio(gap: float, bicarbonate: float) -> float | None:
    """(gap - 12) / (24 - HCO3); only with a high gap and a low bicarbonate."""
    if gap <= HIGH_GAP or bicarbonate >= 22:
        return None
    return (gap - NORMAL_GAP) / (NORMAL_BICARBONATE - bicarbonate)


def osmolality(sodium: float, glucose: float, urea_nitrogen: float, ethanol: float = 0.0) -> float:
    """2 Na + glucose + urea (+ 1.25 x ethanol), all as mmol/L (Purssell); glucose, urea nitrogen and ethanol in mg/dL."""
    solutes = glucose / GLUCOSE_PER_MMOL + urea_nitrogen / NITROGEN_PER_MMOL
    return 2 * sodium + solutes + 1.25 * ethanol / ETHANOL_PER_MMOL


def effective_osmolality(sodium: float, glucose: float) -> float:
    """2 Na + glucose, as mmol/L; glucose in mg/dL."""
    return 2 * sodium + glucose / GLUCOSE_PER_MMOL


def corrected_sodium(sodium: float, glucose: float) -> float | None:
    """Na + 2.4 mmol/L for each 100 mg/dL of glucose above 100; from 200 mg/dL on."""
    return None if glucose < 200 else sodium + 2.4 * (glucose - 100) / 100


def corrected_calcium(calcium: float, albumin: float) -> float:
    """Ca + 0.8 x (4.0 - albumin), mg/dL and g/dL."""
    return calcium + 0.8 * (4.0 - albumin)


FORMULAS = (
    Formula(
        "anion-gap",
        "mmol/L",
        ("sodium", "chloride", "bicarbonate|bicarbonate-arterial"),
        lambda x, _: anion_gap(x["sodium"], x["chloride"], x["bicarbonate"]),
        "Na − Cl − HCO₃",
        "Taken within an hour of each other.",
        EMMETT,
        interval=(7, HIGH_GAP),
        interval_source=MAYO,
        reported="anion-gap",
        tolerance=(6.0, 0.0),
    ),
    Formula(
        "anion-gap-potassium",
        "mmol/L",
        ("sodium", "potassium", "chloride", "bicarbonate|bicarbonate-arterial"),
        lambda x, _: anion_gap(x["sodium"] + x["potassium"], x["chloride"], x["bicarbonate"]),
        "Na + K − Cl − HCO₃",
        "Taken within an hour of each other.",
        KRAUT,
        reported="anion-gap-potassium",
        tolerance=(6.0, 0.0),
    ),
    Formula(
        "anion-gap-corrected",
        "mmol/L",
        ("anion-gap", "albumin"),
        lambda x, _: albumin_corrected_gap(x["anion-gap"], x["albumin"]),
        "Anion gap + 2.5 × (4.4 − albumin in g/dL)",
        "The laboratory's own gap where it reports one.",
        FIGGE,
        window=SAME_DAY,
        interval=(None, HIGH_GAP + 2),
        interval_source=FIGGE,
    ),
    Formula(
        "delta-ratio",
        "",
        ("anion-gap", "bicarbonate|bicarbonate-arterial"),
        lambda x, _: delta_ratio(x["anion-gap"], x["bicarbonate"]),
        "(anion gap − 12) / (24 − HCO₃)",
        "Anion gap above 15 and bicarbonate below 22 mmol/L.",
        RASTEGAR,
    ),
    Formula(
        "osmolality-calculated",
        "mosm/kg",
        ("sodium", "glucose", "urea-nitrogen|urea"),
        lambda x, _: osmolality(x["sodium"], x["glucose"], x["urea-nitrogen"]),
        "2 × Na + glucose + urea, all in mmol/L",
        "Taken within an hour of each other.",
        PURSSELL,
        digits=0,
        interval=(275, 295),
        interval_source=TIETZ,
    ),
    Formula(
        "osmolal-gap",
        "mosm/kg",
        ("osmolality", "sodium", "glucose", "urea-nitrogen|urea"),
        lambda x, _: x["osmolality"] - osmolality(x["sodium"], x["glucose"], x["urea-nitrogen"], x.get("ethanol", 0.0)),
        "Measured osmolality − (2 × Na + glucose + urea + 1.25 × ethanol), all in mmol/L",
        "Ethanol counts where it was measured within the hour.",
        PURSSELL,
        digits=0,
        optional=("ethanol",),
        interval=(None, 10),
        interval_source=HOFFMAN,
        flag="H",
    ),
    Formula(
        "osmolality-effective",
        "mosm/kg",
        ("sodium", "glucose"),
        lambda x, _: effective_osmolality(x["sodium"], x["glucose"]),
        "2 × Na + glucose, in mmol/L",
        "Taken within an hour of each other.",
        ADA_CRISES,
        digits=0,
    ),
    Formula(
        "sodium-corrected",
        "mmol/L",
        ("sodium", "glucose"),
        lambda x, _: corrected_sodium(x["sodium"], x["glucose"]),
        "Na + 2.4 × (glucose − 100) / 100, glucose in mg/dL",
        "Glucose of 200 mg/dL (11.1 mmol/L) or more.",
        HILLIER,
        digits=0,
        interval=(136, 145),
        interval_source=TIETZ,
        shown_like="sodium",
    ),
    Formula(
        "calcium-corrected",
        "mg/dL",
        ("calcium", "albumin"),
        lambda x, person: (
            None if person.age is not None and person.age < 1 else corrected_calcium(x["calcium"], x["albumin"])
        ),
        "Ca + 0.8 × (4.0 − albumin), Ca in mg/dL, albumin in g/dL",
        "From one year of age. Not an ionised calcium.",
        PAYNE,
        digits=2,
        window=SAME_DAY,
        interval=lambda person: (8.6, 10.2) if person.age is None or person.age >= 18 else (8.5, 10.8),
        interval_source=ABIM,
        flag="LH",
        shown_like="calcium",
        reported="calcium-corrected",
        tolerance=(0.6, 0.0),
    ),
)
