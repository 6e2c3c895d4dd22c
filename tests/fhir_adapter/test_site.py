"""A site's own intervals: learnt, written, read, and used where a result comes without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from fhir_adapter import catalog
from fhir_adapter.errors import ConfigError
from fhir_adapter.model import Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from fhir_adapter.site import Site, learn, read_site, write_site

CATALOG = catalog.load()


def _bundle(value: float, interval: tuple[float, float] | None, sex: str = "female", unit: str = "mmol/L") -> bytes:
    quantity = {"unit": unit, "code": unit, "system": "http://unitsofmeasure.org"}
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "id": "k",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}, {"system": "urn:lab", "code": "K"}]},
        "subject": {"reference": "Patient/p"},
        "valueQuantity": {"value": value, **quantity},
    }
    if interval is not None:
        observation["referenceRange"] = [
            {"low": {"value": interval[0], **quantity}, "high": {"value": interval[1], **quantity}}
        ]
    patient = {"resourceType": "Patient", "id": "p", "gender": sex}
    entries = [{"resource": patient}, {"resource": observation}]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def _panel(data: bytes, site: Site | None = None) -> Panel:
    return normalize(read(data), CATALOG, site)


@pytest.fixture(scope="module")
def site() -> Site:
    seen = [(3.3, 4.7, "female")] * 5 + [(3.5, 4.9, "male")] * 4 + [(3.0, 6.0, "male")]
    return learn((_panel(_bundle(4.0, (low, high), sex)) for low, high, sex in seen), "St Mary")


@pytest.mark.parametrize(("sex", "low", "high"), [("female", 3.3, 4.7), ("male", 3.5, 4.9), ("unknown", 3.3, 4.7)])
def test_a_result_without_an_interval_takes_the_sites(site: Site, sex: str, low: float, high: float) -> None:
    (placed,) = _panel(_bundle(4.8, None, sex), site).results
    assert placed.interval is not None
    assert (placed.interval.low, placed.interval.high, placed.interval.source) == (low, high, "site")
    assert placed.position is not None
    assert (placed.position > 1) == (high < 4.8)


def test_the_laboratorys_own_interval_goes_first(site: Site) -> None:
    (placed,) = _panel(_bundle(4.8, (1, 9)), site).results
    assert placed.interval is not None
    assert placed.interval.source == "lab"


def test_another_unit_does_not_take_it(site: Site) -> None:
    (placed,) = _panel(_bundle(18.8, None, unit="mg/dL"), site).results
    assert placed.interval is None or placed.interval.source == "usual"


def test_what_was_seen_less_than_three_times_is_not_learnt() -> None:
    assert not learn((_panel(_bundle(4.0, (3.3, 4.7))) for _ in range(2)), "x").intervals


def test_a_profile_written_is_the_profile_read(site: Site, tmp_path: Path) -> None:
    write_site(site, tmp_path / "site.toml")
    assert read_site(tmp_path / "site.toml") == site


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = 1\n[", "is not TOML"),
        ("interval = []", "name"),
        ("name = 'x'\n[[interval]]\ntest = 'analyte a'\nunit = 'u'", "neither low nor high"),
        ("name = 'x'\n[[interval]]\ntest = 'analyte a'\nunit = 'u'\nlow = 2.0\nhigh = 1.0", "low is above high"),
        ("name = 'x'\n[[interval]]\ntest = 'analyte a'\nunit = 'u'\nlow = 2.0\nsex = 'x'", "sex must be"),
        ("name = 'x'\n[[interval]]\ntest = 'analyte a'\nunit = 'u'\nlow = 2.0\ntypo = 1", "typo"),
        ("name = 'x'\n" + "[[interval]]\ntest = 'analyte a'\nunit = 'u'\nlow = 2.0\n" * 2, "repeats"),
    ],
)
def test_a_profile_that_does_not_hold_is_refused_with_its_reason(text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=why):
        read_site(file)
    with pytest.raises(ConfigError, match="can't be read"):
        read_site(tmp_path / "none.toml")


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(
        """
        colour = "blue"
        [[interval]]
        test = "analyte potassium"
        unit = "mmol/L"
        low = 2.0
        high = 1.0
        [[interval]]
        test = "potassium"
        unit = "mmol/L"
        low = 1.0
        age_from = 5.0
        age_to = 2.0
        [[critical]]
        test = "analyte potassium"
        unit = "widgets"
        high = 6.0
        [[alias]]
        test = "local urn:lab|K"
        analyte = "kalium"
        """
    )
    with pytest.raises(ConfigError) as caught:
        read_site(file)
    assert [violation.path for violation in caught.value.violations] == [
        "site name",
        "site colour",
        "site interval[1].test",
        "site interval[0]",
        "site interval[1]",
        "site critical[0].unit",
        "site alias[0].analyte",
    ]


def test_the_flag_says_that_the_interval_is_the_sites(site: Site) -> None:
    pipeline = Pipeline(Settings(engine="none"), CATALOG, site=site)
    (flag,) = pipeline.evaluate(_bundle(4.8, None)).verdict.flags
    assert flag.code == "H"
    assert {basis.interval_source for basis in flag.basis if basis.kind == "interval"} == {"site"}
    assert any("St Mary" in (basis.citation or "") for basis in flag.basis)
