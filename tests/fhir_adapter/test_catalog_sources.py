"""docs/clinical-sources.md says where each number comes from, and why it stands where others differ."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from fhir_adapter.catalog import Analyte, load
from fhir_adapter.model import Sex
from tests.conftest import ROOT
from tests.fhir_adapter.lhncbc import compare

PAGE = ROOT / "docs" / "clinical-sources.md"
FOLDER = ROOT / "fhir_adapter" / "catalog"
SEXES: tuple[Sex, ...] = ("female", "male")


def test_every_source_is_listed_and_used() -> None:
    sources = tomllib.loads((FOLDER / "sources.toml").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    missing = [key for key, text in sources.items() if f"| {key} | {text} |" not in page]
    assert missing == []
    data = "".join(
        file.read_text(encoding="utf-8") for file in FOLDER.glob("*.toml") if file.name not in ("sources.toml",)
    )
    used = set(re.findall(r'source = "([a-z0-9]+)"', data))
    assert set(sources) - used <= {"ciaaw"}


def _uncovered(analyte: Analyte) -> bool:
    """Whether some age under 18 lies in none of its usual intervals."""
    ages = sorted({0.0, 18.0, *(end for one in analyte.intervals for end in (one.age_min, one.age_max) if end < 18)})
    return any(
        analyte.interval_for(sex=sex, age_years=(start + end) / 2, pregnant=False) is None
        for start, end in pairwise(ages)
        for sex in SEXES
    )


def test_every_interval_that_leaves_out_children_says_why() -> None:
    page = PAGE.read_text(encoding="utf-8")
    rows = page[page.index("## Children") : page.index("## Against the LHNCBC")].splitlines()
    named = [id for row in rows if row.startswith("| ") for id in row.split("|")[1].strip().split(", ")]
    uncovered = {one.id for one in load().analytes.values() if one.intervals and _uncovered(one)}
    assert uncovered - set(named) == set()
    assert set(named) - uncovered == {"analytes", "---"}
    assert len(named) == len(set(named))


def test_every_difference_has_a_decision(shared_data: Path) -> None:
    file = shared_data / "reference-ranges-lhncbc" / "h17.json"
    if not file.is_file():
        pytest.skip("the LHNCBC intervals are not here")
    compared, differences = compare(load(), file)
    assert compared > 200
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    undecided = [
        one.row
        for one in differences
        if not any(line.startswith(one.row) and len(line) > len(one.row) + 10 for line in lines)
    ]
    assert undecided == []


def test_the_second_flowsheet_says_the_same(shared_data: Path) -> None:
    """c17.json's limits are those of h17.json, so that its differences are decided, too."""
    folder = shared_data / "reference-ranges-lhncbc"
    if not folder.is_dir():
        pytest.skip("the LHNCBC intervals are not here")
    limits: list[dict[tuple[str, str], tuple[object, object]]] = []
    for name in ("h17.json", "c17.json"):
        entries = json.loads((folder / name).read_text(encoding="utf-8"))[1:]
        limits.append(
            {
                (one.get("E", ""), one["B"]): (one.get("J"), one.get("K"))
                for one in entries
                if one.get("E") in load().by_loinc
            }
        )
    assert len(limits[1]) > 40
    assert {key: pair for key, pair in limits[1].items() if limits[0].get(key) != pair} == {}
