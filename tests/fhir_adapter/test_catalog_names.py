"""Names of real laboratories, in English and French, and that none of them means two things."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fhir_adapter.catalog import Analyte, load
from fhir_adapter.catalog.build import Builder

CATALOG = load()
NAMES: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("laboratory_names.toml").read_text(encoding="utf-8")
)
WRITTEN = [tuple(part.strip() for part in line.split("|")) for lines in NAMES.values() for line in lines]


@pytest.mark.parametrize(("name", "unit", "id"), WRITTEN)
def test_a_laboratorys_name_is_known(name: str, unit: str, id: str) -> None:
    found = CATALOG.find((), name, unit=unit or None)
    assert found is not None
    assert found.id == id


@pytest.mark.parametrize("analyte", CATALOG.analytes.values(), ids=lambda analyte: analyte.id)
def test_every_alias_means_its_analyte_alone(analyte: Analyte) -> None:
    for alias in analyte.aliases:
        assert CATALOG.find((), alias, unit=analyte.unit, specimen=analyte.specimen) is analyte, alias


def test_an_alias_that_means_two_is_a_fault() -> None:
    builder = Builder({})
    for key in ("one", "other"):
        builder.add("x", key, {"en": key, "fr": key, "specimen": "serum", "loinc": [], "aliases": ["Natrémie"]})
    assert [fault.description for fault in builder.faults] == ["name 'natremie' is also in one"]


@pytest.mark.parametrize("name", ["ACE", "% Saturation", "Fibrine", "Troponine", "Azotémie"])
def test_a_name_that_may_mean_another_test_is_left_alone(name: str) -> None:
    assert CATALOG.find((), name, unit=None) is None
