"""Realistic bundles of any size, made from nothing: for benchmarks and load. Nobody's data."""

from __future__ import annotations

import json
import random
from typing import Any

TESTS = (
    ("2823-3", "mmol/L", 3.5, 5.1, 1),
    ("2951-2", "mmol/L", 136, 145, 0),
    ("2075-0", "mmol/L", 98, 107, 0),
    ("1963-8", "mmol/L", 22, 29, 0),
    ("2160-0", "mg/dL", 0.6, 1.2, 2),
    ("3094-0", "mg/dL", 7, 20, 0),
    ("2345-7", "mg/dL", 70, 99, 0),
    ("17861-6", "mg/dL", 8.6, 10.3, 1),
    ("718-7", "g/dL", 12.0, 16.0, 1),
    ("4544-3", "%", 36, 46, 1),
    ("787-2", "fL", 80, 100, 0),
    ("6690-2", "10*3/uL", 4.0, 11.0, 1),
    ("777-3", "10*3/uL", 150, 400, 0),
    ("1742-6", "U/L", 7, 40, 0),
    ("1920-8", "U/L", 10, 40, 0),
    ("6768-6", "U/L", 40, 130, 0),
    ("1975-2", "mg/dL", 0.2, 1.2, 1),
    ("1751-7", "g/dL", 3.5, 5.2, 1),
    ("1988-5", "mg/L", 0, 5, 1),
    ("19123-9", "mg/dL", 1.6, 2.6, 1),
)
"""LOINC code, unit, low, high, decimals."""


def bundle(results: int, seed: int = 1) -> bytes:
    """A collection of a Patient and ``results`` Observations over the twenty commonest tests, about a quarter outside their
    interval; the same for the same seed."""
    chance = random.Random(seed)
    entries: list[dict[str, Any]] = [
        {"resource": {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1961-04-12"}}
    ]
    for number in range(results):
        code, unit, low, high, decimals = TESTS[number % len(TESTS)]
        value = round(chance.gauss((low + high) / 2, (high - low) / 2.3), decimals)
        hour = number // len(TESTS)
        quantity = {"unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
        observation = {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "category": [
                {
                    "coding": [
                        {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
                    ]
                }
            ],
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": {"reference": "Patient/p"},
            "effectiveDateTime": f"2026-{1 + hour // 672 % 12:02d}-{1 + hour // 24 % 28:02d}T{hour % 24:02d}:00:00Z",
            "valueQuantity": {"value": max(value, 0.1), **quantity},
            "referenceRange": [{"low": {"value": low, **quantity}, "high": {"value": high, **quantity}}],
        }
        entries.append({"fullUrl": f"https://ehr.example.org/fhir/Observation/o{number}", "resource": observation})
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
