"""A result that isn't judged keeps its name, and one without a value the laboratory's reason."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_adapter import catalog
from fhir_adapter.model import NotAssessed
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from fhir_adapter.site.model import Site, SiteAlias
from tests.bundles import bundle, observation

KNOWN = catalog.load()
SYSTEM = "http://terminology.hl7.org/CodeSystem/data-absent-reason"


def without_value(loinc: str = "2823-3", **more: Any) -> dict[str, Any]:
    made = observation("x", loinc, 1, "1") | more
    del made["valueQuantity"]
    return made


def one(resource: dict[str, Any], site: Site | None = None) -> NotAssessed:
    (found,) = normalize(read(bundle(resource)), KNOWN, site).not_assessed
    return found


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ({"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}, ("Potassium", "Potassium")),
        ({"text": "Serum chloride"}, ("Chloride", "Chlorure")),
        ({"coding": [{"code": "QX1", "display": "House test"}]}, ("House test", "House test")),
        ({"coding": [{"code": "QX1"}]}, ("QX1", "QX1")),
        ({}, ("", "")),
    ],
)
def test_it_is_called_as_a_result_would_be(code: dict[str, Any], named: tuple[str, str]) -> None:
    found = one(without_value(code=code))
    assert (found.code, found.called("en"), found.called("fr")) == ("no-value", *named)


@pytest.mark.parametrize("status", ["registered", "cancelled", "entered-in-error"])
def test_the_status_that_keeps_it_from_being_judged_leaves_it_its_name(status: str) -> None:
    assert one(without_value(code={"text": "Chloride"}, status=status)).called() == "Chloride"


def test_a_value_that_cannot_be_read_leaves_it_its_name() -> None:
    found = one(observation("x", "2075-0", 1, "1") | {"valueQuantity": {"value": "many"}})
    assert (found.code, found.called()) == ("malformed", "Chloride")
    found = one(without_value("2075-0", valueTime="08:00:00"))
    assert (found.code, found.called()) == ("unsupported-value", "Chloride")


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ({"coding": [{"system": SYSTEM, "code": "not-performed", "display": "Not Performed"}]}, "not-performed"),
        ({"coding": [{"system": SYSTEM, "code": "error"}], "text": " Haemolysed "}, "Haemolysed"),
        ({"coding": [{"system": "urn:lab", "code": "H", "display": "Clotted"}]}, "Clotted"),
        ({"coding": [{"code": "H"}, {"code": "masked"}]}, "masked"),
        ({"coding": [{}], "text": "  "}, None),
        ({"text": "x" * 5000}, "x" * 200),
        ({}, None),
    ],
)
def test_why_there_is_no_value(reason: dict[str, Any], said: str | None) -> None:
    found = one(without_value(dataAbsentReason=reason))
    assert (found.code, found.absent) == ("data-absent", said)


def test_a_component_without_a_value() -> None:
    gases = without_value(
        code={"text": "Gases"},
        component=[
            {"code": {"text": "Chloride"}, "dataAbsentReason": {"coding": [{"code": "not-asked"}]}},
            {"code": {"text": "Sodium"}, "valueQuantity": {"value": 140, "unit": "mmol/L"}},
        ],
    )
    panel = normalize(read(bundle(gases)), KNOWN)
    assert [(entry.code, entry.called(), entry.absent) for entry in panel.not_assessed] == [
        ("group", "Gases", None),
        ("data-absent", "Chloride", "not-asked"),
    ]


def test_a_sites_own_name_is_known() -> None:
    site = Site("x", {}, aliases={"name kalix": SiteAlias(test="name kalix", analyte="potassium")})
    assert one(without_value(code={"text": "KaliX"})).called() == "KaliX"
    assert one(without_value(code={"text": "KaliX"}), site).called() == "Potassium"
