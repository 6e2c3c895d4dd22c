"""The vignettes: readable, sourced, and served as the specialist says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from evaluation.scenarios.__main__ import main
from evaluation.scenarios.judge import Outcome, judge, table
from evaluation.scenarios.read import BLIND, ScenarioError, load, render
from fhir_adapter import catalog
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read

CATALOG = catalog.load()
SCENARIOS = load(CATALOG)
UNSEEN = load(CATALOG, BLIND)
RULES = Pipeline(Settings(engine="none"), CATALOG)


def test_there_are_at_least_eighty_each_with_words_and_a_source_and_many_hard_ones() -> None:
    assert len(SCENARIOS) >= 80
    assert sum(one.hard for one in SCENARIOS) >= 25
    for one in SCENARIOS:
        assert one.says.endswith((".", "?")), one.name
        assert len(one.source) > 10, one.name
    kinds = Counter(kind for one in SCENARIOS for kind in one.expected)
    assert {"must_flag", "must_not_flag", "must_be_critical", "must_name", "must_not_name"} <= set(kinds)


def test_those_written_blind_are_apart() -> None:
    assert len(UNSEEN) >= 50
    assert not {one.name for one in UNSEEN} & {one.name for one in SCENARIOS}
    for one in UNSEEN:
        assert one.says.endswith((".", "?")), one.name
        assert len(one.source) > 10, one.name


@pytest.mark.parametrize("scenario", [*SCENARIOS, *UNSEEN], ids=lambda one: f"{one.group}-{one.name}")
def test_the_rules_say_what_a_specialist_says(scenario: object) -> None:
    outcome = judge(scenario, RULES, "rules alone")  # type: ignore[arg-type]
    assert outcome.passed, outcome.faults


def test_a_line_is_read_as_it_is_meant() -> None:
    lines = [
        "potassium 6.9 mmol/L [3.5-5.1] @-72",
        "crp <0.6 mg/L [-5]",
        "base-excess -4 mmol/L [-2-3]",
        "inr 1.1 [0.9-1.1]",
        '"Zonulin, serum" 84 ng/mL [-48]',
        "urine-nitrite = Positive [Negative]",
    ]
    intake = read(render("female 5 d", lines, {"crp": "haemolysed"}, CATALOG))
    panel = normalize(intake, CATALOG)
    assert [one.analyte.id if one.analyte else one.display for one in panel.results] == [
        "potassium", "crp", "base-excess", "inr", "Zonulin, serum", "urine-nitrite",
    ]  # fmt: skip
    limits = [one.interval and (one.interval.low, one.interval.high) for one in panel.results]
    assert limits == [(3.5, 5.1), (None, 5), (-2, 3), (0.9, 1.1), (None, 48), None]
    assert panel.results[1].result.comments == ("haemolysed",)
    assert panel.results[5].expected == ("negative",)
    first, second = panel.results[0].result.effective, panel.results[1].result.effective
    assert first is not None
    assert second is not None
    assert (second - first).total_seconds() == 72 * 3600
    pregnant = normalize(read(render("female 30 pregnant", lines[:1], {}, CATALOG)), CATALOG).patient
    assert pregnant.pregnant is True


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('patient = "male 61"\nresults = ["zebra 4 mmol/L"]', "zebra isn't in the catalog"),
        ('patient = "61"\nresults = ["potassium 4 mmol/L"]', "isn't sex and age"),
        ('patient = "male 61"\nresults = ["potassium"]', "can't be read"),
        ('patient = "male 61"\nresults = ["potassium 4 mmol/L [x]"]', "isn't low-high"),
        ('patient = "male 61"\nresults = []\nodd = 1', "odd"),
    ],
)
def test_a_vignette_that_cannot_be_read_is_named(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "x.toml").write_text(f'[one]\nsays = "."\nsource = "s"\nmust_flag = ["potassium"]\n{table}\n')
    with pytest.raises(ScenarioError, match=f"x.toml: one: .*{said}"):
        load(CATALOG, tmp_path)


def test_what_is_served_otherwise_is_counted_and_said(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        '[one]\nsays = "."\nsource = "s"\npatient = "male 50"\nresults = ["potassium 4.2 mmol/L [3.5-5.1]"]\n'
        'must_flag = ["potassium"]\nmust_be_critical = ["potassium"]\nmust_name = ["aki"]\nmust_not_flag = ["potassium"]\n'
    )
    (scenario,) = load(CATALOG, tmp_path)
    outcome = judge(scenario, RULES, "x")
    assert outcome.faults == (
        "potassium: not flagged", "potassium: not called critical", "aki: not pattern named",
    )  # fmt: skip
    (row,) = table([outcome])
    assert (row["vignettes as expected"], row["flagged"], row["left alone"]) == ("0 of 1", "0 of 1", "1 of 1")
    assert isinstance(outcome, Outcome)


def test_the_vignettes_are_written_as_bundles(tmp_path: Path) -> None:
    assert main(["--write", str(tmp_path), "--only", "aki"]) == 0
    written = sorted(tmp_path.glob("*.json"))
    assert len(written) >= 3
    assert all(read(file.read_bytes()).results for file in written)
