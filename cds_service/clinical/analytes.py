"""The catalog's analytes that the patterns rely on, with the canonical unit that their criteria are written in.

A test holds both against the catalog.
"""

from __future__ import annotations

UNITS: dict[str, str | None] = {
    "potassium": "mmol/L",
    "sodium": "mmol/L",
    "chloride": "mmol/L",
    "bicarbonate": "mmol/L",
    "anion-gap": "mmol/L",
    "creatinine": "umol/L",
    "urea": "mmol/L",
    "glucose": "mmol/L",
    "beta-hydroxybutyrate": "mmol/L",
    "haemoglobin": "g/L",
    "mcv": "fL",
    "wbc": "10*9/L",
    "platelets": "10*9/L",
    "neutrophils": "10*9/L",
    "ferritin": "ug/L",
    "iron": "umol/L",
    "transferrin": "g/L",
    "crp": "mg/L",
    "alt": "U/L",
    "ast": "U/L",
    "alp": "U/L",
    "ggt": "U/L",
    "bilirubin": "umol/L",
}
