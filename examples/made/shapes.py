"""How results come: kinds of bundle, resource, status and version."""

from __future__ import annotations

from made.parts import ANNA, BERT, LOINC, Json, at, collection, observation, panel, quantity


def corrected() -> Json:
    old = observation("bert-k", "2823-3", 7.9, meta={"versionId": "1"})
    new = observation("bert-k", "2823-3", 4.9, status="corrected", meta={"versionId": "2"})
    return collection(BERT, old, new, *panel("bert", {"2951-2": 139}))


def report_contained() -> Json:
    contained = [one | {"id": f"o{n}"} for n, one in enumerate(panel("anna", {"3016-3": 9.7, "3024-7": 1.0}), 1)]
    return {
        "resourceType": "DiagnosticReport",
        "id": "anna-thyroid",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "55204-3", "display": "Thyroid panel"}], "text": "Thyroid panel"},
        "subject": {"reference": "Patient/anna"},
        "effectiveDateTime": at(2),
        "contained": contained,
        "result": [{"reference": "#o1"}, {"reference": "#o2"}],
    }


def document_lipids() -> Json:
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
        composition, BERT, *panel("bert", {"2093-3": 268, "2571-8": 412, "2085-9": 31}), type="document"
    )
    document |= {
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:0b1a3e9e-3c56-4a7e-9d2b-5f0a4c6b8d11"},
        "timestamp": at(2),
    }
    return document


def message_liver() -> Json:
    header = {
        "resourceType": "MessageHeader",
        "id": "msg",
        "eventCoding": {"system": "https://lab.example.org/events", "code": "ORU"},
        "source": {"endpoint": "https://lab.example.org/oru"},
    }
    return collection(
        header,
        ANNA,
        *panel("anna", {"1742-6": 840, "1920-8": 610, "6768-6": 118, "1975-2": 3.9, "1751-7": 3.9}),
        type="message",
    )


def transaction_pancytopenia() -> Json:
    transaction: Json = {"resourceType": "Bundle", "type": "transaction", "entry": []}
    urn = "urn:uuid:7d3f2c10-9a64-4a44-8a0e-2f5a1c0b9e01"
    transaction["entry"].append(
        {
            "fullUrl": urn,
            "resource": {k: v for k, v in BERT.items() if k != "id"},
            "request": {"method": "POST", "url": "Patient"},
        }
    )
    for index, one in enumerate(panel("bert", {"718-7": 8.1, "6690-2": 1.9, "777-3": 41, "751-8": 0.4}), 2):
        resource = {k: v for k, v in one.items() if k != "id"} | {"subject": {"reference": urn}}
        transaction["entry"].append(
            {"fullUrl": f"{urn[:-1]}{index}", "resource": resource, "request": {"method": "POST", "url": "Observation"}}
        )
    return transaction


def r5_hypokalaemia() -> Json:
    r5 = panel("anna", {"2823-3": 2.4, "19123-9": 1.1})
    for one in r5:
        one["instantiatesCanonical"] = "https://lab.example.org/ObservationDefinition/electrolytes"
        one["referenceRange"][0]["normalValue"] = {"text": "within limits"}
    return collection(ANNA, *r5)


def components_and_members() -> Json:
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
    return collection(BERT, gas, group, *members)


def not_to_be_judged() -> Json:
    return collection(
        ANNA,
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


def no_patient() -> Json:
    nobody = [
        observation(f"x-{n}", code, value, subject=None)
        for n, (code, value) in enumerate({"2823-3": 3.3, "2951-2": 128}.items(), 1)
    ]
    return collection(*nobody)


def lone_observation() -> Json:
    return observation("anna-tsh", "3016-3", 0.02)


EXAMPLES = {
    "11-corrected": corrected,
    "17-report-contained": report_contained,
    "18-document-lipids": document_lipids,
    "19-message-liver": message_liver,
    "20-transaction-pancytopenia": transaction_pancytopenia,
    "21-r5-hypokalaemia": r5_hypokalaemia,
    "22-components-and-members": components_and_members,
    "23-not-to-be-judged": not_to_be_judged,
    "26-no-patient": no_patient,
    "28-lone-observation": lone_observation,
}
"""File name → what makes its bundle."""
