"""Reading FHIR: everything that comes in ends once; one bad element never hides the others."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
        ({"status": None}, "status-unknown"),
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


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_bundle_spoiled_anywhere_never_crashes_or_loses_anything(data: st.DataObject) -> None:
    whole = json.loads(bundle(POTASSIUM, SODIUM))
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            places.append((node, key))
            visit(value)

    visit(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        node, key = data.draw(st.sampled_from(places))
        node[key] = data.draw(_json)
    try:
        intake = read(json.dumps(whole).encode())
    except InvalidInput:
        return
    assert len(intake.results) + len(intake.not_assessed) == intake.observations


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 1500))
def test_bytes_spoiled_anywhere_never_crash(junk: bytes, at: int) -> None:
    whole = bundle(POTASSIUM, SODIUM)
    try:
        intake = read(whole[:at] + junk + whole[at + len(junk) :])
    except InvalidInput:
        return
    assert len(intake.results) + len(intake.not_assessed) == intake.observations


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def test_every_strange_file_is_read_or_refused(shared_data: Path) -> None:
    read_or_refused = 0
    for file in _files(shared_data / "fhir-validator-cases"):
        try:
            intake = read(file.read_bytes())
        except InvalidInput:
            read_or_refused += 1
            continue
        assert len(intake.results) + len(intake.not_assessed) == intake.observations, file.name
        read_or_refused += 1
    assert read_or_refused > 80


def test_whole_synthetic_records_are_read(shared_data: Path) -> None:
    file = shared_data / "synthea-r4" / "patient-1.json.gz"
    limits = Limits(max_bytes=1 << 28, max_observations=100_000)
    intake = read(gzip.decompress(file.read_bytes()), limits=limits)
    assert len(intake.results) + len(intake.not_assessed) == intake.observations > 50


def _observations(node: Any) -> list[Json]:
    found = []
    if isinstance(node, dict):
        if node.get("resourceType") == "Observation":
            found.append(node)
        for value in node.values():
            found += _observations(value)
    elif isinstance(node, list):
        for value in node:
            found += _observations(value)
    return found


@pytest.mark.parametrize("folder", ["fhir-r4-examples", "us-core-examples", "au-fhir-test-data"])
def test_the_fast_reader_agrees_with_the_strict_models_on_official_examples(folder: str, shared_data: Path) -> None:
    from fhir.resources.R4B.observation import Observation
    from pydantic import ValidationError

    compared = 0
    for file in _files(shared_data / folder):
        for raw in _observations(json.loads(file.read_text(encoding="utf-8-sig"))):
            try:
                model = Observation.model_validate(raw)
            except (ValidationError, ValueError):
                continue
            if raw.get("focus"):
                continue
            intake = read(json.dumps(raw).encode())
            assert "malformed" not in _codes(intake), file.name
            assert intake.observations == 1 + len(model.component or ()), file.name
            for result in intake.results:
                if result.path != "Observation" or model.valueQuantity is None:
                    continue
                assert isinstance(result.value, Quantity)
                assert result.value.number == pytest.approx(float(model.valueQuantity.value)), file.name
                assert result.value.shown_unit in (model.valueQuantity.unit, model.valueQuantity.code), file.name
                assert result.status == model.status
                assert len(result.ranges) == len(model.referenceRange or ()), file.name
                compared += 1
    if folder == "fhir-r4-examples":
        assert compared > 15
