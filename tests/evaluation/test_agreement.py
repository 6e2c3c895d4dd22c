"""Agreement with the laboratory's own flag: the counting by hand-made rows, the whole way on real results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.agreement import (
    CLASSES,
    COLUMN,
    COMMENT,
    NO_INTERVAL,
    NOTHING,
    class_of,
    compare,
    main,
    measure,
    new_pipeline,
)
from evaluation.tables import percent, table
from evaluation.tally import Answer, Tally, together
from training.mimic_iv import Options, Rendered, Truth, to_observation
from training.mimic_observation import Shape


def _truth(abnormal: bool, *, interval: bool = True, shape: Shape = "number", item: str = "2") -> Truth:
    return Truth("1", item, "Test", abnormal, interval, True, "3", shape=shape)


def _tally(*rows: tuple[bool | None, bool]) -> Tally:
    tally = Tally()
    for ours, theirs in rows:
        tally.add(_truth(theirs), Answer(ours, "" if ours is not None else "no-interval", "H by a test"))
    return tally


def test_every_row_is_in_a_denominator() -> None:
    found = _tally((True, True), (True, False), (False, True), (False, False), (None, True), (None, False)).figures()
    assert (found["rows"], found["assessed"], found["not_assessed"]) == (6, 4, 2)
    assert found["not_assessed_reasons"] == {"no-interval": 2}
    assert found["agreement"] == 0.5
    assert found["agreement_strict"] == pytest.approx(2 / 6)
    assert (found["precision"], found["recall"]) == (0.5, 0.5)
    assert found["recall_strict"] == pytest.approx(1 / 3)
    assert found["abnormal"] == 0.5


def test_nothing_measured_is_not_zero() -> None:
    found = Tally().figures()
    assert [found[name] for name in ("agreement", "agreement_strict", "precision", "recall")] == [None] * 4


def test_tallies_add_up() -> None:
    one, other = _tally((True, False), (None, True)), _tally((True, False), (False, False))
    assert (
        together([one, other]).figures() == _tally((True, False), (None, True), (True, False), (False, False)).figures()
    )
    assert together([one, other]).worst() == [
        {
            "test": "Test",
            "item": "2",
            "rows": 4,
            "apart": 3,
            "only_labcue": 2,
            "only_laboratory": 0,
            "not_assessed": 1,
            "agreement_strict": 0.25,
        }
    ]
    assert one.rows == 2, "what was added up is left as it was"


def test_the_worst_tests_come_first_and_perfect_ones_not_at_all() -> None:
    tally = Tally()
    for item, ours in (("a", True), ("b", False), ("b", None), ("b", False), ("c", True)):
        tally.add(_truth(item != "c", item=item), Answer(ours, "no-interval", "N by a test"))
    assert [row["item"] for row in tally.worst()] == ["b", "c"]


@pytest.mark.parametrize(
    ("interval", "shape", "name"),
    [
        (True, "number", COLUMN),
        (True, "comparison", COLUMN),
        (True, "text", COLUMN),
        (True, "comment", COMMENT),
        (True, "none", NOTHING),
        (False, "number", NO_INTERVAL),
        (False, "none", NO_INTERVAL),
    ],
)
def test_rows_are_classed_by_their_columns(interval: bool, shape: Shape, name: str) -> None:
    assert class_of(_truth(True, interval=interval, shape=shape)) == name


def _rendered(**row: str) -> Rendered:
    base = dict.fromkeys(("storetime", "comments", "flag"), "") | {
        "labevent_id": "1",
        "itemid": "50971",
        "charttime": "2150-01-01 06:00:00",
        "value": "5.6",
        "valuenum": "5.6",
        "valueuom": "mEq/L",
        "ref_range_lower": "3.3",
        "ref_range_upper": "5.1",
    }
    item = {"label": "Potassium", "fluid": "Blood"}
    observation = to_observation(base | row, item, "2823-3", "Patient/1", Options())
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observation}]}
    return Rendered("1", bundle, {"1": _truth(True)})


def test_a_flag_and_what_it_rests_on_are_compared() -> None:
    pipeline = new_pipeline()
    assert compare([_rendered()], pipeline)[COLUMN].figures()["both"] == 1
    apart = compare([_rendered(value="4.0")], pipeline)[COLUMN]
    assert apart.only_laboratory == 1
    assert list(apart.classes) == ["N by the laboratory's interval, flagged by the laboratory, number"]


def test_a_row_that_does_not_come_back_is_counted_as_lost() -> None:
    one = _rendered()
    lost = Rendered("1", one.bundle, {**one.truth, "2": _truth(False)})
    found = compare([lost], new_pipeline())[COLUMN].figures()
    assert found["not_assessed_reasons"] == {"lost": 1}
    assert found["agreement_strict"] == 0.5


def test_tables_read_well() -> None:
    assert table([{"name": "a", "rows": 1234}]) == "| name |  rows |\n| :--- | ----: |\n| a    | 1,234 |"
    assert table([]) == ""
    assert (percent(None), percent(1.0), percent(0.99999), percent(0.9966)) == ("–", "100.00 %", "99.99 %", "99.66 %")


def _measured(shared_data: Path, limit: int | None) -> dict[str, Any]:
    labels = shared_data / "mimic-iii-demo/D_LABITEMS.csv.gz"
    return measure(shared_data / "mimic-iv-demo", labels, limit=limit, withheld=limit is not None)


def test_the_first_five_bundles_agree(shared_data: Path) -> None:
    found = _measured(shared_data, 5)
    assert 0 < found["patients"] <= 5  # a patient with many results comes in several bundles
    given = found["intervals given"]["result"]
    assert set(given) == set(CLASSES)
    assert given[COLUMN]["agreement_strict"] >= 0.995
    assert given[COLUMN]["recall"] == 1.0
    withheld = found["intervals withheld"]
    assert withheld["all with an interval"]["rows"] == found["intervals given"]["all with an interval"]["rows"]
    kinds = " ".join(withheld["disagreements"])
    assert "usual interval" in kinds
    assert "laboratory's interval" not in kinds
    for case in ("intervals given", "intervals withheld"):
        for row in (*found[case]["result"].values(), found[case]["all with an interval"]):
            assert "lost" not in row["not_assessed_reasons"]


@pytest.mark.slow
def test_all_patients_agree(shared_data: Path) -> None:
    found = _measured(shared_data, None)
    assert found["patients"] == 80
    given = found["intervals given"]
    assert given["result"][COLUMN]["agreement_strict"] >= 0.995
    assert given["result"][COLUMN]["recall_strict"] >= 0.999
    assert sum(row["rows"] for row in given["result"].values()) == 95_776
    assert given["all with an interval"]["rows"] == 79_109
    assert not any("lost" in row["not_assessed_reasons"] for row in given["result"].values())


def test_the_command_prints_and_writes_the_same_figures(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    arguments = ["--source", str(shared_data / "mimic-iv-demo"), "--limit", "1", "--json", str(out)]
    assert main([*arguments, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text())
    assert main([*arguments, "--only-given", "--at-least", "1.1"]) == 1
    said = capsys.readouterr().out
    assert "## Intervals given" in said
    assert "## Intervals withheld" not in said


def test_a_source_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", str(tmp_path)]) == 2
    assert "d_labitems" in capsys.readouterr().err
