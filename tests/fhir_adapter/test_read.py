"""Reading FHIR: everything that comes in ends once; one bad element never hides the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhir_adapter.errors import InvalidInput, LimitExceeded, MultiplePatients, NotJson, UnsupportedResource
from fhir_adapter.model import Answer, Intake, Quantity, Span, Titre
from fhir_adapter.read import Limits, read
from tests.bundles import Json, bundle, observation

ROOT = Path(__file__).resolve().parents[2]
POTASSIUM = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1)
SODIUM = observation("na", "2951-2", 140, "mmol/L", 135, 145)


def _read(*resources: Json) -> Intake:
    return read(bundle(*resources))


def _ended_once(intake: Intake) -> None:
    paths = [result.path for result in intake.results] + [
        entry.path.split(".value")[0] for entry in intake.not_assessed
    ]
    assert len(intake.results) + len(intake.not_assessed) == intake.observations
    assert paths


def _codes(intake: Intake) -> list[str]:
    return [entry.code for entry in intake.not_assessed]


def test_a_result_keeps_what_the_laboratory_sent() -> None:
    (found,) = read(bundle(POTASSIUM).replace(b"6.9", b"6.90")).results
    assert isinstance(found.value, Quantity)
    assert (found.value.number, found.value.unit, found.value.text) == (6.9, "mmol/L", "6.90")
    assert found.observation == "Observation/k"
    assert found.path == "Bundle.entry[1].resource"
    assert found.loinc == "2823-3"
    assert found.ranges[0].low is not None
    assert found.ranges[0].low.number == 3.5


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"valueQuantity": {"value": 1, "comparator": "<", "unit": "g"}}, Quantity),
        ({"valueString": "<0.01"}, Quantity),
        ({"valueString": ">2000"}, Quantity),
        ({"valueString": "11-20"}, Span),
        ({"valueString": "1:160"}, Titre),
        ({"valueString": "TRACE"}, Answer),
        ({"valueInteger": 3}, Quantity),
        ({"valueBoolean": True}, Answer),
        ({"valueRange": {"low": {"value": 1}, "high": {"value": 2}}}, Span),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 160}}}, Titre),
        ({"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "260373001"}]}}, Answer),
    ],
)
def test_every_kind_of_value(value: Json, kind: type) -> None:
    bare = {name: element for name, element in POTASSIUM.items() if name != "valueQuantity"}
    (found,) = _read(bare | value).results
    assert isinstance(found.value, kind)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "entered-in-error"}, "entered-in-error"),
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "registered"}, "no-final-value"),
        ({"status": "nonsense"}, "status-unknown"),
        ({"valueQuantity": None, "dataAbsentReason": {"text": "x"}}, "data-absent"),
        ({"valueQuantity": None}, "no-value"),
        ({"valueQuantity": None, "hasMember": [{"reference": "Observation/x"}]}, "group"),
        ({"valueQuantity": None, "valuePeriod": {"start": "2024"}}, "unsupported-value"),
        ({"modifierExtension": [{"url": "http://example.org/x"}]}, "modifier-extension"),
        ({"focus": [{"reference": "Patient/q"}]}, "not-the-patient"),
        ({"subject": {"reference": "Device/d"}}, "not-the-patient"),
        ({"category": [{"coding": [{"code": "vital-signs"}]}]}, "not-laboratory"),
        ({"valueQuantity": {"value": "six"}}, "malformed"),
        ({"code": [1, 2]}, "malformed"),
        ({"referenceRange": {"low": 3}}, "malformed"),
        ({"valueQuantity": {"value": 1, "unit": "g"}, "valueString": "x"}, "malformed"),
    ],
)
def test_what_is_not_judged_is_said_and_hides_nothing_else(change: Json, code: str) -> None:
    changed = {name: element for name, element in (POTASSIUM | change).items() if element is not None}
    intake = _read(changed, SODIUM)
    assert _codes(intake) == [code]
    assert [result.observation for result in intake.results] == ["Observation/na"]
    _ended_once(intake)


def test_a_number_past_every_limit_is_not_finite() -> None:
    intake = read(bundle(POTASSIUM, SODIUM).replace(b"6.9", b"1e400"))
    assert _codes(intake) == ["not-finite"]
    assert len(intake.results) == 1


def test_components_are_results_of_their_own() -> None:
    component = {"code": {"text": "part"}, "valueQuantity": {"value": 1, "unit": "g"}}
    group = {name: element for name, element in POTASSIUM.items() if name not in ("valueQuantity", "referenceRange")}
    intake = _read(group | {"component": [component, {"code": {"text": "none"}}]})
    assert [result.path for result in intake.results] == ["Bundle.entry[1].resource.component[0]"]
    assert sorted(_codes(intake)) == ["group", "no-value"]
    assert intake.observations == 3


def test_exact_repeats_fold_and_corrections_replace() -> None:
    assert _read(POTASSIUM, POTASSIUM).observations == 1
    corrected = POTASSIUM | {"status": "corrected", "valueQuantity": {"value": 4.2, "unit": "mmol/L"}}
    intake = _read(POTASSIUM, corrected)
    assert _codes(intake) == ["superseded"]
    assert [result.status for result in intake.results] == ["corrected"]


def test_the_same_value_of_two_observations_stays_two() -> None:
    assert len(_read(POTASSIUM, POTASSIUM | {"id": "k2"}).results) == 2


def test_two_patients_are_refused_with_the_place() -> None:
    with pytest.raises(MultiplePatients) as caught:
        _read(POTASSIUM, SODIUM | {"subject": {"reference": "Patient/other"}})
    assert caught.value.violations[0].path.startswith("Bundle.entry[2].resource")


@pytest.mark.parametrize("spelling", ["Patient/p", "https://ehr.example.org/fhir/Patient/p", "Patient/p/_history/3"])
def test_one_patient_by_several_spellings_is_one(spelling: str) -> None:
    assert len(_read(POTASSIUM, SODIUM | {"subject": {"reference": spelling}}).results) == 2


def test_a_lone_observation_and_a_report() -> None:
    assert read(json.dumps(POTASSIUM).encode()).results[0].path == "Observation"
    report = {"resourceType": "DiagnosticReport", "id": "r", "status": "final", "contained": [POTASSIUM, SODIUM]}
    assert len(read(json.dumps(report).encode()).results) == 2


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", NotJson),
        (b"{", NotJson),
        (b"[1, 2", InvalidInput),
        (b'{"resourceType": "Bundle"} x', NotJson),
        ("{}".encode("utf-16"), NotJson),
        (b'{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Observation", "x": NaN}}]}', NotJson),
        (b'{"resourceType": "Patient"}', UnsupportedResource),
        (b"null", InvalidInput),
        (b"{}", InvalidInput),
        (b'{"resourceType": "Bundle", "entry": []}', InvalidInput),
        (b"[" * 100_000, InvalidInput),
        (b'{"resourceType":"Bundle","entry":[{"resource":' * 10_000, InvalidInput),
        (b'{"resourceType":"Bundle","entry":[{"resource":' * 10_000 + b"{}" + b"}]}" * 10_000, LimitExceeded),
        (b" " * 5_000_000, LimitExceeded),
    ],
    ids=range(14),
)
def test_bad_input_is_refused(data: bytes, kind: type[InvalidInput]) -> None:
    with pytest.raises(kind):
        read(data)


def test_too_many_observations_are_refused() -> None:
    many = [POTASSIUM | {"id": str(number)} for number in range(30)]
    with pytest.raises(LimitExceeded):
        read(bundle(*many), limits=Limits(max_observations=20))


def test_strict_refuses_what_fhir_refuses_and_names_no_value() -> None:
    spoiled = bundle(POTASSIUM | {"issued": "Jane Roe"})
    assert read(spoiled).results
    with pytest.raises(InvalidInput) as caught:
        read(spoiled, validation="strict")
    assert caught.value.violations
    assert "Jane" not in str(caught.value) + str(caught.value.violations)
    assert read(bundle(POTASSIUM), validation="strict").results
