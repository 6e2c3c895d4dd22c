"""Names of real laboratories, in English and French, and that none of them means two things."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from fhir_adapter.catalog import Analyte, load
from fhir_adapter.catalog.build import Builder
from fhir_adapter.model import Coding

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


@pytest.mark.parametrize(
    ("name", "unit", "specimen", "id"),
    [
        # A word of the name says the specimen, and so does the Specimen: in any of the languages.
        ("UA Protein", None, None, "urine-protein"),
        ("Urine sodium level", "mmol/L", None, "urine-sodium"),
        ("U-Kreatinin", "mmol/L", None, "urine-creatinine"),
        ("Kreatinin i.S.", "mg/dl", None, "creatinine"),
        ("Kreatinin i.U.", "mmol/l", None, "urine-creatinine"),
        ("Eiweiß", None, "Spontanurin", "urine-protein"),
        ("Natrium", "mmol/l", "Sammelurin", "urine-sodium"),
        ("Sodio", "mmol/L", "Orina", "urine-sodium"),
        ("カリウム", "mEq/L", "尿", "urine-potassium"),
        ("Bandelette urinaire - Nitrites", None, None, "urine-nitrite"),
        # The panel before a colon, in French and English.
        ("Ionogramme: Natrémie", "mmol/L", None, "sodium"),
        ("IONOGRAMME SANGUIN - Potassium", "mmol/L", None, "potassium"),
        ("Urea and electrolytes: Sodium", "mmol/L", None, "sodium"),
        # LOINC's long common name without its code.
        ("Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", None, "creatinine"),
        ("Glucose [Mass/volume] in Urine by Test strip", "mg/dL", None, "urine-glucose"),
        ("Neutrophils [#/volume] in Blood by Automated count", "10*3/uL", None, "neutrophils"),
        ("Neutrophils/100 leukocytes in Blood by Automated count", "%", None, "neutrophils-percent"),
        ("Protein [Mass/volume] in Cerebral spinal fluid", "mg/dL", None, "csf-protein"),
        # A unit tells two tests of one name apart.
        ("TP", "%", None, "prothrombin-percent"),
        # A blood gas by the vessel.
        ("pO2", "mmHg", "Venous blood", "po2-venous"),
        ("pO2", "mmHg", "Arterial blood", "po2-arterial"),
        ("pH", "[pH]", "Venous blood", "ph-venous"),
    ],
)
def test_a_name_with_what_laboratories_add_to_it(name: str, unit: str | None, specimen: str | None, id: str) -> None:
    found = CATALOG.find((), name, unit=unit, specimen=specimen)
    assert found is not None
    assert found.id == id


@pytest.mark.parametrize(
    ("name", "unit", "specimen"),
    [
        # What stands before the colon changes what is meant.
        ("Donor: HBsAg", None, None),
        ("Target: INR", None, None),
        ("Liver: Copper", "ug/dL", None),
        # The name's specimen is another than the sample's; the sample is none of the catalog's.
        ("Serum potassium level", "mmol/L", "Urine"),
        ("Kalium", "mmol/l", "Punktat"),
        # What is taken off would change the test; two names that don't mean one test.
        ("Glucose 2 hours", "mg/dL", None),
        ("Creatinine clearance", "mL/min", None),
        ("Osmolality (calc)", "mOsm/kg", None),
        ("ALT/AST", "U/L", None),
        ("Vancomycin Random", "ug/mL", None),
        ("Plasma Hemoglobin", "mg/dL", None),
        ("P-Hemoglobin", "g/L", None),
        ("P-Amylase", "U/L", None),
        ("Cord blood bilirubin", "mg/dL", None),
        ("Glucose [Mass/volume] in Serum or Plasma --2 hours post dose glucose", "mg/dL", None),
        ("Hemoglobin [Mass/volume] in Plasma", "mg/dL", None),
        ("Carbon dioxide [Partial pressure] in Blood", "mmHg", None),
        ("C reactive protein [Mass/volume] in Serum or Plasma by High sensitivity method", "mg/L", None),
        ("pH of Venous blood", "[pH]", None),
        ("Lymphocytes [#/volume] in Cerebral spinal fluid", "10*9/L", None),
        # The unit is none of the test's.
        ("TP", "g/dL", None),
        ("Albumin, Serum", "%", None),
        ("Neutrophils absolute count", "%", None),
        ("POCT Glucose", "%", None),
    ],
)
def test_a_name_is_not_stretched(name: str, unit: str | None, specimen: str | None) -> None:
    assert CATALOG.find((), name, unit=unit, specimen=specimen) is None


def test_a_nordic_code_is_enough() -> None:
    found = CATALOG.find((Coding("urn:oid:1.2.208.176.2.1", "NPU03230", None),), None, unit="mmol/L")
    assert found is CATALOG.analytes["potassium"]


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ({"Natrémie": ["Chlore"]}, "name 'chlore' is also in chloride"),
        ({"Nothing": ["Rien"]}, "name 'nothing' means nothing"),
    ],
)
def test_another_languages_name_for_two_tests_is_a_fault(names: dict[str, list[str]], fault: str) -> None:
    builder = Builder({})
    for key, alias in (("sodium", "Natrémie"), ("chloride", "Chlore")):
        builder.add("x", key, {"en": key, "fr": key, "specimen": "blood", "loinc": [], "aliases": [alias]})
    builder.translate("names.toml:x", names)
    assert [fault.description for fault in builder.faults] == [fault]


def test_a_name_of_loincs_means_its_code_or_nothing(shared_data: Path) -> None:
    """The long and short names of 350 codes, with their units: none is taken for another test of the catalog."""
    rows = [
        row
        for file in ("h17.json", "c17.json")
        for row in json.loads((shared_data / "reference-ranges-lhncbc" / file).read_text(encoding="utf-8"))[1:]
        if row.get("E") in CATALOG.by_loinc
    ]
    wrong = []
    for row in rows:
        for name in (row.get("F"), row.get("G")):
            for unit in {row.get("Q"), row.get("T"), None}:
                found = CATALOG.find((), name, unit=unit) if name else None
                if found is not None and found is not CATALOG.by_loinc[row["E"]]:
                    wrong.append((name, unit, found.id))
    assert len(rows) > 300
    assert wrong == []
