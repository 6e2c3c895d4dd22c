"""Results of other countries and vendors, from FHIR to the flag."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cds_service.clinical.assess import assess
from fhir_adapter import catalog
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read

SENT: dict[str, list[str]] = tomllib.loads(Path(__file__).with_name("foreign_results.toml").read_text(encoding="utf-8"))


def _bundle(name: str, value: str, unit: str, limits: str) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": name}}
    made["subject"], made["effectiveDateTime"] = {"reference": "urn:uuid:p"}, "2025-06-01"
    if value.startswith("s:"):
        made["valueString"] = value[2:]
    else:
        made["valueQuantity"] = {"value": float(value), "unit": unit}
    if limits.startswith("t:"):
        made["referenceRange"] = [{"text": limits[2:]}]
    elif limits.startswith("@"):
        made["interpretation"] = [{"text": limits[1:]}]
    elif limits:
        low, high = limits.split("..")
        made["referenceRange"] = [{"low": {"value": float(low)}, "high": {"value": float(high)}}]
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1975-01-01"}
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in (patient, made)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


@pytest.mark.parametrize("line", [line for lines in SENT.values() for line in lines])
def test_what_a_laboratory_physician_would_say(line: str) -> None:
    name, value, unit, limits, analyte, flag = (part.strip() for part in line.split("|"))
    panel = normalize(read(json.dumps(_bundle(name, value, unit, limits)).encode()), catalog.load())
    (placed,), (finding,) = panel.results, assess(panel).results
    assert (placed.analyte.id if placed.analyte else "-", finding.code or "-") == (analyte, flag)


@pytest.mark.parametrize(
    ("code", "text", "value", "unit", "expected"),
    [
        ("2823-3", None, 7.1, "mmol/L", ("potassium", "HH")),
        ("718-7", None, 6.2, "g/dL", ("haemoglobin", "LL")),
        ("2823-3", None, 7.1, "", (None, None)),
        ("2823-3", None, 7.1, "U/L", (None, None)),
        ("2823-3", "Drain fluid potassium", 7.1, "mmol/L", (None, None)),
        ("2823-3", "Natrium", 140, "mmol/L", ("sodium", "N")),
    ],
)
def test_a_code_of_loinc_without_its_system(
    code: str, text: str | None, value: float, unit: str, expected: tuple[str | None, str | None]
) -> None:
    sent = _bundle("x", str(value), unit, "")
    sent["entry"][1]["resource"]["code"] = {"coding": [{"code": code}]} | ({} if text is None else {"text": text})
    panel = normalize(read(json.dumps(sent).encode()), catalog.load())
    (placed,), (finding,) = panel.results, assess(panel).results
    assert (placed.analyte and placed.analyte.id, finding.code) == expected
