"""Writes the example bundles. Everybody in them is invented.

    python examples/make_bundles.py            # rewrites examples/bundles/*.json

The JSON is committed; this script is where it is edited.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "bundles"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
SCT = "http://snomed.info/sct"
V3 = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
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


def build() -> dict[str, Json]:
    """File name → bundle."""
    made: dict[str, Json] = {}
    woman, man = patient("anna", "female", "1979-06-14"), patient("bert", "male", "1951-01-30")
    made["01-normal"] = collection(woman, *panel("anna", CHEMISTRY | BLOOD))

    values = CHEMISTRY | {"2823-3": 6.8, "2160-0": 3.4, "3094-0": 62, "1963-8": 17}
    before = observation("bert-before", "2160-0", 1.1, effectiveDateTime=at(1, 6))
    made["02-hyperkalaemia-aki"] = collection(man, before, *panel("bert", values, effectiveDateTime=at(4, 6)))

    young = patient("cleo", "female", "2004-11-02")
    acid = CHEMISTRY | {"2345-7": 512, "1963-8": 9, "2075-0": 98, "2951-2": 131, "2823-3": 5.6, "2744-1": 7.12}
    ketones = observation("cleo-ket", "5797-6", valueString="4+", referenceRange=text_range("Negative"))
    made["03-ketoacidosis"] = collection(young, *panel("cleo", acid), ketones)

    iron = BLOOD | {"718-7": 8.9, "4544-3": 28, "787-2": 68, "785-6": 21, "788-0": 18.9, "777-3": 460, "2276-4": 6}
    made["04-microcytic-anaemia"] = collection(woman, *panel("anna", iron))

    septic = {"6690-2": 23.4, "751-8": 20.9, "777-3": 96, "2524-7": 4.6, "33959-8": 18.2, "1988-5": 287, "2160-0": 1.9}
    made["05-sepsis"] = collection(man, *panel("bert", septic))

    si = [
        ("14749-6", "Glucose [Moles/volume] in Serum or Plasma", 12.4, "mmol/L", "mmol/L", 3.9, 5.5),
        ("14682-9", "Creatinine [Moles/volume] in Serum or Plasma", 71, "µmol/L", "umol/L", 45, 84),
        ("718-7", "Hemoglobin [Mass/volume] in Blood", 131, "g/L", "g/L", 120, 160),
        ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", 5.1, "G/L", "10*9/L", 4.0, 10.0),
        ("777-3", "Platelets [#/volume] in Blood by Automated count", 88, "x10E9/L", "10*9/L", 150, 400),
    ]
    mixed = [
        observation(
            f"anna-si{index}",
            code,
            code={"coding": [{"system": LOINC, "code": code, "display": name}]},
            valueQuantity={"value": value, "unit": unit, "system": UCUM, "code": ucum},
            referenceRange=[{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}],
        )
        for index, (code, name, value, unit, ucum, low, high) in enumerate(si, 1)
    ]
    odd = observation(
        "anna-odd",
        "2345-7",
        effectiveDateTime=at(3),
        valueQuantity={"value": 88, "unit": "mg/dl"},
        referenceRange=[{"low": {"value": 3.9, "unit": "mmol/L"}, "high": {"value": 5.5, "unit": "mmol/L"}}],
    )
    # Unit strings that are no UCUM, without a code, as many laboratories send them; the day after.
    loose = [
        ("2951-2", 133, "mEq/L", 136, 145),
        ("2823-3", 4.4, "mEq/L", 3.5, 5.1),
        ("6690-2", 5.4, "K/uL", 4.0, 11.0),
        ("777-3", 95, "THOU/uL", 150, 400),
        ("1920-8", 31, "IU/L", 10, 40),
        ("5821-4", 3, "#/hpf", 0, 5),
    ]
    conventional = [
        observation(
            f"anna-us{index}",
            code,
            effectiveDateTime=at(3),
            valueQuantity={"value": value, "unit": unit},
            referenceRange=[{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}],
        )
        for index, (code, value, unit, low, high) in enumerate(loose, 1)
    ]
    grams = observation(
        "anna-hb",
        "718-7",
        effectiveDateTime=at(3),
        valueQuantity=quantity(11.8, "g/dL", "g/dL"),
        referenceRange=[{"low": quantity(120, "g/L", "g/L"), "high": quantity(160, "g/L", "g/L")}],
    )
    made["06-mixed-units"] = collection(woman, *mixed, odd, *conventional, grams)

    words = [
        ("5804-0", "Protein [Mass/volume] in Urine by Test strip", "2+", "Negative"),
        ("5792-7", "Glucose [Mass/volume] in Urine by Test strip", "NEGATIVE", "Negative"),
        ("5794-3", "Hemoglobin [Presence] in Urine by Test strip", "TRACE", "Negative"),
        ("5802-4", "Nitrite [Presence] in Urine by Test strip", "POSITIVE", "Negative"),
        ("5821-4", "Leukocytes [#/area] in Urine sediment by Microscopy high power field", "11-20", "0-5"),
        ("5769-5", "Bacteria [#/area] in Urine sediment by Microscopy high power field", "MANY", "None seen"),
        ("5778-6", "Color of Urine", "Yellow", None),
    ]
    strip = [
        observation(
            f"anna-u{index}",
            code,
            code={"coding": [{"system": LOINC, "code": code, "display": name}]},
            valueString=value,
            referenceRange=text_range(expected) if expected else None,
        )
        for index, (code, name, value, expected) in enumerate(words, 1)
    ]
    low = observation(
        "anna-tn", "6598-7", valueString="<0.01", referenceRange=[{"high": {"value": 0.01, "unit": "ng/mL"}}]
    )
    ddimer = observation(
        "anna-dd", "48065-7", valueString=">2000", referenceRange=[{"high": {"value": 500, "unit": "ng/mL"}}]
    )
    titre = observation(
        "anna-ana",
        "5048-4",
        valueString="1:160",
        referenceRange=text_range("< 1:80"),
        interpretation=interpreted("A"),
    )
    made["07-text-results"] = collection(woman, *strip, low, ddimer, titre)

    child = patient("dora", "female", "2020-02-11")
    alp = observation("dora-alp", "6768-6", valueQuantity=quantity(310, "U/L", "U/L"))
    kid = [
        observation(f"dora-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate({"718-7": 12.4, "2160-0": 0.4, "2777-1": 5.1, "6690-2": 9.8}.items(), 1)
    ]
    made["08-child"] = collection(child, alp, *kid)

    newborn = patient("emil", "male", "2026-02-28")
    bili = observation("emil-bili", "1975-2", valueQuantity=quantity(9.8, "mg/dL", "mg/dL"))
    baby = [
        observation(f"emil-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate({"718-7": 17.2, "2345-7": 58, "2823-3": 5.6}.items(), 1)
    ]
    made["09-newborn"] = collection(newborn, bili, *baby)

    pregnant = observation("anna-preg", "82810-3", category=None, valueCodeableConcept=sct("77386006", "Pregnant"))
    anaemia = [
        observation(f"anna-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate({"718-7": 11.2, "2160-0": 0.5, "3016-3": 2.1, "777-3": 190}.items(), 1)
    ]
    made["10-pregnancy"] = collection(patient("anna", "female", "1994-06-14"), pregnant, *anaemia)

    old = observation("bert-k", "2823-3", 7.9, meta={"versionId": "1"})
    new = observation("bert-k", "2823-3", 4.9, status="corrected", meta={"versionId": "2"})
    made["11-corrected"] = collection(man, old, new, *panel("bert", {"2951-2": 139}))

    french = [
        ("Kaliémie", "3,1", "mmol/L", "3,5 à 5,1"),
        ("Créatininémie", "98", "µmol/L", "45 à 84"),
        ("Hémoglobine", "13,4", "g/dL", "12,0 à 16,0"),
        ("Plaquettes", "251", "Giga/L", "150 à 400"),
        ("Nitrites urinaires", "Négatif", None, "Négatif"),
    ]
    made["12-french"] = collection(
        patient("flore", "female", "1988-09-21"),
        *[
            observation(
                f"flore-{index}",
                None,
                code={"text": name},
                valueString=f"{value} {unit}" if unit else value,
                referenceRange=text_range(f"{normal} {unit}" if unit else normal),
                note=[{"text": "Prélèvement à jeun."}],
            )
            for index, (name, value, unit, normal) in enumerate(french, 1)
        ],
    )

    trend = [
        observation(f"bert-{code}-{day}", code, value, effectiveDateTime=at(day))
        for code, series in {"2160-0": (1.0, 1.3, 1.7, 2.4), "718-7": (13.9, 13.1, 12.2, 11.0)}.items()
        for day, value in enumerate(series, 2)
    ]
    made["13-trend"] = collection(man, *trend, type="searchset")

    spoiled = panel(
        "anna", {"2823-3": 6.1, "2951-2": 139, "2532-0": 512}, note=[{"text": "Specimen moderately hemolyzed."}]
    )
    made["14-haemolysed-potassium"] = collection(woman, *spoiled)

    texts = [("2823-3", 5.6, "3.5-5.1"), ("2093-3", 187, "< 200"), ("33914-3", 48, "> 60"), ("1988-5", 3.2, "Up to 5")]
    made["15-interval-as-text"] = collection(
        man,
        *[
            observation(
                f"bert-{index}",
                code,
                valueQuantity=quantity(
                    value, *(TESTS[code][1:3] if code in TESTS else ("mL/min/1.73m2", "mL/min/{1.73_m2}"))
                ),
                referenceRange=text_range(text),
            )
            for index, (code, value, text) in enumerate(texts, 1)
        ],
    )

    sexes = [
        {
            "low": quantity(12, "g/dL", "g/dL"),
            "high": quantity(16, "g/dL", "g/dL"),
            "appliesTo": [sct("248152002", "Female")],
        },
        {
            "low": quantity(13.5, "g/dL", "g/dL"),
            "high": quantity(17.5, "g/dL", "g/dL"),
            "appliesTo": [sct("248153007", "Male")],
        },
    ]
    meaning = "http://terminology.hl7.org/CodeSystem/referencerange-meaning"
    limits = [
        {
            "low": quantity(3.5, "mmol/L", "mmol/L"),
            "high": quantity(5.1, "mmol/L", "mmol/L"),
            "type": {"coding": [{"system": meaning, "code": "normal"}]},
        },
        {
            "low": quantity(2.5, "mmol/L", "mmol/L"),
            "high": quantity(6.0, "mmol/L", "mmol/L"),
            "type": {"coding": [{"system": "https://lab.example.org/range-type", "code": "critical"}]},
        },
    ]
    made["16-several-ranges"] = collection(
        man,
        observation("bert-hb", "718-7", 12.8, referenceRange=sexes),
        observation("bert-k", "2823-3", 6.1, referenceRange=limits),
    )

    contained = [one | {"id": f"o{n}"} for n, one in enumerate(panel("anna", {"3016-3": 9.7, "3024-7": 1.0}), 1)]
    made["17-report-contained"] = {
        "resourceType": "DiagnosticReport",
        "id": "anna-thyroid",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "55204-3", "display": "Thyroid panel"}], "text": "Thyroid panel"},
        "subject": {"reference": "Patient/anna"},
        "effectiveDateTime": at(2),
        "contained": contained,
        "result": [{"reference": "#o1"}, {"reference": "#o2"}],
    }

    composition = {
        "resourceType": "Composition",
        "id": "doc",
        "status": "final",
        "date": at(2),
        "title": "Laboratory report",
        "type": {"coding": [{"system": LOINC, "code": "11502-2", "display": "Laboratory report"}]},
        "subject": {"reference": "Patient/bert"},
        "author": [{"display": "Example Laboratory"}],
    }
    document = collection(
        composition, man, *panel("bert", {"2093-3": 268, "2571-8": 412, "2085-9": 31}), type="document"
    )
    document |= {
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:0b1a3e9e-3c56-4a7e-9d2b-5f0a4c6b8d11"},
        "timestamp": at(2),
    }
    made["18-document-lipids"] = document

    header = {
        "resourceType": "MessageHeader",
        "id": "msg",
        "eventCoding": {"system": "https://lab.example.org/events", "code": "ORU"},
        "source": {"endpoint": "https://lab.example.org/oru"},
    }
    made["19-message-liver"] = collection(
        header,
        woman,
        *panel("anna", {"1742-6": 840, "1920-8": 610, "6768-6": 118, "1975-2": 3.9, "1751-7": 3.9}),
        type="message",
    )

    transaction: Json = {"resourceType": "Bundle", "type": "transaction", "entry": []}
    urn = "urn:uuid:7d3f2c10-9a64-4a44-8a0e-2f5a1c0b9e01"
    transaction["entry"].append(
        {
            "fullUrl": urn,
            "resource": {k: v for k, v in man.items() if k != "id"},
            "request": {"method": "POST", "url": "Patient"},
        }
    )
    for index, one in enumerate(panel("bert", {"718-7": 8.1, "6690-2": 1.9, "777-3": 41, "751-8": 0.4}), 2):
        resource = {k: v for k, v in one.items() if k != "id"} | {"subject": {"reference": urn}}
        transaction["entry"].append(
            {"fullUrl": f"{urn[:-1]}{index}", "resource": resource, "request": {"method": "POST", "url": "Observation"}}
        )
    made["20-transaction-pancytopenia"] = transaction

    r5 = panel("anna", {"2823-3": 2.4, "19123-9": 1.1})
    for one in r5:
        one["instantiatesCanonical"] = "https://lab.example.org/ObservationDefinition/electrolytes"
        one["referenceRange"][0]["normalValue"] = {"text": "within limits"}
    made["21-r5-hypokalaemia"] = collection(woman, *r5)

    gas = observation(
        "bert-gas",
        "24336-0",
        code={"coding": [{"system": LOINC, "code": "24336-0", "display": "Gas panel - Arterial blood"}]},
        component=[
            {
                "code": {"coding": [{"system": LOINC, "code": code, "display": name}]},
                "valueQuantity": quantity(value, unit, ucum),
                "referenceRange": [{"low": quantity(lo, unit, ucum), "high": quantity(hi, unit, ucum)}],
            }
            for code, name, value, unit, ucum, lo, hi in (
                ("2744-1", "pH of Arterial blood", 7.29, "pH", "[pH]", 7.35, 7.45),
                ("2019-8", "Carbon dioxide [Partial pressure] in Arterial blood", 62, "mmHg", "mm[Hg]", 35, 45),
                ("2703-7", "Oxygen [Partial pressure] in Arterial blood", 58, "mmHg", "mm[Hg]", 83, 108),
            )
        ],
    )
    members = panel("bert", {"2951-2": 141, "2075-0": 100})
    group = observation(
        "bert-panel",
        "24326-1",
        code={"text": "Electrolytes"},
        hasMember=[{"reference": f"Observation/{one['id']}"} for one in members],
    )
    made["22-components-and-members"] = collection(man, gas, group, *members)

    made["23-not-to-be-judged"] = collection(
        woman,
        observation("anna-err", "2823-3", 9.9, status="entered-in-error"),
        observation("anna-can", "2951-2", 120, status="cancelled"),
        observation("anna-abs", "718-7", dataAbsentReason={"text": "Clotted sample"}),
        observation("anna-pre", "777-3", 72, status="preliminary"),
        observation(
            "anna-mod",
            "2345-7",
            31,
            modifierExtension=[
                {"url": "https://lab.example.org/StructureDefinition/not-this-patient", "valueBoolean": True}
            ],
        ),
        observation("anna-unit", "2160-0", valueQuantity={"value": 90}),
        observation("anna-wrong", "2823-3", valueQuantity=quantity(410, "mmol/L", "mmol/L")),
        observation("anna-what", None, code={"text": "Research assay 17"}, valueQuantity={"value": 12, "unit": "AU"}),
    )

    coded = [
        (
            "94500-6",
            "SARS-CoV-2 RNA [Presence] in Respiratory specimen by NAA with probe detection",
            sct("260373001", "Detected"),
        ),
        (
            "92142-9",
            "Influenza virus A RNA [Presence] in Respiratory specimen by NAA with probe detection",
            sct("260415000", "Not detected"),
        ),
        (
            "5196-1",
            "Hepatitis B virus surface Ag [Presence] in Serum or Plasma by Immunoassay",
            sct("11214006", "Reactive"),
        ),
        ("600-7", "Bacteria identified in Blood by Culture", {"text": "No growth after 5 days"}),
    ]
    made["24-coded-answers"] = collection(
        man,
        *[
            observation(
                f"bert-{index}",
                code,
                code={"coding": [{"system": LOINC, "code": code, "display": name}]},
                valueCodeableConcept=value,
            )
            for index, (code, name, value) in enumerate(coded, 1)
        ],
    )

    made["25-interpretation-only"] = collection(
        man,
        observation(
            "bert-a",
            None,
            code={"text": "Factor XIII activity"},
            valueQuantity={"value": 31, "unit": "%"},
            interpretation=interpreted("L"),
        ),
        observation(
            "bert-b", None, code={"text": "Special antibody"}, valueString="see report", interpretation=interpreted("A")
        ),
        observation("bert-c", "2823-3", 4.4, interpretation=interpreted("H")),
        observation("bert-d", "2951-2", 151, interpretation=interpreted("N")),
    )

    nobody = [
        observation(f"x-{n}", code, value, subject=None)
        for n, (code, value) in enumerate({"2823-3": 3.3, "2951-2": 128}.items(), 1)
    ]
    made["26-no-patient"] = collection(*nobody)

    bare = [
        observation(f"bert-{index}", code, valueQuantity=quantity(value, *TESTS[code][1:3]))
        for index, (code, value) in enumerate(
            {"2823-3": 5.9, "2951-2": 141, "718-7": 12.6, "2160-0": 1.6, "1742-6": 33}.items(), 1
        )
    ]
    made["27-no-intervals"] = collection(man, *bare)
    made["28-lone-observation"] = observation("anna-tsh", "3016-3", 0.02)
    target = [
        {
            "low": quantity(2.0, "", "1"),
            "high": quantity(3.0, "", "1"),
            "type": {"coding": [{"system": meaning, "code": "therapeutic"}]},
        }
    ]
    made["29-treated-inr"] = collection(
        man,
        observation("bert-inr1", "6301-6", 2.4, referenceRange=target),
        observation("bert-inr2", "6301-6", 6.8, effectiveDateTime=at(9), referenceRange=target),
    )

    series = []
    for number in range(500):
        code = list(CHEMISTRY | BLOOD)[number % 14]
        base = (CHEMISTRY | BLOOD)[code]
        value = round(base * (1 + 0.13 * (((number * 7919) % 101) / 50 - 1)), 1)
        when = f"2026-01-{1 + number // 28:02d}T{(number // 14 % 2) * 12 + 6:02d}:00:00+01:00"
        series.append(observation(f"anna-{number:03d}", code, value, effectiveDateTime=when))
    made["30-five-hundred"] = collection(woman, *series, type="searchset")
    return made


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, bundle in build().items():
        indent = None if name.startswith("30") else 1
        separators = (",", ":") if indent is None else None
        text = json.dumps(bundle, ensure_ascii=False, indent=indent, separators=separators)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
