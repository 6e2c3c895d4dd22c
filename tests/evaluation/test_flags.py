"""The figures of an evaluation: by hand on a few records, and by the whole command on bundles."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from evaluation.flags import gate, main, summarise
from evaluation.metrics import JUDGES, at_prevalence, calibration_error, figures, probabilistic
from evaluation.records import Record, Timing
from tests.bundles import PANEL

numpy = pytest.importorskip("numpy")
EXAMPLES = Path(__file__).parents[2] / "examples" / "bundles"


def _record(group: str, truth: bool, served: bool | None, p: float | None = None, case: str = "usual") -> Record:
    return Record(
        group=group,
        case=case,
        test="Potassium",
        kind="number",
        sex="female",
        age=50.0,
        truth=truth,
        code="H" if truth else "N",
        critical=False,
        rule=served,
        probability=p,
        model=None if p is None else p >= 0.5,
        served=served,
        served_code=None if served is None else "H" if served else "N",
        why="" if served is not None else "no-interval",
    )


def test_what_was_not_assessed_counts_as_missed() -> None:
    records = [
        _record("a", True, True),
        _record("a", True, False),
        _record("b", True, None),
        _record("b", False, True),
        _record("c", False, False),
        _record("c", False, None),
    ]
    found = figures(records, JUDGES["served"])
    assert (found["results"], found["patients"], found["abnormal"], found["not_assessed"]) == (6, 3, 3, 2)
    assert found["precision"] == 0.5
    assert found["recall"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["f1"] == 0.4
    low, high = found["recall_95"]
    assert 0 <= low <= found["recall"] <= high <= 1


def test_a_bootstrap_by_patient_is_wider_than_its_patients_are_alike() -> None:
    chance = random.Random(5)
    alike = [_record(f"{g}", True, g % 2 == 0) for g in range(20) for _ in range(50)]
    mixed = [_record(f"{g}", True, chance.random() < 0.5) for g in range(20) for _ in range(50)]
    widths = [high - low for low, high in (figures(one, JUDGES["served"])["recall_95"] for one in (alike, mixed))]
    assert widths[0] > 3 * widths[1]


def test_probabilities_that_are_right_have_no_calibration_error() -> None:
    chance = numpy.random.default_rng(1)
    p = chance.random(20_000)
    truth = chance.random(20_000) < p
    assert calibration_error(truth, p) < 0.02
    assert calibration_error(truth, p**3) > 0.15
    records = [_record(f"{n % 40}", bool(t), None, float(q)) for n, (t, q) in enumerate(zip(truth, p, strict=True))]
    found = probabilistic(records, resamples=20)
    assert found["auroc"] == pytest.approx(5 / 6, abs=0.01)  # of a uniform p that is the truth's chance
    assert found["brier"] == pytest.approx(1 / 6, abs=0.01)
    assert probabilistic(records[:1]) == {"scored": 1}


def test_precision_falls_with_prevalence_as_bayes_says() -> None:
    # sensitivity 0.9, false-positive rate 0.1
    at_half = 0.9
    assert at_prevalence(at_half, 0.9, 0.5, 0.05) == pytest.approx(0.9 * 0.05 / (0.9 * 0.05 + 0.1 * 0.95), abs=1e-4)
    assert at_prevalence(None, 0.9, 0.5, 0.05) is None


@pytest.mark.parametrize(("missed", "passes"), [(5, True), (10, False), (40, False)])
def test_the_gate_holds_recall_above_ninety(missed: int, passes: bool) -> None:
    records = [_record(f"{n % 9}", True, n >= missed) for n in range(100)] + [
        _record(f"{n % 9}", False, False) for n in range(100)
    ]
    found = summarise(records, [Timing("usual", 20, {"total": 4.0})])
    assert gate(found)["passed"] is passes
    slow = summarise(records, [Timing("usual", 20, {"total": 2500.0})])
    assert any("latency" in fault for fault in gate(slow)["faults"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_the_command_judges_bundles_and_draws_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    assert main(["--bundles", str(EXAMPLES), "--engine", "fake", "--out", str(out), "--scenarios"]) == 0
    said = capsys.readouterr().out
    assert "given: served" in said
    found = json.loads((out / "evaluation.json").read_text())
    given = found["cases"]["Numbers with an interval (given, or withheld)"]["given: served"]
    assert given["recall"] > 0.98
    rows = found["tables"]["Vignettes: what a specialist says"]
    assert [row["engine"] for row in rows] == ["rules alone", "fake 1"]
    page = (out / "report.html").read_text()
    assert "what a specialist says" in page
    assert page.count("<svg") >= 4
    assert not re.search(r"(src|href)=[\"']?https?:", page), "the page must need nothing from outside"
    assert "prefers-color-scheme:dark" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_command_says_what_it_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = tmp_path / "x.json"
    nothing.write_bytes(PANEL.replace(b"referenceRange", b"nothing"))
    assert main(["--bundles", str(nothing), "--engine", "none"]) == 2
    assert "no result with a label" in capsys.readouterr().err
    assert main(["--mimic-iv", str(tmp_path), "--engine", "none"]) == 2
    with pytest.raises(SystemExit):
        main([])


def test_a_bundle_that_cannot_be_read_is_named_and_the_others_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-cut.json").write_bytes(PANEL[:40])
    (tmp_path / "b-whole.json").write_bytes(PANEL)
    assert main(["--bundles", str(tmp_path), "--engine", "none"]) == 0
    said = capsys.readouterr()
    assert said.err.count("a-cut.json: The bundle is not valid UTF-8 JSON. [not-json]") == 1
    assert "b-whole.json" not in said.err


def test_a_path_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--bundles", str(tmp_path / "gone.ndjson")])
    assert "there is no such file or folder" in capsys.readouterr().err
