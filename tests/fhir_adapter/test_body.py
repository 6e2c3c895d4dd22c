"""Context of the patient that is no result: height, the hour of birth."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation


def _height(value: Any, unit: str, when: str = "2024-03-01T08:00:00Z", **more: Any) -> Json:
    made = observation("h", "8302-2", value, unit, effectiveDateTime=when)
    return made | {"id": f"h{when}"} | more


@pytest.mark.parametrize(("value", "unit", "cm"), [(112, "cm", 112), (1.12, "m", 112), (44, "[in_i]", 111.76)])
def test_a_height_is_context_and_no_result(value: float, unit: str, cm: float) -> None:
    intake = read(bundle(_height(value, unit), observation("c", "2160-0", 0.5, "mg/dL")))
    assert intake.patient.height_cm == pytest.approx(cm)
    assert [entry.code for entry in intake.not_assessed] == ["not-laboratory"]
    assert len(intake.results) == 1


def test_the_newest_height_counts() -> None:
    sent = bundle(
        _height(120, "cm", "2024-03-02T08:00:00Z"), _height(110, "cm"), observation("c", "2160-0", 0.5, "mg/dL")
    )
    assert read(sent).patient.height_cm == 120


@pytest.mark.parametrize(("value", "unit"), [(112, "kg"), (1.12, "cm"), (112, ""), ("x", "cm")])
def test_a_height_that_makes_no_sense_is_left(value: Any, unit: str) -> None:
    assert read(bundle(_height(value, unit), observation("c", "2160-0", 0.5, "mg/dL"))).patient.height_cm is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2024-03-01T02:15:00Z", datetime(2024, 3, 1, 2, 15, tzinfo=UTC)),
        ("2024-03-01", None),
        ("soon", None),
        (5, None),
    ],
)
def test_the_hour_of_birth_comes_from_its_extension(said: Any, expected: datetime | None) -> None:
    sent = json.loads(bundle(observation("c", "2160-0", 0.5, "mg/dL")))
    url = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
    sent["entry"][0]["resource"]["_birthDate"] = {"extension": [{"url": url, "valueDateTime": said}]}
    patient = read(json.dumps(sent).encode()).patient
    assert patient.birth_time == expected
    assert patient.sex == "female"
