"""Small FHIR bundles for tests."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]


def observation(
    id: str, loinc: str, value: float, unit: str, low: float | None = None, high: float | None = None, **more: Any
) -> Json:
    """A final laboratory Observation of Patient/p."""
    made: Json = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-03-01T08:00:00Z",
        "valueQuantity": {"value": value, "unit": unit},
    }
    if low is not None and high is not None:
        made["referenceRange"] = [{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}]
    return made | more


def bundle(*resources: Json) -> bytes:
    """A collection of a Patient and the resources."""
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1970-05-01"}
    entries = [{"resource": one} for one in (patient, *resources)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


PANEL = bundle(
    observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
    observation("na", "2951-2", 140, "mmol/L", 135, 145),
)
