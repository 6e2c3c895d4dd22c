"""Delta limits as data: what a table may hold, what is computed from variations, and when a limit is reached."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from fhir_adapter import catalog
from fhir_adapter.catalog.delta import DeltaLimit, read_limit, reference_change
from fhir_adapter.catalog.loader import build
from fhir_adapter.errors import CatalogError

CATALOG = catalog.load()


def _read(**one: Any) -> DeltaLimit:
    limit, faults = read_limit(one, "Book 1999")
    assert faults == []
    return limit


def test_small_variations_give_frasers_reference_change_value() -> None:
    rise, fall = reference_change(2.0, 1.0)
    plain = 1.96 * math.sqrt(2) * math.hypot(2.0, 1.0) / 100
    assert rise == pytest.approx(plain, rel=0.04)
    assert fall == pytest.approx(plain, rel=0.04)
    assert rise > plain > fall


def test_large_variations_are_skewed_and_nothing_falls_below_zero() -> None:
    """By hand: sqrt(ln(1 + 0.42²) + ln(1 + 0.05²)) = 0.4062; times 1.96 √2 = 1.126; e to that is 3.083."""
    rise, fall = reference_change(42.0, 5.0)
    assert rise == pytest.approx(2.083, abs=0.002)
    assert fall == pytest.approx(0.676, abs=0.001)
    assert (1 + rise) * (1 - fall) == pytest.approx(1)


@pytest.mark.parametrize(
    ("limit", "was", "under", "at"),
    [
        ({"rise": 0.3}, 1.0, 1.29, 1.3),
        ({"fall": 2.0}, 13.0, 11.1, 11.0),
        ({"change": 5}, 90.0, 94.9, 95.0),
        ({"change": 5}, 90.0, 85.1, 85.0),
        ({"rise_percent": 50}, 1.0, 1.49, 1.5),
        ({"fall_percent": 50}, 200.0, 101.0, 100.0),
        ({"change_percent": 20}, -10.0, -8.1, -8.0),
        ({"change_percent": 20, "change": 7}, 20.0, 26.9, 27.0),
        ({"change_percent": 20, "change": 7}, 100.0, 119.0, 120.0),
        ({"cvi": 34.68, "change": 5}, 1.0, 5.9, 6.0),
    ],
)
def test_a_limit_is_reached_on_it_and_not_under(limit: dict[str, Any], was: float, under: float, at: float) -> None:
    read = _read(**limit)
    assert not read.reached(under, was)
    assert read.reached(at, was)


def test_a_direction_without_a_limit_has_none() -> None:
    assert not _read(rise=0.3).reached(0.5, 1.0)
    assert not _read(fall_percent=50).reached(400, 100)
    assert not _read(change=1).reached(4.0, 4.0)


def test_nothing_is_a_share_of_zero() -> None:
    assert not _read(change_percent=20).reached(5.0, 0.0)
    assert _read(change=5).reached(5.0, 0.0)


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        ({}, "without a limit"),
        ({"rize": 1}, "unknown key rize"),
        ({"rise": -1}, "rise of a delta limit must be a positive number"),
        ({"rise": True}, "must be a positive number"),
        ({"rise": "1"}, "must be a positive number"),
        ({"rise": 1, "means": "panic"}, "must be one of change, event, sample"),
        ({"rise": 1, "hours": 2, "days": 1}, "within hours or within days"),
        ({"rise": 1, "change": 2}, "both directions"),
        ({"cvi": 2, "change_percent": 2}, "both directions"),
        ({"cvi": 2, "rise_percent": 2}, "its own percentages"),
        ({"cva": 2, "rise": 2}, "cva of a delta limit without its cvi"),
        ({"fall_percent": 120}, "nothing falls by more than 100 %"),
    ],
)
def test_what_a_table_may_not_hold_is_named(one: dict[str, Any], fault: str) -> None:
    assert fault in " ".join(read_limit(one, "")[1])


def test_a_fault_in_a_file_names_file_and_analyte() -> None:
    entry = '[x]\nen = "X"\nfr = "X"\nspecimen = "blood"\nunit = "g/L"\ndelta = [{ cvi = 2 }]\n'
    with pytest.raises(CatalogError) as caught:
        build({"a.toml": entry})
    assert [(one.path, one.description) for one in caught.value.violations] == [("a.toml:x", "a number has no source")]
    with pytest.raises(CatalogError) as caught:
        build({"a.toml": entry.replace('unit = "g/L"\n', "").replace("cvi", "cvo")})
    assert {one.description for one in caught.value.violations} >= {"unknown key cvo of a delta limit"}


def test_each_limit_of_the_catalog_has_a_dated_source_and_a_sane_size() -> None:
    limited = [analyte for analyte in CATALOG.analytes.values() if analyte.delta]
    assert len(limited) >= 100
    for analyte in limited:
        for one in analyte.delta:
            assert re.search(r"\b(?:19|20)\d\d\b", one.source), analyte.id
            assert 1 <= one.hours <= 365 * 24, analyte.id
            for share in (one.rise_share, one.fall_share):
                assert share is None or 0.02 < share < 2.5, analyte.id
            assert one.cva is None or one.cvi is None or one.cva <= 1.6 * one.cvi, analyte.id


@pytest.mark.parametrize(
    "analyte",
    [
        *("haemoglobin", "haematocrit", "mcv", "leucocytes", "platelets", "neutrophils", "sodium", "potassium"),
        *("chloride", "bicarbonate", "calcium", "magnesium", "phosphate", "urea", "urea-nitrogen", "creatinine", "egfr"),
        *("albumin", "alt", "ast", "alp", "ggt", "bilirubin-total", "ldh", "cholesterol", "ldl-cholesterol"),
        *("hdl-cholesterol", "triglycerides", "troponin-t-hs", "troponin-i-hs", "nt-probnp", "ck", "inr", "aptt"),
        *("fibrinogen", "d-dimer", "crp", "glucose", "hba1c", "tsh", "free-t4", "psa", "cea", "ca-125", "afp", "ferritin"),
    ],
)  # fmt: skip
def test_what_is_followed_over_time_has_a_limit(analyte: str) -> None:
    assert CATALOG.analytes[analyte].delta
