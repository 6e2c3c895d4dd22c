"""Whether a sample was taken fasting: from the specimen, from a reported status at its time, and from words."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter import catalog
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import bundle, observation

AT = "2026-03-04T06:30:00Z"


def _glucose(**more: Any) -> dict[str, Any]:
    return {**observation("glucose", "2345-7", 130, "mg/dL"), "effectiveDateTime": AT, **more}


def _status(value: dict[str, Any], at: str = AT) -> dict[str, Any]:
    status = observation("status", "49541-6", 0, "")
    del status["valueQuantity"]
    return {**status, "effectiveDateTime": at, **value}


def _specimen(collection: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Specimen", "id": "tube", "type": {"text": "Serum"}, "collection": collection}


def _coded(code: str) -> dict[str, Any]:
    return {"coding": [{"code": code}]}


def _fasted(*resources: dict[str, Any]) -> bool | None:
    intake = read(bundle(*resources))
    (result,) = [one for one in intake.results if one.loinc == "2345-7"]
    return result.fasted


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"valueBoolean": True}, True),
        ({"valueBoolean": False}, False),
        ({"valueCodeableConcept": _coded("LA33-6")}, True),
        ({"valueCodeableConcept": _coded("LA32-8")}, False),
        ({"valueCodeableConcept": {"text": "Not fasting"}}, False),
        ({"valueCodeableConcept": {"coding": [{"code": "Y"}, {"code": "N"}]}}, None),
        ({"valueString": "Oui"}, True),
        ({"valueString": "ask her"}, None),
    ],
)
def test_a_reported_status_is_of_the_results_of_its_time(value: dict[str, Any], expected: bool | None) -> None:
    assert _fasted(_glucose(), _status(value)) is expected
    assert _fasted(_glucose(), _status(value, "2026-03-05T06:30:00Z")) is None


def test_a_status_is_context_and_no_result() -> None:
    intake = read(bundle(_glucose(), _status({"valueBoolean": True})))
    assert len(intake.results) == 1
    assert [(entry.observation, entry.code) for entry in intake.not_assessed] == [
        ("Observation/status", "not-laboratory")
    ]


def test_two_statuses_that_contradict_each_other_say_nothing() -> None:
    other = {**_status({"valueBoolean": False}), "id": "other"}
    assert _fasted(_glucose(), _status({"valueBoolean": True}), other) is None


@pytest.mark.parametrize(
    ("collection", "expected"),
    [
        ({"fastingStatusCodeableConcept": _coded("F")}, True),
        ({"fastingStatusCodeableConcept": _coded("NF")}, False),
        ({"fastingStatusCodeableConcept": _coded("NG")}, None),
        ({"fastingStatusDuration": {"value": 8, "unit": "h", "code": "h"}}, True),
        ({"fastingStatusDuration": {"value": 7.9, "unit": "h", "code": "h"}}, False),
        ({"fastingStatusDuration": {"value": 600, "unit": "min", "code": "min"}}, True),
        ({"fastingStatusDuration": {"value": 12, "unit": "wibble"}}, None),
        ({"fastingStatusDuration": {"value": 12, "comparator": "<", "unit": "h", "code": "h"}}, None),
        ({}, None),
    ],
)
def test_a_specimen_says_how_it_was_collected(collection: dict[str, Any], expected: bool | None) -> None:
    specimen = _specimen(collection)
    assert _fasted(_glucose(specimen={"reference": "Specimen/tube"}), specimen) is expected
    contained = _glucose(specimen={"reference": "#tube"}, contained=[specimen])
    assert _fasted(contained) is expected
    assert read(bundle(contained)).results[0].specimen == "Serum"


def test_the_specimen_goes_before_the_status() -> None:
    specimen = _specimen({"fastingStatusCodeableConcept": _coded("NF")})
    assert (
        _fasted(_glucose(specimen={"reference": "Specimen/tube"}), specimen, _status({"valueBoolean": True})) is False
    )


def test_a_sample_known_not_to_be_fasting_is_judged_by_its_own_limit() -> None:
    """Two glucoses in one panel, alike but for the fasting: each gets its own interval."""
    later = {**_glucose(effectiveDateTime="2026-03-04T14:00:00Z"), "id": "later"}
    panel = normalize(
        read(
            bundle(
                _glucose(),
                later,
                _status({"valueBoolean": True}),
                _status({"valueBoolean": False}, "2026-03-04T14:00:00Z"),
            )
        ),
        catalog.load(),
    )
    highs = [placed.interval.high for placed in panel.results if placed.interval is not None]
    assert highs == [99, 139]
