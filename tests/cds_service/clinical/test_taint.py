"""Samples that mislead: haemolysed, lipaemic, icteric; by a word or by the sample's own index."""

from __future__ import annotations

import pytest

from tests.bundles import Json, observation
from tests.cds_service.clinical.panels import found, potassium, sent


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
    found = potassium(valueQuantity=_quantity(6.0), note=[{"text": note}])
    assert ("taint" in {basis.kind for basis in found.basis}) == tainted


def test_a_normal_potassium_on_a_haemolysed_sample_may_hide_a_low_one() -> None:
    assert "taint" in {basis.kind for basis in potassium(note=[{"text": "hemolyzed"}]).basis}


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
    found = sent(made, potassium, sodium)[1].results
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
