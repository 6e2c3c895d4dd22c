"""How far a pregnancy is, and which trimester's interval a result takes."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest

from fhir_adapter import catalog, gestation
from fhir_adapter.model import Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import Json, observation

CATALOG = catalog.load()
DAY = date(2024, 3, 1)
"""When the results of the tests are taken."""
K = observation("k", "2160-0", 0.85, "mg/dL")


def _sent(*resources: Json, sex: str = "female", born: str = "1994-05-01") -> bytes:
    patient = {"resourceType": "Patient", "id": "p", "gender": sex, "birthDate": born}
    entries = [{"resource": one} for one in (patient, *resources)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def _age(value: Any, unit: str = "wk", when: str = "2024-03-01", loinc: str = "18185-9") -> Json:
    return observation("ga", loinc, value, unit, effectiveDateTime=when)


def _dated(loinc: str, day: str, element: str = "valueDateTime") -> Json:
    made = observation("edd", loinc, 0, "1")
    del made["valueQuantity"]
    return made | {element: day}


def _text(said: str) -> Json:
    made = _age(0)
    del made["valueQuantity"]
    return made | {"valueString": said}


def _condition(system: str, code: str, onset: str | None = None) -> Json:
    made: Json = {"resourceType": "Condition", "subject": {"reference": "Patient/p"}}
    made["code"] = {"coding": [{"system": system, "code": code}]}
    return made if onset is None else made | {"onsetDateTime": onset}


ICD = "http://hl7.org/fhir/sid/icd-10-cm"


@pytest.mark.parametrize(
    ("said", "begun"),
    [
        (_age(20), date(2023, 10, 13)),
        (_age(20, when="2024-02-23"), date(2023, 10, 6)),
        (_age(20, "weeks", loinc="11884-4"), date(2023, 10, 13)),
        (_age(20, "SA", loinc="11885-1"), date(2023, 10, 13)),
        (_age(140, "d"), date(2023, 10, 13)),
        (_age(20.5), date(2023, 10, 10)),
        (_age(44), date(2023, 4, 28)),
        (_age(45), None),
        (_age(-1), None),
        (_age(20, "kg"), None),
        (_age(20, ""), None),
        (_age(20) | {"valueQuantity": {"value": 20, "unit": "wk", "comparator": ">"}}, None),
        *(
            (_text(said), date(2023, 10, 9))
            for said in ("20+4", "20w4d", "20 weeks 4 days", "20 SA + 4 j", "20+4/7", "20 weeks and 4 days")
        ),
        *((_text(said), date(2023, 10, 13)) for said in ("20 weeks", "20 SSW", "20+0", "GA: 20 wks")),
        *((_text(said), None) for said in ("20", "20 4", "20+9", "about 20 weeks", "20-22 weeks", "45+0", "20/40", "")),
        (_dated("11778-8", "2024-06-30"), date(2023, 9, 24)),
        (_dated("11778-8", "2024-06-30", "valueDate"), date(2023, 9, 24)),
        (_dated("11779-6", "2024-06-30T10:00:00Z"), date(2023, 9, 24)),
        (_dated("11778-8", "2024-06"), None),
        (_dated("11778-8", "2023-06-30"), None),
        (_dated("11778-8", "2025-06-30"), None),
        (_dated("8665-2", "2023-12-01"), date(2023, 12, 1)),
        (_condition(ICD, "Z3A.20", "2024-03-01"), date(2023, 10, 13)),
        (_condition(ICD, "Z3A.20"), None),
        (_condition(ICD, "Z3A.49", "2024-03-01"), None),
        (_condition("http://snomed.info/sct", "77386006", "2023-12-01"), None),
    ],
)
def test_what_dates_a_pregnancy(said: Json, begun: date | None) -> None:
    patient = read(_sent(K, said)).patient
    assert patient.pregnant_since == begun
    if begun is not None:
        assert patient.pregnant is True


def test_what_dates_a_pregnancy_is_no_result() -> None:
    intake = read(_sent(K, _age(20), _dated("11778-8", "2024-06-30")))
    assert len(intake.results) == 1
    assert [one.code for one in intake.not_assessed] == ["not-laboratory"] * 2


def test_the_newest_that_is_said_counts() -> None:
    assert read(_sent(K, _age(10, when="2024-01-01"), _age(20))).patient.pregnant_since == DAY - timedelta(weeks=20)


@pytest.mark.parametrize(
    ("more", "pregnant"),
    [
        ({}, True),
        ({"sex": "male"}, None),
        ({"born": "2024-02-28"}, None),
        ({"born": "1950-01-01"}, None),
        ({"sex": "unknown"}, None),
    ],
)
def test_a_gestational_age_alone_makes_no_newborn_pregnant(more: dict[str, str], pregnant: bool | None) -> None:
    patient = read(_sent(K, _age(39), **more)).patient
    assert patient.pregnant is pregnant
    assert (patient.pregnant_since is not None) == (pregnant is True)


def test_who_is_said_not_to_be_pregnant_is_not() -> None:
    status = {name: value for name, value in observation("s", "82810-3", 0, "1").items() if name != "valueQuantity"}
    status["valueCodeableConcept"] = {"coding": [{"system": "http://snomed.info/sct", "code": "60001007"}]}
    patient = read(_sent(K, _age(20), status)).patient
    assert (patient.pregnant, patient.pregnant_since) == (False, None)


@pytest.mark.parametrize(
    ("days", "expected"),
    [(-1, None), (0, 1), (97, 1), (98, 2), (195, 2), (196, 3), (44 * 7 + 6, 3), (45 * 7, None)],
)
def test_trimesters_end_as_acog_counts(days: int, expected: int | None) -> None:
    assert gestation.trimester(DAY, DAY + timedelta(days=days)) == expected


def _panel(*resources: Json) -> Panel:
    return normalize(read(_sent(*resources)), CATALOG)


@pytest.mark.parametrize(
    ("said", "limits", "about"),
    [
        ([_age(10)], (0.4, 0.7), "trimester-1"),
        ([_age(13)], (0.4, 0.7), "trimester-1"),
        ([_age(14)], (0.4, 0.8), "trimester-2"),
        ([_age(27)], (0.4, 0.8), "trimester-2"),
        ([_age(28)], (0.4, 0.9), "trimester-3"),
        ([_condition(ICD, "O26.9")], (0.4, 0.9), "trimester-unknown"),
    ],
)
def test_a_result_takes_its_trimesters_interval(said: list[Json], limits: tuple[float, float], about: str) -> None:
    (placed,) = _panel(K, *said).results
    assert placed.interval is not None
    assert (placed.interval.low, placed.interval.high) == limits
    assert placed.interval.about == (about,)


def test_each_result_is_placed_by_its_own_day() -> None:
    before = observation("a", "2160-0", 0.8, "mg/dL", effectiveDateTime="2023-09-01")
    early = observation("b", "2160-0", 0.8, "mg/dL", effectiveDateTime="2023-12-01")
    found = [one.interval for one in _panel(before, early, K, _age(30)).results]
    assert [None if one is None else one.about for one in found] == [
        ("trimester-1",),
        ("trimester-2",),
        ("trimester-3",),
    ]
    found = [one.interval for one in _panel(before, early, K, _age(22)).results]
    assert [None if one is None else one.about for one in found] == [(), ("trimester-1",), ("trimester-2",)]


def test_trimesters_are_told_apart_without_a_birth_date() -> None:
    early = observation("b", "2160-0", 0.8, "mg/dL", effectiveDateTime="2023-12-01")
    status = {name: value for name, value in observation("s", "82810-3", 0, "1").items() if name != "valueQuantity"}
    status["valueCodeableConcept"] = {"coding": [{"system": "http://snomed.info/sct", "code": "77386006"}]}
    sent = json.loads(_sent(early, K, _age(22), status))
    del sent["entry"][0]["resource"]["birthDate"]
    found = normalize(read(json.dumps(sent).encode()), CATALOG).results
    assert [one.interval.about for one in found if one.interval] == [("trimester-1",), ("trimester-2",)]


def test_what_has_no_trimesters_says_so() -> None:
    def about(analyte: str, unit: str, *said: Json) -> tuple[str, ...]:
        (placed,) = _panel(observation("x", CATALOG.analytes[analyte].loinc[0], 5, unit), *said).results
        assert placed.interval is not None
        return placed.interval.about

    assert about("alt", "U/L", _age(20)) == ("all-trimesters",)
    assert about("mcv", "fL", _age(20)) == ("non-pregnant",)
    assert about("sodium", "mmol/L", _age(20)) == ("trimester-2",)
    assert about("sodium", "mmol/L", _condition(ICD, "O26.9")) == ("non-pregnant",)


def test_the_joined_interval_holds_every_trimester() -> None:
    """Within 2 %: ATA's upper limit of TSH is 4.0, Abbassi-Ghanavati's of the last trimester 4.04."""
    count = 0
    for analyte in CATALOG.analytes.values():
        joined = [one for one in analyte.intervals if one.pregnant and one.trimester is None]
        for one in analyte.intervals:
            for whole in joined if one.trimester is not None else []:
                assert whole.low is None or (one.low is not None and one.low >= 0.98 * whole.low), analyte.id
                assert whole.high is None or (one.high is not None and one.high <= 1.02 * whole.high), analyte.id
                count += 1
    assert count >= 60


@pytest.mark.parametrize(
    "analyte",
    [
        *("haemoglobin", "haematocrit", "leucocytes", "platelets", "tsh", "free-t4", "fibrinogen", "d-dimer", "alp"),
        *("creatinine", "albumin", "urea", "urea-nitrogen", "uric-acid", "bicarbonate", "sodium", "ferritin"),
    ],
)
def test_these_have_all_three(analyte: str) -> None:
    assert {one.trimester for one in CATALOG.analytes[analyte].intervals} >= {1, 2, 3}
