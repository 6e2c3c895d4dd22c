"""`labcue catalog`: show, search, check and learn, and the site's file in the service's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cds_service.cli import app
from cds_service.commands.catalog import find, ranked
from fhir_adapter import catalog as catalogs
from fhir_adapter.site import read_site
from tests.bundles import bundle, observation

CATALOG = catalogs.load()


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["catalog", *arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("what", "analyte"),
    [("2823-3", "potassium"), ("potassium", "potassium"), ("Kaliémie", "potassium"), ("créatinine", "creatinine"), ("HGB (Hemoglobin)", "haemoglobin"), ("Globules blancs", "leucocytes"), ("nothing like it", None)],
)  # fmt: skip
def test_finds_by_code_id_and_name(what: str, analyte: str | None) -> None:
    found = find(CATALOG, what)
    assert (found.id if found else None) == analyte


@pytest.mark.parametrize(
    ("text", "first"),
    [("potasium", "potassium"), ("phosfate", "phosphate"), ("plaquettes", "platelets"), ("TGP", "alt"), ("2160-0", "creatinine"), ("thyro", "free-t4")],
)  # fmt: skip
def test_searches_with_near_spellings_in_both_languages(text: str, first: str) -> None:
    assert first in [one.id for one in ranked(CATALOG, text)[:4]]


def test_show_says_limits_units_and_sources() -> None:
    status, out, _ = _run("show", "2823-3")
    assert status == 0
    for part in ("Potassium", "2823-3", "mmol/L", "3.5-5.1", "up to 28 days", "> 6.2", "Tietz", CATALOG.version):
        assert part in out


def test_show_as_json_holds_every_number() -> None:
    status, out, _ = _run("show", "haemoglobin", "--format", "json")
    shown = json.loads(out)
    analyte = CATALOG.analytes["haemoglobin"]
    assert status == 0
    assert len(shown["intervals"]) == len(analyte.intervals)
    assert {one["source"] for one in shown["intervals"]} == {one.source for one in analyte.intervals}


def test_what_is_not_there_names_what_is_near() -> None:
    status, _, err = _run("show", "potasium")
    assert status == 1
    assert "Did you mean potassium" in err
    assert _run("search", "zzzzzz")[0] == 1


GOOD = """
name = "St Mary"
[[interval]]
test = "analyte potassium"
unit = "mmol/L"
low = 3.4
high = 4.9
source = "St Mary, method change 2025"
[[interval]]
test = "analyte sodium"
unit = "mmol/L"
high = 14.5
[[critical]]
test = "loinc 2823-3"
unit = "mmol/L"
high = 6.0
[[delta]]
test = "analyte potassium"
unit = "mmol/L"
change = 1.5
hours = 24
[[delta]]
test = "loinc 2951-2"
unit = "g/dL"
change_percent = 5
[[alias]]
test = "name kalium serum"
analyte = "potassium"
"""


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    file = tmp_path / "lab.toml"
    file.write_text(GOOD)
    return file


def test_check_says_what_holds_and_what_to_look_at(site_file: Path) -> None:
    status, out, _ = _run("check", str(site_file))
    assert status == 0
    assert "2 intervals, 1 critical limits, 2 delta limits and 1 names" in out
    assert "high 14.5 lies far from the usual 145" in out


def test_check_says_which_delta_limits_will_never_be_met(site_file: Path) -> None:
    assert "delta of loinc 2951-2" not in _run("check", str(site_file))[1]  # a mass converts
    site_file.write_text(GOOD.replace('unit = "g/dL"', 'unit = "U/L"'))
    assert "delta of loinc 2951-2: U/L can't be converted into mmol/L" in _run("check", str(site_file))[1]


def test_check_names_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(GOOD.replace("low = 3.4", "low = 34").replace('analyte = "potassium"', 'analyte = "kalium"'))
    status, _, err = _run("check", str(file))
    assert status == 78
    assert "interval[0]" in err
    assert "alias[0].analyte" in err


def test_a_site_stands_beside_the_catalog(site_file: Path) -> None:
    status, out, _ = _run("show", "potassium", "--site", str(site_file))
    assert status == 0
    assert "3.4-4.9" in out
    assert "St Mary" in out
    assert "±1.5" in out
    assert "within 24 h" in out


def _bundle(interval: tuple[float, float] | None) -> bytes:
    return bundle(observation("k", "2823-3", 4.95, "mmol/L", *(interval or (None, None))))


def test_what_is_learnt_is_used_and_named(tmp_path: Path) -> None:
    """learn, check, and an answer that rests on the site's file and says so."""
    lines, site = tmp_path / "year.ndjson", tmp_path / "site.toml"
    lines.write_bytes(b"\n".join([_bundle((3.4, 4.9))] * 3 + [b"no bundle"]))
    status, _, err = _run("learn", str(lines), "--out", str(site), "--name", "St Mary")
    assert status == 0
    assert "3 bundles (1 left out)" in err
    assert read_site(site).name == "St Mary"
    assert _run("check", str(site))[0] == 0
    night = tmp_path / "night.json"
    night.write_bytes(_bundle(None))
    answered = CliRunner().invoke(
        app, ["check", "--engine", "none", "--site", str(site), "--format", "ndjson", str(night)]
    )
    answer: dict[str, Any] = json.loads(answered.stdout_bytes)
    found = answer["extension"]["org.labcue.evaluation"]
    assert found["flags"][0]["code"] == "H"
    assert found["catalogVersion"] == f"{CATALOG.version} + St Mary {read_site(site).version}"
    assert any("St Mary" in one.get("citation", "") for one in found["flags"][0]["basis"])


def test_nothing_to_learn_is_said(tmp_path: Path) -> None:
    assert _run("learn", str(tmp_path / "none.ndjson"), "--out", str(tmp_path / "site.toml"))[0] == 2
    assert not (tmp_path / "site.toml").exists()
