"""docs/clinical-sources.md says where each number comes from, and why it stands where others differ."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from fhir_adapter.catalog import load
from tests.conftest import ROOT
from tests.fhir_adapter.lhncbc import compare

PAGE = ROOT / "docs" / "clinical-sources.md"
FOLDER = ROOT / "fhir_adapter" / "catalog"


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
