"""The invented laboratory of the examples: its tests, its people, and the FHIR of a result."""

from __future__ import annotations

from typing import Any

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
SCT = "http://snomed.info/sct"
V3 = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
RANGE_MEANING = "http://terminology.hl7.org/CodeSystem/referencerange-meaning"
Json = dict[str, Any]

# code: (display, unit as shown, UCUM code, low, high)
TESTS: dict[str, tuple[str, str, str, float | None, float | None]] = {
    "2823-3": ("Potassium [Moles/volume] in Serum or Plasma", "mmol/L", "mmol/L", 3.5, 5.1),
    "2951-2": ("Sodium [Moles/volume] in Serum or Plasma", "mmol/L", "mmol/L", 136, 145),
    "2075-0": ("Chloride [Moles/volume] in Serum or Plasma", "mmol/L", "mmol/L", 98, 107),
    "1963-8": ("Bicarbonate [Moles/volume] in Serum or Plasma", "mmol/L", "mmol/L", 22, 29),
    "2160-0": ("Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 0.6, 1.2),
    "3094-0": ("Urea nitrogen [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 7, 20),
    "2345-7": ("Glucose [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 70, 99),
    "17861-6": ("Calcium [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 8.6, 10.3),
    "2777-1": ("Phosphate [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 2.5, 4.5),
    "718-7": ("Hemoglobin [Mass/volume] in Blood", "g/dL", "g/dL", 12.0, 16.0),
    "4544-3": ("Hematocrit [Volume Fraction] of Blood by Automated count", "%", "%", 36, 46),
    "787-2": ("MCV [Entitic mean volume] in Red Blood Cells by Automated count", "fL", "fL", 80, 100),
    "785-6": ("MCH [Entitic mass] by Automated count", "pg", "pg", 27, 33),
    "788-0": ("Erythrocyte [DistWidth] in Blood by Automated count", "%", "%", 11.5, 14.5),
    "6690-2": ("Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", "10*3/uL", 4.0, 11.0),
    "777-3": ("Platelets [#/volume] in Blood by Automated count", "10*3/uL", "10*3/uL", 150, 400),
    "751-8": ("Neutrophils [#/volume] in Blood by Automated count", "10*3/uL", "10*3/uL", 1.8, 7.7),
    "1742-6": ("Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "U/L", "U/L", 7, 40),
    "1920-8": ("Aspartate aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "U/L", "U/L", 10, 40),
    "6768-6": ("Alkaline phosphatase [Enzymatic activity/volume] in Serum or Plasma", "U/L", "U/L", 40, 130),
    "1975-2": ("Bilirubin.total [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 0.2, 1.2),
    "1751-7": ("Albumin [Mass/volume] in Serum or Plasma", "g/dL", "g/dL", 3.5, 5.2),
    "2276-4": ("Ferritin [Mass/volume] in Serum or Plasma", "ng/mL", "ng/mL", 15, 150),
    "1988-5": ("C reactive protein [Mass/volume] in Serum or Plasma", "mg/L", "mg/L", 0, 5),
    "33959-8": ("Procalcitonin [Mass/volume] in Serum or Plasma", "ng/mL", "ng/mL", 0, 0.1),
    "2524-7": ("Lactate [Moles/volume] in Serum or Plasma", "mmol/L", "mmol/L", 0.5, 2.0),
    "2744-1": ("pH of Arterial blood", "pH", "[pH]", 7.35, 7.45),
    "3016-3": ("Thyrotropin [Units/volume] in Serum or Plasma", "mIU/L", "m[IU]/L", 0.4, 4.0),
    "3024-7": ("Thyroxine (T4) free [Mass/volume] in Serum or Plasma", "ng/dL", "ng/dL", 0.8, 1.8),
    "5821-4": ("Leukocytes [#/area] in Urine sediment by Microscopy high power field", "/[HPF]", "/[HPF]", 0, 5),
    "5048-4": ("Nuclear Ab [Titer] in Serum by Immunofluorescence", "{titer}", "{titer}", None, None),
    "2093-3": ("Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", None, 200),
    "2571-8": ("Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", None, 150),
    "2085-9": ("Cholesterol in HDL [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 40, None),
    "6301-6": ("INR in Platelet poor plasma by Coagulation assay", "", "1", 0.9, 1.1),
    "2532-0": ("Lactate dehydrogenase [Enzymatic activity/volume] in Serum or Plasma", "U/L", "U/L", 120, 250),
    "19123-9": ("Magnesium [Mass/volume] in Serum or Plasma", "mg/dL", "mg/dL", 1.6, 2.6),
}
MEN = {"718-7": (13.5, 17.5), "4544-3": (41, 50)}
"""Where this laboratory's interval differs by sex; Bert is the man in these examples."""
CHEMISTRY = {"2823-3": 4.2, "2951-2": 140, "2075-0": 103, "1963-8": 25, "2160-0": 0.8, "3094-0": 13, "2345-7": 88}
BLOOD = {"718-7": 13.6, "4544-3": 41, "787-2": 90, "785-6": 30, "788-0": 13.0, "6690-2": 6.4, "777-3": 245}


def patient(id: str, gender: str, birth: str) -> Json:
    return {"resourceType": "Patient", "id": id, "gender": gender, "birthDate": birth}


def quantity(value: float, unit: str, code: str) -> Json:
    return {"value": value, **({"unit": unit} if unit else {}), "system": UCUM, "code": code}


def observation(id: str, code: str | None, value: float | None = None, /, **more: Any) -> Json:
    """A final laboratory Observation; ``more`` adds or replaces elements (None removes one)."""
    name, unit, ucum, low, high = TESTS.get(code or "", (None, None, "", None, None))
    if id.startswith("bert"):
        low, high = MEN.get(code or "", (low, high))
    made: Json = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {"coding": [{"system": LOINC, "code": code, **({"display": name} if name else {})}]} if code else {},
        "subject": {"reference": f"Patient/{id.split('-')[0]}"},
        "effectiveDateTime": "2026-03-02T07:30:00+01:00",
    }
    if value is not None and unit is not None:
        made["valueQuantity"] = quantity(value, unit, ucum)
        limits = {
            side: quantity(limit, unit, ucum) for side, limit in (("low", low), ("high", high)) if limit is not None
        }
        made["referenceRange"] = [limits]
    made.update(more)
    return {key: element for key, element in made.items() if element is not None}


def panel(who: str, values: dict[str, float], **more: Any) -> list[Json]:
    return [observation(f"{who}-{index}", code, value, **more) for index, (code, value) in enumerate(values.items(), 1)]


def collection(*resources: Json, type: str = "collection") -> Json:
    entries: list[Json] = [
        {"fullUrl": f"https://ehr.example.org/fhir/{one['resourceType']}/{one['id']}", "resource": one}
        for one in resources
    ]
    if type == "searchset":
        for entry in entries:
            entry["search"] = {"mode": "match"}
    return {"resourceType": "Bundle", "type": type, "entry": entries}


def text_range(text: str) -> list[Json]:
    return [{"text": text}]


def sct(code: str, display: str) -> Json:
    return {"coding": [{"system": SCT, "code": code, "display": display}]}


def interpreted(code: str) -> list[Json]:
    return [{"coding": [{"system": V3, "code": code}]}]


def at(day: int, hour: int = 7) -> str:
    return f"2026-03-{day:02d}T{hour:02d}:30:00+01:00"


ANNA = patient("anna", "female", "1979-06-14")
BERT = patient("bert", "male", "1951-01-30")
