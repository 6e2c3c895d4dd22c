"""Under which conditions a site's limits hold, found from its results: sex, age, time, specimen, companions; never averaged."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter import catalog
from fhir_adapter.model import Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from fhir_adapter.site import BOTH, Site, SiteAlias, SiteCritical, SiteInterval, learn, read_site, write_site

CATALOG = catalog.load()
LOINC = "http://loinc.org"
START = datetime(2024, 1, 1, 8, tzinfo=UTC)
Limits = tuple[float | None, float | None]


def _observation(
    code: str, value: float, unit: str | None, limits: Limits | None, at: datetime, specimen: str | None
) -> dict[str, Any]:
    quantity = {"unit": unit} if unit else {}
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"{code}-{at.timestamp():.0f}",
        "status": "final",
        "code": {"coding": [{"system": "urn:lab", "code": code}], "text": code},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": at.isoformat(),
        "valueQuantity": {"value": value, **quantity},
    }
    if limits is not None:
        sides = {
            side: {"value": limit, **quantity}
            for side, limit in zip(("low", "high"), limits, strict=True)
            if limit is not None
        }
        found["referenceRange"] = [sides]
    if specimen:
        found["specimen"] = {"display": specimen}
    return found


def _panel(
    *results: tuple[str, float, str | None, Limits | None],
    at: datetime = START,
    sex: str = "female",
    age: float = 40,
    specimen: str | None = None,
    site: Site | None = None,
) -> Panel:
    born = at.date() - timedelta(days=round(age * 365.2425) + 1)
    entries: list[dict[str, Any]] = [
        {"resource": {"resourceType": "Patient", "id": "p", "gender": sex, "birthDate": born.isoformat()}}
    ]
    entries += [
        {"resource": _observation(code, value, unit, limits, at, specimen)} for code, value, unit, limits in results
    ]
    return normalize(
        read(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()), CATALOG, site
    )


def _limits(panel: Panel, index: int = 0) -> Limits | None:
    interval = panel.results[index].interval
    return None if interval is None else (interval.low, interval.high)


def test_limits_that_changed_hold_from_their_day() -> None:
    """Old limits until June, new ones from July: each result takes those of its day, one without a day the newest."""
    days = [START + timedelta(days=10 * number) for number in range(36)]
    old, new = (1.0, 2.0), (1.5, 3.0)
    site = learn((_panel(("X", 1.7, "mmol/L", new if day.month > 6 else old), at=day) for day in days), "s")
    for day, expected in (
        (START + timedelta(days=40), old),
        (START + timedelta(days=250), new),
        (START + timedelta(days=900), new),
    ):
        assert _limits(_panel(("X", 2.5, "mmol/L", None), at=day, site=site)) == expected
    (first, second) = site.intervals["local urn:lab|X", "mmol/L"]
    assert (first.since, first.until) == (None, date(2024, 6, 30))
    assert (second.since, second.until) == (date(2024, 7, 1), None)
    assert (first.first, first.last) == ("2024-01", "2024-06")


def test_bands_of_age_are_found() -> None:
    ages = [number * 0.9 + 0.2 for number in range(60)]
    site = learn((_panel(("X", 5, "U/L", (None, 90.0) if age < 18 else (None, 40.0)), age=age) for age in ages), "s")
    assert _limits(_panel(("X", 50, "U/L", None), age=10, site=site)) == (None, 90.0)
    assert _limits(_panel(("X", 50, "U/L", None), age=30, site=site)) == (None, 40.0)


def test_few_results_part_nothing_by_age() -> None:
    """Three old and three young people may differ by chance."""
    site = learn(
        (_panel(("X", 5, "U/L", (1.0, 2.0) if age < 50 else (1.0, 3.0)), age=age) for age in (20, 30, 40, 60, 70, 80)),
        "s",
    )
    (one,) = site.intervals["local urn:lab|X", "U/L"]
    assert (one.age_from, one.age_to, one.count, one.seen) == (None, None, 3, 6)
    assert one.others == ("1-3 (3)",)


def test_what_came_along_tells_which_limits_were_in_force() -> None:
    """Two editions of a report at the same time: the old one gives MCHC in %, and other limits for X."""
    panels = []
    for number in range(40):
        old = number % 2 == 0
        at = START + timedelta(days=number)
        panels.append(
            _panel(
                ("X", 5, "U/L", (1.0, 2.0) if old else (1.0, 3.0)), ("MCHC", 33, "%" if old else "g/dL", None), at=at
            )
        )
    site = learn(panels, "s")
    assert site.looks_around
    assert _limits(_panel(("X", 2.5, "U/L", None), ("MCHC", 33, "%", None), site=site)) == (1.0, 2.0)
    assert _limits(_panel(("X", 2.5, "U/L", None), ("MCHC", 33, "g/dL", None), site=site)) == (1.0, 3.0)
    alone = _limits(_panel(("X", 2.5, "U/L", None), site=site))
    assert alone in ((1.0, 2.0), (1.0, 3.0)), "one of the site's, never their mean"


def test_specimens_are_kept_apart() -> None:
    panels = [
        _panel(("X", 5, "U/L", (1.0, 2.0) if specimen == "Serum" else (4.0, 9.0)), specimen=specimen)
        for specimen in ("Serum", "CSF") * 5
    ]
    site = learn(panels, "s")
    assert _limits(_panel(("X", 5, "U/L", None), specimen="CSF", site=site)) == (4.0, 9.0)
    assert _limits(_panel(("X", 5, "U/L", None), specimen="Serum", site=site)) == (1.0, 2.0)


def test_a_conflict_takes_the_most_frequent_and_shows_the_rest() -> None:
    panels = [_panel(("X", 5, "U/L", (1.0, 2.0 + (number % 3 == 0)))) for number in range(9)]
    (one,) = learn(panels, "s").intervals["local urn:lab|X", "U/L"]
    assert (one.low, one.high, one.count, one.seen, one.others) == (1.0, 2.0, 6, 9, ("1-3 (3)",))


def _coded(with_loinc: bool, unit: str | None, limits: Limits | None, site: Site | None = None) -> Panel:
    data = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "urn:lab", "code": "KAL"}]},
        "valueQuantity": {"value": 4.0, **({"unit": unit} if unit else {})},
    }
    if with_loinc:
        data["code"]["coding"].append({"system": LOINC, "code": "2823-3"})  # type: ignore[index]
    if limits:
        data["referenceRange"] = [{"low": {"value": limits[0]}, "high": {"value": limits[1]}}]
    return normalize(read(json.dumps(data).encode()), CATALOG, site)


def test_local_codes_and_units_are_learnt() -> None:
    """Twenty results that named potassium by LOINC too: the local code alone means it, in the one unit it came in."""
    site = learn((_coded(True, "mmol/L", (3.5, 5.1)) for _ in range(20)), "s")
    assert site.aliases["local urn:lab|KAL"] == SiteAlias(
        test="local urn:lab|KAL", analyte="potassium", unit="mmol/L", count=20
    )
    (placed,) = _coded(False, None, None, site).results
    assert placed.analyte is CATALOG.analytes["potassium"]
    assert placed.unit == "mmol/L"
    assert placed.interval is not None
    assert placed.interval.source == "site"


def test_a_unit_that_varied_is_not_learnt() -> None:
    site = learn((_coded(True, unit, (3.5, 5.1)) for unit in ("mmol/L", "meq/L") * 15), "s")
    (placed,) = _coded(False, None, None, site).results
    assert placed.unit is None


def test_a_sites_critical_limit_goes_before_the_usual_one(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(
        'name = "Lab"\n[[critical]]\ntest = "analyte potassium"\nunit = "mmol/L"\nlow = 3.0\nhigh = 6.0\nsource = "Policy 7"\n'
    )
    site = read_site(file)
    (placed,) = _coded(True, "mEq/L", None, site).results
    assert placed.critical is not None
    assert (placed.critical.low, placed.critical.high, placed.critical.source) == (3.0, 6.0, "site")
    assert placed.critical.citation == "Policy 7"
    assert len(site.version) == 12


_number = st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: float(f"{number:.6g}"))
_text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).map(
    lambda text: f"x{text}"
)


@st.composite
def _intervals(draw: st.DrawFn) -> SiteInterval:
    low, high = sorted((draw(_number), draw(_number)))
    return SiteInterval(
        test=f"local urn:lab|{draw(_text)}",
        unit=draw(_text),
        sex=draw(st.sampled_from([BOTH, "female", "male"])),
        low=low if draw(st.booleans()) else None,
        high=high,
        high_inclusive=draw(st.booleans()),
        age_from=draw(st.none() | st.floats(0, 17)),
        age_to=draw(st.none() | st.floats(18, 90)),
        since=draw(st.none() | st.dates(date(2000, 1, 1), date(2010, 1, 1))),
        until=draw(st.none() | st.dates(date(2011, 1, 1), date(2030, 1, 1))),
        specimen=draw(st.none() | _text),
        companions=tuple(draw(st.lists(_text, max_size=3))),
        count=draw(st.integers(0, 10**6)),
        others=tuple(draw(st.lists(_text, max_size=2))),
    )


@given(st.lists(_intervals(), max_size=5, unique_by=lambda one: one.test), _text)
def test_whatever_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, entries: list[SiteInterval], name: str
) -> None:
    file = tmp_path_factory.mktemp("site") / "site.toml"
    site = Site(
        name,
        {(one.test, one.unit): (one,) for one in entries},
        {"loinc 2823-3": (SiteCritical(test="loinc 2823-3", unit="mmol/L", low=2.5),)},
    )
    write_site(site, file)
    assert read_site(file) == site


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    from fhir_adapter.errors import ConfigError

    file = tmp_path_factory.mktemp("site") / "site.toml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ConfigError):
        read_site(file)
