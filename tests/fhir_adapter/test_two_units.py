"""Code and words of one Quantity that say different units: what tells which is meant, and what is left unknown."""

from __future__ import annotations

import json

import pytest

from fhir_adapter import catalog
from fhir_adapter.model import PanelResult
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import Json

UCUM = "http://unitsofmeasure.org"
MIXED = {"unit": "mmol/mol", "system": UCUM, "code": "%"}


def _placed(loinc: str, value: Json, **ranges: Json) -> PanelResult:
    sent = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": loinc}]},
        "valueQuantity": value,
        "referenceRange": [ranges] if ranges else [],
    }
    return normalize(read(json.dumps(sent).encode()), catalog.load()).results[0]


@pytest.mark.parametrize(
    "limits", [MIXED, {}, {"unit": "mmol/mol"}, {"unit": "mmol/mol", "system": UCUM, "code": "mmol/mol"}]
)
def test_an_interval_in_the_same_words_holds(limits: Json) -> None:
    one = _placed("4548-4", {"value": 38} | MIXED, low={"value": 20} | limits, high={"value": 42} | limits)
    assert one.interval is not None
    assert (one.interval.low, one.interval.high, one.interval.source) == (20, 42, "lab")


def test_an_interval_with_the_same_words_alone_holds() -> None:
    words = "thrombocytes in a microlitre"
    value = {"value": 95000, "unit": words, "system": UCUM, "code": "/uL"}
    one = _placed("777-3", value, low={"value": 150000, "unit": words}, high={"value": 450000, "unit": words})
    assert one.interval is not None
    assert (one.interval.low, one.interval.source, one.unit) == (150000, "lab", "/uL")
    assert one.critical is not None


def test_an_interval_in_one_of_them_says_which() -> None:
    one = _placed("4548-4", {"value": 5.1} | MIXED, low={"value": 4, "unit": "%"}, high={"value": 6, "unit": "%"})
    assert one.unit == "%"
    assert one.canonical == 5.1


@pytest.mark.parametrize(
    ("loinc", "value"),
    [
        ("4548-4", {"value": 38} | MIXED),
        ("17861-6", {"value": 9.6, "unit": "mg/dL", "system": UCUM, "code": "mmol/L"}),
        ("17861-6", {"value": 4.6, "unit": "mEq/L", "system": UCUM, "code": "mmol/L"}),
    ],
)
def test_where_nothing_says_which_no_usual_limit_is_used(loinc: str, value: Json) -> None:
    one = _placed(loinc, value)
    assert (one.interval, one.critical, one.canonical, one.problem) == (None, None, None, "unit-unknown")


@pytest.mark.parametrize(
    ("loinc", "value", "unit"),
    [
        ("1754-1", {"value": 3, "unit": "mg/l", "system": UCUM, "code": "mg"}, "mg/l"),  # only one measures an albumin
        (
            "2823-3",
            {"value": 3, "unit": "mEq/L", "system": UCUM, "code": "mmol/L"},
            "mmol/L",
        ),  # the same for a potassium
        ("2823-3", {"value": 3, "unit": "millimole per litre", "system": UCUM, "code": "mmol/L"}, "mmol/L"),
        ("26464-8", {"value": 3, "unit": "K/uL", "system": UCUM, "code": "10*9/L"}, "10*9/L"),
    ],
)
def test_the_test_says_which(loinc: str, value: Json, unit: str) -> None:
    assert _placed(loinc, value).unit == unit


def test_critical_limits_of_the_laboratory_in_the_same_words_hold() -> None:
    kind = {"coding": [{"code": "critical"}]}
    one = _placed("4548-4", {"value": 120} | MIXED, high={"value": 110} | MIXED, type=kind)
    assert one.critical is not None
    assert one.critical.high == 110
