"""The catalog's analytes that rules and patterns rely on, with the canonical unit that their criteria are written in.

A test holds both against the catalog.
"""

from __future__ import annotations

UNITS: dict[str, str | None] = {
    "potassium": "mmol/L",
    "sodium": "mmol/L",
    "chloride": "mmol/L",
    "bicarbonate": "mmol/L",
    "anion-gap": "mmol/L",
    "ph": "[pH]",
    "ph-venous": "[pH]",
    "creatinine": "mg/dL",
    "urea-nitrogen": "mg/dL",
    "urea": "mmol/L",
    "glucose": "mg/dL",
    "haemoglobin": "g/dL",
    "mcv": "fL",
    "leucocytes": "10*9/L",
    "platelets": "10*9/L",
    "neutrophils": "10*9/L",
    "ferritin": "ng/mL",
    "iron": "ug/dL",
    "transferrin": "mg/dL",
    "crp": "mg/L",
    "alt": "U/L",
    "ast": "U/L",
    "alp": "U/L",
    "ggt": "U/L",
    "bilirubin-total": "mg/dL",
}

URINE_KETONES = "urine-ketones"
HAEMOLYSIS_INDEX = "haemolysis-index"
LEAKING = frozenset({"potassium", "ldh", "ast", "phosphate", "magnesium"})
"""What leaks from red cells: a haemolysed sample reads it too high."""

IDS = frozenset(UNITS) | LEAKING | {URINE_KETONES, HAEMOLYSIS_INDEX}
"""All of them."""
