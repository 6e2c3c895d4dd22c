"""The catalog's analytes that rules, formulas and patterns rely on, with the canonical unit that they are written in.

A test holds both against the catalog.
"""

from __future__ import annotations

UNITS: dict[str, str | None] = {
    "potassium": "mmol/L",
    "sodium": "mmol/L",
    "chloride": "mmol/L",
    "bicarbonate": "mmol/L",
    "bicarbonate-arterial": "mmol/L",
    "bicarbonate-capillary": "mmol/L",
    "anion-gap": "mmol/L",
    "anion-gap-potassium": "mmol/L",
    "ph": "[pH]",
    "ph-capillary": "[pH]",
    "ph-venous": "[pH]",
    "pco2": "mm[Hg]",
    "pco2-capillary": "mm[Hg]",
    "po2": "mm[Hg]",
    "po2-arterial": "mm[Hg]",
    "alveolar-arterial-gradient": "mm[Hg]",
    "creatinine": "mg/dL",
    "cystatin-c": "mg/L",
    "urea-nitrogen": "mg/dL",
    "urea": "mmol/L",
    "glucose": "mg/dL",
    "ethanol": "mg/dL",
    "osmolality": "mosm/kg",
    "albumin": "g/dL",
    "total-protein": "g/dL",
    "globulin": "g/dL",
    "calcium": "mg/dL",
    "calcium-corrected": "mg/dL",
    "haemoglobin": "g/dL",
    "haematocrit": "%",
    "erythrocytes": "10*6/uL",
    "mcv": "fL",
    "leucocytes": "10*9/L",
    "platelets": "10*9/L",
    "neutrophils": "10*9/L",
    "neutrophils-percent": "%",
    "bands": "%",
    "lymphocytes": "10*9/L",
    "lymphocytes-percent": "%",
    "monocytes-percent": "%",
    "eosinophils-percent": "%",
    "basophils-percent": "%",
    "reticulocytes-percent": "%",
    "ferritin": "ng/mL",
    "iron": "ug/dL",
    "transferrin": "mg/dL",
    "tibc": "ug/dL",
    "transferrin-saturation": "%",
    "crp": "mg/L",
    "alt": "U/L",
    "ast": "U/L",
    "alp": "U/L",
    "ggt": "U/L",
    "bilirubin-total": "mg/dL",
    "bilirubin-direct": "mg/dL",
    "inr": "1",
    "cholesterol": "mg/dL",
    "hdl-cholesterol": "mg/dL",
    "ldl-cholesterol": "mg/dL",
    "non-hdl-cholesterol": "mg/dL",
    "triglycerides": "mg/dL",
    "insulin": "m[IU]/L",
    "urine-sodium": "mmol/L",
    "urine-creatinine": "mg/dL",
    "urine-urea-nitrogen": "mg/dL",
    "urine-albumin": "mg/dL",
    "urine-protein": "mg/dL",
    "albumin-creatinine-ratio": "mg/g",
    "protein-creatinine-ratio": "mg/g",
    "egfr": "mL/min/{1.73_m2}",
}

URINE_KETONES = "urine-ketones"
HAEMOLYSIS_INDEX = "haemolysis-index"
LEAKING = frozenset({"potassium", "ldh", "ast", "phosphate", "magnesium"})
"""What leaks from red cells: a haemolysed sample reads it too high."""

IDS = frozenset(UNITS) | LEAKING | {URINE_KETONES, HAEMOLYSIS_INDEX}
"""All of them."""
