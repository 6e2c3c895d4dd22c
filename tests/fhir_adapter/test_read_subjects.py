"""Whom results are about: one patient in many spellings, never two; sex, birth date, pregnancy."""

from __future__ import annotations

import json
from datetime import date

import pytest

from fhir_adapter.errors import MultiplePatients
from fhir_adapter.model import Intake
from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation

K = observation("k", "2823-3", 6.9, "mmol/L")
NA = observation("na", "2951-2", 140, "mmol/L")


def _entries(*entries: Json, **more: object) -> Intake:
    return read(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": list(entries)} | more).encode())


def _patient(**more: object) -> Json:
    return {"resourceType": "Patient", "gender": "male", "birthDate": "1980-02-03"} | more


def _of(one: Json, **subject: object) -> Json:
    return {name: value for name, value in one.items() if name != "subject"} | ({"subject": subject} if subject else {})


MRN = {"system": "urn:mrn", "value": "123"}


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/1"},
        {"reference": "Patient/1/_history/2"},
        {"reference": "http://host/fhir/Patient/1"},
        {"reference": "urn:uuid:5d5b3a52-0000-4000-8000-000000000001"},
        {"identifier": MRN},
        {"reference": "Patient?identifier=urn:mrn|123"},
        {"type": "Patient", "identifier": {"value": "123"}},
        {"display": "Somebody"},
        {},
    ],
)
def test_spellings_of_one_patient(subject: Json) -> None:
    patient = {
        "fullUrl": "urn:uuid:5d5b3a52-0000-4000-8000-000000000001",
        "resource": _patient(id="1", identifier=[MRN]),
    }
    intake = _entries(patient, {"resource": _of(K, reference="Patient/1")}, {"resource": _of(NA, **subject)})
    assert len(intake.results) == 2
    assert intake.patient.sex == "male"
    assert intake.patient.birth_date == date(1980, 2, 3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"reference": "Patient/1"}, {"reference": "Patient/2"}),
        ({"reference": "http://a/Patient/1"}, {"reference": "http://b/Patient/1"}),
        ({"reference": "urn:uuid:a"}, {"reference": "urn:uuid:b"}),
        ({"identifier": MRN}, {"identifier": {"system": "urn:mrn", "value": "124"}}),
        ({"identifier": MRN}, {"reference": "Patient/1"}),
        ({"display": "Jane Roe"}, {"display": "John Doe"}),
    ],
)
def test_two_patients_are_never_mixed(one: Json, other: Json) -> None:
    with pytest.raises(MultiplePatients) as caught:
        _entries({"resource": _of(K, **one)}, {"resource": _of(NA, **other)})
    assert [fault.path for fault in caught.value.violations] == ["Bundle.entry[1].resource.subject"]
    assert "Roe" not in repr(caught.value.violations)


def test_a_relative_reference_is_one_of_the_server_of_its_entry() -> None:
    entries = [
        {"fullUrl": f"http://{server}/Observation/{one['id']}", "resource": _of(one, reference="Patient/1")}
        for server, one in (("a", K), ("b", NA))
    ]
    with pytest.raises(MultiplePatients):
        _entries(*entries)
    with pytest.raises(MultiplePatients):
        _entries(
            *({"fullUrl": f"http://{server}/Patient/1", "resource": _patient(id="1")} for server in "ab"), *entries
        )
    assert len(_entries(entries[0], {**entries[1], "fullUrl": "http://a/Observation/na"}).results) == 2


def test_an_identifier_that_once_came_with_a_reference_is_that_patient() -> None:
    intake = _entries(
        {"resource": _of(K, identifier=MRN)}, {"resource": _of(NA, reference="Patient/1", identifier=MRN)}
    )
    assert len(intake.results) == 2


def test_a_result_that_is_not_judged_does_not_make_two_patients() -> None:
    intake = _entries(
        {"resource": K}, {"resource": _of(NA, reference="Patient/other") | {"status": "entered-in-error"}}
    )
    assert len(intake.results) == 1


def test_several_patients_of_whom_one_is_meant() -> None:
    intake = _entries(
        {"resource": _patient(id="mother", gender="female")}, {"resource": _patient(id="p")}, {"resource": K}
    )
    assert intake.patient.sex == "male"
    assert (
        _entries({"resource": _patient(id="a")}, {"resource": _patient(id="b")}, {"resource": _of(K)}).patient.sex
        is None
    )


def test_a_patient_who_is_not_the_subject_lends_nothing() -> None:
    assert _entries({"resource": _patient(id="other")}, {"resource": K}).patient.sex is None


def test_a_patient_sent_twice_is_one() -> None:
    patient = {"resource": _patient(id="p")}
    assert _entries(patient, patient, {"resource": K}).patient.sex == "male"


def test_a_contained_patient() -> None:
    contained = _of(K, reference="#me") | {"contained": [_patient(id="me")]}
    again = _of(NA, reference="#me") | {"contained": [_patient(id="me")]}
    assert _entries({"resource": contained}, {"resource": again}).patient.sex == "male"
    another = _of(NA, reference="#me") | {"contained": [_patient(id="me", birthDate="1999")]}
    with pytest.raises(MultiplePatients):
        _entries({"resource": contained}, {"resource": another})


@pytest.mark.parametrize(
    ("change", "sex", "born"),
    [
        ({"gender": "other"}, None, date(1980, 2, 3)),
        ({"gender": "unknown"}, None, date(1980, 2, 3)),
        ({"birthDate": "1980-02"}, "male", date(1980, 2, 15)),
        ({"birthDate": "1980"}, "male", date(1980, 7, 1)),
        ({"birthDate": "1980-02-31"}, "male", None),
        ({"birthDate": "never"}, "male", None),
        ({"birthDate": 1980}, None, None),
        ({"modifierExtension": [{"url": "http://example.org/x"}]}, None, None),
    ],
)
def test_patient_as_sent(change: Json, sex: str | None, born: date | None) -> None:
    found = _entries({"resource": _patient(id="p") | change}, {"resource": K})
    assert len(found.results) == 1
    assert (found.patient.sex, found.patient.birth_date) == (sex, born)


def test_no_patient_at_all() -> None:
    assert _entries({"resource": K}).patient.sex is None


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Group/g"},
        {"reference": "http://host/Location/l"},
        {"reference": "urn:uuid:d", "type": "Device"},
        {"type": "Device", "identifier": MRN},
        {"reference": "urn:uuid:dev"},
        {"reference": "#in"},
    ],
)
def test_what_is_about_something_else(subject: Json) -> None:
    device = {"fullUrl": "urn:uuid:dev", "resource": {"resourceType": "Device", "id": "d"}}
    other = _of(NA, **subject) | {"contained": [{"resourceType": "Specimen", "id": "in"}]}
    intake = _entries(device, {"resource": K}, {"resource": other})
    assert [(entry.path, entry.code) for entry in intake.not_assessed] == [
        ("Bundle.entry[2].resource", "not-the-patient")
    ]


def _status(code: str, system: str = "http://snomed.info/sct", **more: object) -> Json:
    status = {name: value for name, value in observation("pg", "82810-3", 0, "1").items() if name != "valueQuantity"}
    return status | {"valueCodeableConcept": {"coding": [{"system": system, "code": code}]}} | more


@pytest.mark.parametrize(
    ("status", "pregnant"),
    [
        (_status("77386006"), True),
        (_status("60001007"), False),
        (_status("LA15173-0", "http://loinc.org"), True),
        (_status("LA26683-5", "http://loinc.org"), False),
        (_status("261665006"), None),
        (_status("77386006", status="entered-in-error"), None),
        (_status("77386006", effectiveDateTime="2020-01-01"), None),
        (_status("60001007", effectiveDateTime="2020-01-01"), None),
        (_status("77386006", subject={"reference": "Patient/sister"}), None),
    ],
)
def test_pregnancy_status(status: Json, pregnant: bool | None) -> None:
    intake = read(bundle(K, status))
    assert intake.patient.pregnant is pregnant
    assert len(intake.results) == 1
    assert len(intake.not_assessed) == 1
    assert intake.not_assessed[0].code in ("not-laboratory", "entered-in-error")


@pytest.mark.parametrize(
    ("code", "more", "pregnant"),
    [
        ({"system": "http://snomed.info/sct", "code": "77386006"}, {}, True),
        ({"system": "http://hl7.org/fhir/sid/icd-10", "code": "Z34.0"}, {}, True),
        ({"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "O24.4"}, {}, True),
        ({"system": "http://hl7.org/fhir/sid/icd-10", "code": "E11"}, {}, None),
        ({"system": "http://snomed.info/sct", "code": "77386006"}, {"abatementDateTime": "2023"}, None),
        (
            {"system": "http://snomed.info/sct", "code": "77386006"},
            {"clinicalStatus": {"coding": [{"code": "resolved"}]}},
            None,
        ),
        (
            {"system": "http://snomed.info/sct", "code": "77386006"},
            {"verificationStatus": {"coding": [{"code": "refuted"}]}},
            None,
        ),
        ({"system": "http://snomed.info/sct", "code": "77386006"}, {"subject": {"reference": "Patient/q"}}, None),
    ],
)
def test_pregnancy_as_a_condition(code: Json, more: Json, pregnant: bool | None) -> None:
    condition = {"resourceType": "Condition", "subject": {"reference": "Patient/p"}, "code": {"coding": [code]}}
    active = {"clinicalStatus": {"coding": [{"code": "active"}]}}
    assert read(bundle(K, condition | active | more)).patient.pregnant is pregnant
