"""Samples that mislead: haemolysed, lipaemic, icteric; by a word or by the sample's own index."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.clinical.assess import assess
from cds_service.domain import Finding, Findings
from fhir_adapter import catalog
from fhir_adapter.model import Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation
from tests.cds_service.clinical.panels import found


def _found(*observations: Json) -> tuple[Panel, Findings]:
    panel = normalize(read(bundle(*observations)), catalog.load())
    return panel, assess(panel)


def _one(**more: Any) -> Finding:
    made = observation("o", "2823-3", 4.0, "mmol/L", 3.5, 5.1) | more
    return _found({key: value for key, value in made.items() if value is not None})[1].results[0]


def _quantity(value: float, unit: str = "mmol/L") -> Json:
    return {"value": value, "unit": unit}


@pytest.mark.parametrize(
    ("note", "tainted"),
    [
        ("Specimen moderately hemolyzed.", True),
        ("Échantillon hémolysé", True),
        ("No hemolysis seen", False),
        ("Not enough sample, haemolysed", True),
        ("hemolyzed - no result", True),
        ("Hemolysis: none", False),
        ("Hémolyse absente", False),
        ("He\u0301molyse : non", False),
        ("Hemolysis index: 12", False),
        ("Hemolysis index 120", True),
        ("Hemolysis 3+", True),
        ("non-hemolysed", False),
        ("unhemolyzed", False),
        ("anémie hémolytique", False),
        ("ok", False),
    ],
)
def test_a_haemolysed_sample_taints_its_potassium(note: str, tainted: bool) -> None:
    found = _one(valueQuantity=_quantity(6.0), note=[{"text": note}])
    assert ("taint" in {basis.kind for basis in found.basis}) == tainted


def test_a_normal_potassium_on_a_haemolysed_sample_may_hide_a_low_one() -> None:
    assert "taint" in {basis.kind for basis in _one(note=[{"text": "hemolyzed"}]).basis}


@pytest.mark.parametrize(
    ("index", "tainted"),
    [
        ({"valueQuantity": {"value": 51}}, True),
        ({"valueQuantity": {"value": 50}}, False),
        ({"valueQuantity": {"value": 50, "comparator": ">"}}, True),
        ({"valueQuantity": {"value": 200, "comparator": "<"}}, False),
        ({"valueQuantity": {"value": 3}, "referenceRange": [{"high": {"value": 1}}]}, True),
        ({"valueString": "2+"}, True),
        ({"valueString": "1+"}, False),
        ({"valueString": "Grossly hemolyzed"}, True),
        ({"valueQuantity": {"value": 300}, "effectiveDateTime": "2024-03-02T08:00:00Z"}, False),
    ],
)
def test_the_samples_own_haemolysis_index_taints_what_was_taken_with_it(index: Json, tainted: bool) -> None:
    made = observation("h", "0", 0, "", code={"text": "Hemolysis index"}) | index
    if "valueString" in index:
        del made["valueQuantity"]
    potassium = observation("k", "2823-3", 6.0, "mmol/L", 3.5, 5.1)
    sodium = observation("n", "2951-2", 150, "mmol/L", 135, 145)
    found = _found(made, potassium, sodium)[1].results
    assert ("taint" in {basis.kind for basis in found[1].basis}) == tainted
    assert "taint" not in {basis.kind for basis in found[2].basis}


@pytest.mark.parametrize(
    ("panel", "keys"),
    [
        ("sodium=131#lipaemic_sample", {"lipaemic"}),
        ("sodium=131#not_lipaemic", set()),
        ("potassium=4.1#lipaemic_sample", set()),
        ("creatinine=1.1#icteric", {"icteric"}),
        ("sodium=131 lipaemia-index=3+", {"lipaemic"}),
        ("sodium=131 lipaemia-index=1+", set()),
        ("sodium=131 lipaemia-index@-1=3+", set()),
    ],
)
def test_a_lipaemic_or_icteric_sample_taints_what_it_misleads(panel: str, keys: set[str]) -> None:
    assert {one.said.key for one in found(panel).results[0].basis if one.kind == "taint"} == keys
