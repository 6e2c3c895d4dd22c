"""Healthy adults of NHANES against the usual intervals, and the catalog's LOINC codes against public data."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evaluation import codes, distributions
from fhir_adapter.catalog import load
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "clinical-sources.md").read_text(encoding="utf-8")


def test_each_share_that_does_not_fit_is_explained(shared_data: Path) -> None:
    """1 to 15 % of healthy-age adults lie outside; what doesn't fit has its row, with today's share."""
    file = shared_data / "nhanes-2017-2018" / "labs.csv.gz"
    if not file.is_file():
        pytest.skip("NHANES is not here")
    found = list(distributions.shares(file, load()))
    assert len(found) > 70
    explained = set(re.findall(r"^\| ([a-z0-9-]+) \| (male|female) \| ([\d.]+) \| .{20,} \|$", PAGE, re.MULTILINE))
    odd = {(one.analyte, one.sex, f"{100 * one.outside:.1f}") for one in found if not one.fits}
    assert odd == explained


def test_a_share_outside_is_counted_by_side(tmp_path: Path) -> None:
    import gzip

    file = tmp_path / "labs.csv.gz"
    columns = ["RIAGENDR", "RIDAGEYR", "RIDEXPRG", *distributions.COLUMNS]
    values = [120.0] * 10 + [140.0] * 230 + [150.0] * 20
    lines = [",".join(columns)]
    for value in values:
        row = dict.fromkeys(columns, "") | {"RIAGENDR": "1", "RIDAGEYR": "30", "LBXSNASI": str(value)}
        lines.append(",".join(row[name] for name in columns))
    lines.append(lines[-1].replace("1,30,,", "2,30,1,"))  # pregnant: left out
    with gzip.open(file, "wt") as out:
        out.write("\n".join(lines) + "\n")
    (one,) = distributions.shares(file, load())
    assert (one.analyte, one.sex, one.people, one.below, one.above) == ("sodium", "male", 260, 10, 20)
    assert one.fits


def test_the_page_of_codes_is_today(shared_data: Path) -> None:
    if not (shared_data / "reference-ranges-lhncbc").is_dir():
        pytest.skip("the data sets are not here")
    assert (ROOT / "docs" / "loinc-codes.md").read_text(encoding="utf-8") == codes.page(
        load(), codes.seen(shared_data)
    ), "run python -m evaluation.codes DATA > docs/loinc-codes.md"
