"""MIMIC-IV as FHIR: what each kind of row becomes, and that no flag leaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.mimic_iv import Options, commented_answer, main, render, to_observation

ROW = {
    "labevent_id": "7",
    "subject_id": "1",
    "itemid": "50971",
    "charttime": "2150-01-01 06:00:00",
    "storetime": "2150-01-01 07:00:00",
    "value": "5.6",
    "valuenum": "5.6",
    "valueuom": "mEq/L",
    "ref_range_lower": "3.3",
    "ref_range_upper": "5.1",
    "flag": "abnormal",
    "comments": "",
}
ITEM = {"label": "Potassium", "fluid": "Blood"}


def _observation(options: Options | None = None, **row: str) -> dict:
    return to_observation(ROW | row, ITEM, "2823-3", "Patient/1", options or Options())


def test_a_number_keeps_unit_and_interval_and_no_flag_leaks() -> None:
    made = _observation()
    assert made["valueQuantity"] == {"value": 5.6, "unit": "mEq/L"}
    assert made["referenceRange"] == [{"low": {"value": 3.3, "unit": "mEq/L"}, "high": {"value": 5.1, "unit": "mEq/L"}}]
    assert "abnormal" not in json.dumps(made)
    assert "interpretation" not in made


def test_the_flag_is_written_only_when_asked_for() -> None:
    made = _observation(Options(with_flags=True))
    assert made["interpretation"][0]["coding"][0]["code"] == "H"


def test_intervals_can_be_withheld() -> None:
    assert "referenceRange" not in _observation(Options(with_intervals=False))


@pytest.mark.parametrize(
    ("row", "key", "value"),
    [
        ({"value": ">300", "valuenum": ""}, "valueQuantity", {"value": 300, "unit": "mEq/L", "comparator": ">"}),
        ({"value": "TR", "valuenum": ""}, "valueString", "TR"),
        ({"value": "___", "valuenum": "9"}, "valueQuantity", {"value": 9, "unit": "mEq/L"}),
        ({"value": "", "valuenum": "", "comments": "NEG.  80 units."}, "valueString", "NEG"),
    ],
)
def test_values(row: dict[str, str], key: str, value: object) -> None:
    assert _observation(**row)[key] == value


def test_no_value_is_absent_with_a_reason() -> None:
    assert _observation(value="___", valuenum="", comments="___")["dataAbsentReason"]["coding"][0]["code"] == "masked"
    assert _observation(value="", valuenum="")["dataAbsentReason"]["coding"][0]["code"] == "unknown"


@pytest.mark.parametrize(
    ("comment", "answer"),
    [
        ("<0.01.  cTropnT > 0.10 ng/mL suggests Acute MI.", "<0.01"),
        (">182*.", ">182"),
        ("GREATER THAN 20 NG/ML.", ">20 NG/ML"),
        ("UNABLE TO REPORT.", None),
        ("ND .  Not Done, WBC <=0.1.", None),
        ("___", None),
        ("", None),
    ],
)
def test_answers_in_comments(comment: str, answer: str | None) -> None:
    assert commented_answer(comment) == answer


def test_large_tables_are_spilled_and_come_out_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "hosp"
    source.mkdir()
    (source / "d_labitems.csv").write_text("itemid,label,fluid,category\n50971,Potassium,Blood,Chemistry\n")
    (source / "patients.csv").write_text("subject_id,gender,anchor_age,anchor_year\n1,F,50,2150\n2,M,60,2150\n")
    lines = [",".join(ROW)]
    lines += [",".join((ROW | {"labevent_id": str(n), "subject_id": str(1 + n % 2)}).values()) for n in range(20)]
    (source / "labevents.csv").write_text("\n".join(lines) + "\n")
    whole = {one.subject: one.bundle for one in render(tmp_path)}
    monkeypatch.setattr("training.mimic_iv.SMALL", 3)
    assert {one.subject: one.bundle for one in render(tmp_path)} == whole
    assert set(whole) == {"1", "2"}
    assert whole["1"]["entry"][0]["resource"]["birthDate"] == "2100"


def test_the_command_writes_one_bundle_a_line(tmp_path: Path, shared_data: Path) -> None:
    out = tmp_path / "out.ndjson"
    labels = shared_data / "mimic-iii-demo/D_LABITEMS.csv.gz"
    arguments = [
        "--source",
        str(shared_data / "mimic-iv-demo"),
        "--d-labitems",
        str(labels),
        "--out",
        str(out),
        "--limit",
        "2",
    ]
    assert main(arguments) == 0
    bundles = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(bundles) == 2
    assert bundles[0]["entry"][0]["resource"]["resourceType"] == "Patient"


def test_a_missing_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--source", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    assert "d_labitems" in capsys.readouterr().err
