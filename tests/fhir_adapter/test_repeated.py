"""Elements that are sent word for word again: understood once, and what is wrong with one is said of each that holds it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_adapter import repeated, wire
from fhir_adapter.read import read

CODE = {"coding": [{"system": "http://loinc.org", "code": "2823-3", "display": "Potassium"}]}
RANGE = [{"low": {"value": 3.5, "unit": "mmol/L"}, "high": {"value": 5.1, "unit": "mmol/L"}}]


def _sent(**elements: Any) -> wire.Observation:
    return wire.observation(json.dumps({"resourceType": "Observation", **elements}).encode())


def test_the_same_words_are_understood_once() -> None:
    first, second = (repeated.told(_sent(code=CODE, referenceRange=RANGE)) for _ in range(2))
    assert first.code is second.code
    assert first.ranges is second.ranges
    assert first.code.name == "Potassium"
    assert first.code.loinc == {"2823-3"}


def test_what_is_unusually_long_is_not_kept() -> None:
    long = {"text": "x" * repeated.LONGEST}
    first, second = (repeated.told(_sent(code=long)) for _ in range(2))
    assert first.code == second.code
    assert first.code is not second.code


def test_what_is_not_sent_says_nothing() -> None:
    for sent in (_sent(), _sent(code=None, category=None, interpretation=None, referenceRange=None)):
        assert repeated.told(sent) == (repeated.Code(), (), (), ((), False))


@pytest.mark.parametrize(
    ("element", "path"),
    [
        ({"code": {"coding": "K"}}, ".code.coding"),
        ({"category": 1}, ".category"),
        ({"interpretation": [{"text": 1}]}, ".interpretation[0].text"),
        ({"referenceRange": [{}, {"low": {"unit": 1}}]}, ".referenceRange[1].low.unit"),
    ],
)
def test_a_fault_has_its_place_wherever_it_is_repeated(element: dict[str, Any], path: str) -> None:
    observation = {"resourceType": "Observation", "status": "final", "valueQuantity": {"value": 1}, **element}
    entries = [{"resource": {"id": str(number), **observation}} for number in range(2)]
    found = read(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode())
    assert [(one.path, one.code) for one in found.not_assessed] == [
        (f"Bundle.entry[{number}].resource{path}", "malformed") for number in range(2)
    ]


def test_a_limit_that_cannot_be_judged_is_refused_each_time() -> None:
    endless = [{"low": {"value": json.loads("1e999")}}]
    data = json.dumps(
        {"resourceType": "Observation", "status": "final", "valueQuantity": {"value": 1}, "referenceRange": endless}
    ).replace("Infinity", "1e999")
    for _ in range(2):
        (one,) = read(data.encode()).not_assessed
        assert (one.path, one.code) == ("Observation.referenceRange[0].low.value", "not-finite")
