"""The rules over whole panels: what decides, what is said, what can't be judged."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.clinical.analytes import UNITS
from cds_service.clinical.assess import assess
from cds_service.domain import Finding, Findings
from fhir_adapter import catalog
from fhir_adapter.model import Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation


def _found(*observations: Json) -> tuple[Panel, Findings]:
    panel = normalize(read(bundle(*observations)), catalog.load())
    return panel, assess(panel)


def _one(**more: Any) -> Finding:
    made = observation("o", "2823-3", 4.0, "mmol/L", 3.5, 5.1) | more
    return _found({key: value for key, value in made.items() if value is not None})[1].results[0]


def _interpreted(code: str) -> list[Json]:
    return [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": code}]}
    ]


def _quantity(value: float, unit: str = "mmol/L") -> Json:
    return {"value": value, "unit": unit}


@pytest.mark.parametrize(
    ("value", "code", "floor"),
    [(4.0, "N", False), (3.4, "L", True), (5.2, "H", True), (6.3, "HH", True), (2.7, "LL", True)],
)
def test_the_labs_interval_and_the_critical_limits(value: float, code: str, floor: bool) -> None:
    found = _one(valueQuantity=_quantity(value))
    assert (found.code, found.floor) == (code, floor)
    assert found.basis[0].interval_source == "lab"


def test_a_usual_interval_is_evidence_not_a_floor() -> None:
    found = _one(valueQuantity=_quantity(5.4), referenceRange=None)
    assert (found.code, found.floor) == ("H", False)
    assert found.basis[0].interval_source == "usual"
    assert found.basis[0].citation


def test_an_impossible_number_is_not_assessed_unless_the_lab_gives_an_interval() -> None:
    bare = _one(valueQuantity=_quantity(410), referenceRange=None)
    assert bare.code is None
    assert bare.not_assessed is not None
    assert bare.not_assessed.code == "implausible"
    own = _one(valueQuantity=_quantity(410))
    assert own.abnormal
    assert "implausible" in {basis.said.key for basis in own.basis}


@pytest.mark.parametrize(
    ("value", "own", "code", "kind"),
    [
        (4.0, "H", "H", "disagreement"),
        (5.5, "N", "H", "disagreement"),
        (5.5, "HH", "HH", "interpretation"),
        (5.5, "L", "H", "disagreement"),
        (4.0, "U", "N", None),
    ],
)
def test_the_laboratorys_own_word_is_evidence(value: float, own: str, code: str, kind: str | None) -> None:
    found = _one(valueQuantity=_quantity(value), interpretation=_interpreted(own))
    assert found.code == code
    assert (kind in {basis.kind for basis in found.basis}) == (kind is not None)


def test_without_an_interval_the_laboratorys_word_decides() -> None:
    unknown = {"code": {"text": "Wibble factor"}, "referenceRange": None}
    assert _one(**unknown, interpretation=_interpreted("L")).code == "L"
    assert _one(**unknown, interpretation=_interpreted("L")).floor
    nothing = _one(**unknown)
    assert nothing.not_assessed is not None
    assert nothing.not_assessed.code == "no-interval"


@pytest.mark.parametrize(
    ("text", "expected", "code"),
    [
        ("2+", "Negative", "A"),
        ("NEGATIVE", "Negative", "N"),
        ("TRACE", "Negative", "A"),
        ("Not detected", None, "N"),
        ("POSITIVE", None, "A"),
    ],
)
def test_answers_in_words(text: str, expected: str | None, code: str) -> None:
    ranges = [{"text": expected}] if expected else None
    found = _one(code={"text": "Some antigen"}, valueQuantity=None, valueString=text, referenceRange=ranges)
    assert found.code == code


def test_words_nobody_knows_are_not_assessed() -> None:
    found = _one(code={"text": "Some antigen"}, valueQuantity=None, valueString="xyzzy", referenceRange=None)
    assert found.not_assessed is not None
    assert found.not_assessed.code == "unknown-answer"


def test_preliminary_is_said() -> None:
    assert "preliminary" in {basis.kind for basis in _one(status="preliminary").basis}


@pytest.mark.parametrize(
    ("note", "tainted"),
    [
        ("Specimen moderately hemolyzed.", True),
        ("Échantillon hémolysé", True),
        ("No hemolysis seen", False),
        ("Not enough sample, haemolysed", True),
        ("ok", False),
    ],
)
def test_a_haemolysed_sample_taints_its_potassium(note: str, tainted: bool) -> None:
    found = _one(valueQuantity=_quantity(6.0), note=[{"text": note}])
    assert ("taint" in {basis.kind for basis in found.basis}) == tainted


def _series(*values: float, loinc: str = "2160-0", unit: str = "mg/dL", hours: int = 24) -> list[Json]:
    from datetime import UTC, datetime, timedelta

    start = datetime(2024, 3, 1, tzinfo=UTC)
    return [
        observation(
            f"s{n}", loinc, value, unit, 0.6, 1.2, effectiveDateTime=(start + timedelta(hours=hours * n)).isoformat()
        )
        for n, value in enumerate(values)
    ]


def test_the_newest_gets_its_trend_and_the_older_ones_none() -> None:
    found = _found(*_series(1.0, 1.3, 1.9))[1].results
    assert {basis.kind for basis in found[2].basis} >= {"delta", "trend"}
    assert not {basis.kind for basis in found[0].basis} & {"delta", "trend"}


def _patterns(*observations: Json) -> set[str]:
    return {pattern.id for pattern in _found(*observations)[1].patterns}


@pytest.mark.parametrize(
    ("values", "hours", "found"),
    [
        ((1.0, 1.3), 24, True),
        ((1.0, 1.29), 24, False),
        ((1.0, 1.3), 49, False),
        ((1.0, 1.5), 100, True),
        ((1.0, 1.49), 100, False),
        ((1.0, 1.6), 200, False),
    ],
)
def test_kdigo_creatinine_limits(values: tuple[float, ...], hours: int, found: bool) -> None:
    assert ("aki" in _patterns(*_series(*values, hours=hours))) == found


@pytest.mark.parametrize(("potassium", "creatinine", "found"), [(6.0, 2.0, True), (5.9, 2.0, False), (6.0, 1.0, False)])
def test_hyperkalaemia_with_raised_creatinine(potassium: float, creatinine: float, found: bool) -> None:
    panel = (
        observation("k", "2823-3", potassium, "mmol/L", 3.5, 5.1),
        observation("c", "2160-0", creatinine, "mg/dL", 0.6, 1.2),
    )
    assert ("hyperkalaemia-kidney" in _patterns(*panel)) == found


def test_a_haemolysed_potassium_is_not_called_kidney_failure() -> None:
    note = [{"text": "hemolyzed"}]
    panel = (
        observation("k", "2823-3", 6.6, "mmol/L", 3.5, 5.1, note=note),
        observation("c", "2160-0", 2.0, "mg/dL", 0.6, 1.2),
    )
    assert "hyperkalaemia-kidney" not in _patterns(*panel)
    assert "haemolysed-potassium" in _patterns(*panel)


@pytest.mark.parametrize(
    ("glucose", "bicarbonate", "chloride", "found"),
    [(200, 17.9, 105, True), (199, 17.9, 105, False), (200, 18, 105, False), (200, 17, 111, False)],
)
def test_ketoacidosis_limits(glucose: float, bicarbonate: float, chloride: float, found: bool) -> None:
    panel = (
        observation("g", "2345-7", glucose, "mg/dL", 70, 99),
        observation("b", "1963-8", bicarbonate, "mmol/L", 22, 29),
        observation("n", "2951-2", 140, "mmol/L", 135, 145),
        observation("c", "2075-0", chloride, "mmol/L", 98, 107),
    )
    assert ("ketoacidosis" in _patterns(*panel)) == found


def test_ketones_speak_before_the_gap() -> None:
    def strip(text: str) -> Json:
        made = observation("u", "5797-6", 0, "", effectiveDateTime="2024-03-01T08:00:00Z")
        return {name: value for name, value in made.items() if name != "valueQuantity"} | {
            "valueString": text,
            "referenceRange": [{"text": "Negative"}],
        }

    acid = (
        observation("g", "2345-7", 480, "mg/dL", 70, 99),
        observation("b", "1963-8", 9, "mmol/L", 22, 29),
    )
    gap = (observation("n", "2951-2", 140, "mmol/L", 135, 145), observation("c", "2075-0", 100, "mmol/L", 98, 107))
    assert "ketoacidosis" in _patterns(*acid, strip("4+"))
    assert "ketoacidosis" not in _patterns(*acid, *gap, strip("NEGATIVE"))
    assert "ketoacidosis" not in _patterns(*acid)


@pytest.mark.parametrize(("count", "found"), [(0.49, True), (0.5, False)])
def test_severe_neutropenia(count: float, found: bool) -> None:
    assert ("severe-neutropenia" in _patterns(observation("n", "751-8", count, "10*3/uL", 1.8, 7.7))) == found


@pytest.mark.parametrize(
    ("alt", "alp", "bilirubin", "found"),
    [
        (120, 100, 2.4, "hys-law"),
        (119, 40, 2.4, "hepatocellular"),
        (400, 100, 1.0, "hepatocellular"),
        (60, 300, 1.0, "cholestatic"),
        (200, 150, 1.0, "mixed-liver"),
        (40, 100, 1.0, None),
    ],
)
def test_liver_by_its_ratio(alt: float, alp: float, bilirubin: float, found: str | None) -> None:
    panel = (
        observation("a", "1742-6", alt, "U/L", 7, 40),
        observation("p", "6768-6", alp, "U/L", 40, 120),
        observation("b", "1975-2", bilirubin, "mg/dL", 0.2, 1.2),
    )
    liver = {"hys-law", "hepatocellular", "cholestatic", "mixed-liver"}
    assert _patterns(*panel) & liver == ({found} if found else set())


def test_anaemia_and_pancytopenia() -> None:
    blood = [
        observation("h", "718-7", 8.0, "g/dL", 12, 16),
        observation("m", "787-2", 70, "fL", 80, 100),
        observation("w", "6690-2", 2.0, "10*3/uL", 4, 11),
        observation("p", "777-3", 90, "10*3/uL", 150, 400),
    ]
    assert _patterns(*blood) >= {"microcytic-anaemia", "pancytopenia"}
    assert "pancytopenia" not in _patterns(*blood[:3])
    iron = observation("f", "2276-4", 14.9, "ng/mL", 15, 150)
    assert "iron-deficiency-anaemia" in _patterns(*blood, iron)
    enough = observation("f", "2276-4", 15, "ng/mL", 15, 150)
    assert "iron-deficiency-anaemia" not in _patterns(*blood, enough)


def test_the_patterns_analytes_stand_in_the_catalog_with_their_units() -> None:
    known = catalog.load().analytes
    assert {id: known[id].unit for id in UNITS if id in known} == UNITS
