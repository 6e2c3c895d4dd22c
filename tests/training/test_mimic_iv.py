"""MIMIC-IV as FHIR: what each kind of row becomes, that no flag leaks, and that a large source comes out the same."""

from __future__ import annotations

import csv
import gzip
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle

from fhir_adapter.dates import birth
from fhir_adapter.normalize import age_years
from fhir_adapter.read import read
from fhir_adapter.strict import uncollected
from training.mimic_iv import Options, Rendered, commented_answer, encode, main, render, to_observation
from training.mimic_observation import direction, truth_of
from training.mimic_tables import by_subject, find_table

ROW = {
    "labevent_id": "7",
    "subject_id": "1",
    "specimen_id": "70",
    "itemid": "50971",
    "charttime": "2150-01-01 06:00:00",
    "storetime": "2150-01-01 07:00:00",
    "value": "5.60",
    "valuenum": "5.6",
    "valueuom": "mEq/L",
    "ref_range_lower": "3.3",
    "ref_range_upper": "5.1",
    "flag": "abnormal",
    "comments": "",
}
ITEM = {"label": "Potassium", "fluid": "Blood"}


def _observation(options: Options | None = None, item: dict[str, str] | None = None, **row: str) -> dict:
    return json.loads(encode(to_observation(ROW | row, item or ITEM, "2823-3", "Patient/1", options or Options())))


def _source(folder: Path, rows: list[dict[str, str]]) -> Path:
    hosp = folder / "hosp"
    hosp.mkdir()
    (hosp / "d_labitems.csv").write_text("itemid,label,fluid,category\n50971,Potassium,Blood,Chemistry\n")
    people = "".join(f"{subject},F,50,2150\n" for subject in sorted({row["subject_id"] for row in rows}))
    (hosp / "patients.csv").write_text("subject_id,gender,anchor_age,anchor_year\n" + people)
    with gzip.open(hosp / "labevents.csv.gz", "wt", newline="") as file:
        table = csv.DictWriter(file, ROW)
        table.writeheader()
        table.writerows(rows)
    return folder


def test_a_row_becomes_an_observation() -> None:
    made = _observation()
    assert (made["id"], made["status"], made["subject"]) == ("7", "final", {"reference": "Patient/1"})
    assert made["code"]["text"] == "Potassium"
    assert {coding["code"] for coding in made["code"]["coding"]} == {"2823-3", "50971"}
    assert (made["effectiveDateTime"], made["issued"]) == ("2150-01-01T06:00:00Z", "2150-01-01T07:00:00Z")
    assert made["specimen"] == {"display": "Blood"}
    assert made["referenceRange"] == [{"low": {"value": 3.3, "unit": "mEq/L"}, "high": {"value": 5.1, "unit": "mEq/L"}}]


def test_numbers_keep_the_laboratorys_digits() -> None:
    text = encode(to_observation(ROW, ITEM, None, "Patient/1", Options())).decode()
    assert '"valueQuantity":{"value":5.60,"unit":"mEq/L"}' in text


def test_a_fluid_other_than_blood_stands_in_the_name_once() -> None:
    assert _observation(item={"label": "Sodium", "fluid": "Urine"})["code"]["text"] == "Sodium, Urine"
    assert _observation(item={"label": "Sodium, Urine", "fluid": "Urine"})["code"]["text"] == "Sodium, Urine"


def test_no_flag_leaks_by_default() -> None:
    made = _observation(value="", valuenum="", comments="1+*.  REVIEWED.")
    assert "abnormal" not in json.dumps(made)
    assert "*" not in json.dumps(made)
    assert "interpretation" not in made
    assert made["note"] == [{"text": "1+.  REVIEWED."}]


def test_an_asterisk_inside_a_remark_is_kept() -> None:
    assert _observation(comments="Units are 10*3/uL.")["note"] == [{"text": "Units are 10*3/uL."}]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({}, "H"),
        ({"value": "3.0", "valuenum": "3.0"}, "L"),
        ({"value": ">2000", "valuenum": ""}, "H"),
        ({"value": ">5.1", "valuenum": ""}, "H"),
        ({"value": "<3.3", "valuenum": ""}, "L"),
        ({"value": "<9", "valuenum": ""}, "A"),
        ({"value": "4.0", "valuenum": "4.0"}, "A"),
        ({"value": "FEW", "valuenum": ""}, "A"),
        ({"ref_range_lower": "", "ref_range_upper": ""}, "A"),
    ],
)
def test_the_flag_with_its_side_is_written_only_when_asked_for(row: dict[str, str], code: str) -> None:
    made = _observation(Options(with_flags=True), **row)
    assert made["interpretation"][0]["coding"][0]["code"] == code == direction(ROW | row)
    assert "interpretation" not in _observation(Options(with_flags=True), **row, flag="")


def test_intervals_can_be_withheld() -> None:
    assert "referenceRange" not in _observation(Options(with_intervals=False))


def test_one_limit_alone_stays_alone() -> None:
    assert _observation(ref_range_lower="")["referenceRange"] == [{"high": {"value": 5.1, "unit": "mEq/L"}}]


@pytest.mark.parametrize(
    ("row", "key", "value", "shape"),
    [
        ({"value": ">300"}, "valueQuantity", {"value": 300, "unit": "mEq/L", "comparator": ">"}, "comparison"),
        ({"value": "LESS THAN 2.0"}, "valueQuantity", {"value": 2, "unit": "mEq/L", "comparator": "<"}, "comparison"),
        ({"value": ".5"}, "valueQuantity", {"value": 0.5, "unit": "mEq/L"}, "number"),
        ({"value": "-2"}, "valueQuantity", {"value": -2, "unit": "mEq/L"}, "number"),
        ({"value": "TR"}, "valueString", "TR", "text"),
        ({"value": "0-2"}, "valueString", "0-2", "text"),
        ({"value": "___", "valuenum": "9"}, "valueQuantity", {"value": 9, "unit": "mEq/L"}, "number"),
        ({"value": "9 checked", "valuenum": "9"}, "valueQuantity", {"value": 9, "unit": "mEq/L"}, "number"),
        ({"value": "", "comments": "NEG.  80 units."}, "valueString", "NEG", "comment"),
        ({"value": "", "comments": "<0.01.  See notes"}, "valueQuantity", None, "comment"),
        ({"value": "___", "comments": ">182*."}, "valueQuantity", None, "comment"),
    ],
)
def test_values(row: dict[str, str], key: str, value: object, shape: str) -> None:
    row = {"valuenum": ""} | row
    made = _observation(**row)
    assert sum(name.startswith("value") for name in made) == 1
    assert value is None or made[key] == value
    assert key in made
    assert truth_of(ROW | row, ITEM).shape == shape


def test_a_remark_beside_a_number_is_not_lost() -> None:
    made = _observation(value="9 checked", valuenum="9", comments="VERIFIED.")
    assert [note["text"] for note in made["note"]] == ["9 checked", "VERIFIED."]


@pytest.mark.parametrize(
    ("row", "code", "shape"),
    [
        ({"value": "___", "comments": "___"}, "masked", "none"),
        ({"value": "", "comments": ""}, "unknown", "none"),
        ({"value": "", "comments": "UNABLE TO REPORT."}, "unknown", "comment"),
        ({"value": "", "comments": "", "valuenum": "nan"}, "unknown", "number"),
    ],
)
def test_no_result_is_absent_with_a_reason(row: dict[str, str], code: str, shape: str) -> None:
    made = _observation(**({"valuenum": ""} | row))
    assert made["dataAbsentReason"]["coding"][0]["code"] == code
    assert not any(name.startswith("value") for name in made)
    assert truth_of(ROW | {"valuenum": ""} | row, ITEM).shape == shape


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
        ("A remark that is longer than any answer could be, and goes on and on for its own sake", None),
    ],
)
def test_answers_in_comments(comment: str, answer: str | None) -> None:
    assert commented_answer(comment) == answer


def test_the_truth_is_read_from_the_row_alone() -> None:
    truth = truth_of(ROW | {"comments": "1+*."}, ITEM)
    assert (truth.abnormal, truth.code, truth.interval, truth.starred, truth.label) == (
        True,
        "H",
        True,
        True,
        "Potassium",
    )
    plain = truth_of(ROW | {"flag": "", "ref_range_lower": "", "ref_range_upper": ""}, ITEM)
    assert (plain.abnormal, plain.code, plain.interval, plain.starred) == (False, "N", False, False)


def test_the_age_at_a_chart_time_is_the_anchor_age_and_the_years_since(tmp_path: Path) -> None:
    source = _source(tmp_path, [ROW])
    patient = next(render(source)).bundle["entry"][0]["resource"]
    assert patient["gender"] == "female"
    for year, age in ((2150, 50), (2157, 57)):
        for month in (1, 12):
            at = datetime(year, month, 28, tzinfo=UTC)
            assert int(age_years(birth(patient["birthDate"]), at) or 0) == age


def _rows(count: int, subjects: int) -> list[dict[str, str]]:
    return [
        ROW
        | {
            "labevent_id": str(number),
            "subject_id": str(100 + number % subjects),
            "specimen_id": str(number // 3),
            "charttime": f"2150-01-{1 + number // 3 % 28:02d} 06:00:00",
            "comments": 'a "quoted", one\nover two lines' if number % 5 == 0 else "",
        }
        for number in range(count)
    ]


def _bytes(rendered: list[Rendered]) -> dict[str, bytes]:
    return {one.name: encode(one.bundle) for one in rendered}


def test_a_large_table_goes_through_bucket_files_and_comes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(tmp_path, _rows(200, 17))
    whole = _bytes(list(render(source)))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("training.mimic_tables.IN_MEMORY", 30)
    monkeypatch.setattr("training.mimic_tables.BUCKETS", 5)
    rendered = render(source, scratch=scratch)
    first = next(rendered)
    assert any(scratch.iterdir())
    assert _bytes([first, *rendered]) == whole
    assert len(whole) == 17
    assert not any(scratch.iterdir())


def test_a_large_table_takes_the_memory_of_its_largest_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row | {"comments": f"{number} {'.' * 1000}"} for number, row in enumerate(_rows(24_000, 400))]
    table = find_table(_source(tmp_path, rows), "labevents")

    def peak(in_memory: int) -> int:
        monkeypatch.setattr("training.mimic_tables.IN_MEMORY", in_memory)
        tracemalloc.start()
        try:
            assert sum(len(rows) for _, rows in by_subject(table, tmp_path)) == 24_000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    monkeypatch.setattr("training.mimic_tables.BUCKETS", 20)
    # About a twentieth of the rows and the writers' buffers, 128 KiB a bucket, beside all of the rows. The first pass may make the
    # interpreter's table of interned texts grow, which in a process of many tests is larger than all of it.
    assert min(peak(in_memory=300) for _ in range(2)) * 2 < peak(in_memory=1_000_000)


def test_bucket_files_are_gone_when_the_reader_stops_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(tmp_path, _rows(60, 5))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("training.mimic_tables.IN_MEMORY", 10)
    arguments = ["--source", str(source), "--out", str(tmp_path / "out"), "--limit", "1", "--scratch", str(scratch)]
    assert main(arguments) == 0
    assert [file.suffix for file in (tmp_path / "out").iterdir()] == [".json"]
    assert not any(scratch.iterdir())


def test_one_bundle_per_specimen_holds_one_chart_time(tmp_path: Path) -> None:
    rows = _rows(30, 2)
    found = list(render(_source(tmp_path, rows), options=Options(per_specimen=True)))
    assert len({one.name for one in found}) == len(found) == 20
    for one in found:
        times = {entry["resource"]["effectiveDateTime"] for entry in one.bundle["entry"][1:]}
        assert len(times) == 1
    assert sorted(int(id) for one in found for id in one.truth) == list(range(30))


def test_too_many_results_for_one_bundle_are_split_in_time(tmp_path: Path) -> None:
    found = list(render(_source(tmp_path, _rows(25, 1)), options=Options(max_observations=10)))
    assert [one.name for one in found] == ["100-1", "100-2", "100-3"]
    times = [[entry["resource"]["effectiveDateTime"] for entry in one.bundle["entry"][1:]] for one in found]
    assert [len(part) for part in times] == [10, 10, 5]
    in_order = [time for part in times for time in part]
    assert in_order == sorted(in_order)


def test_bundle_and_truth_name_the_same_results(tmp_path: Path) -> None:
    one = next(render(_source(tmp_path, _rows(9, 1))))
    assert {entry["resource"]["id"] for entry in one.bundle["entry"][1:]} == set(one.truth)


def test_the_truth_table_is_written_beside_the_bundles(tmp_path: Path) -> None:
    source = _source(tmp_path, _rows(6, 2))
    out, truth = tmp_path / "out.ndjson.gz", tmp_path / "truth.csv"
    assert main(["--source", str(source), "--out", str(out), "--truth", str(truth)]) == 0
    with gzip.open(out, "rt") as lines:
        assert [json.loads(line)["entry"][0]["resource"]["id"] for line in lines] == ["100", "101"]
    table = list(csv.DictReader(truth.read_text().splitlines()))
    assert [row["labevent"] for row in table] == ["0", "2", "4", "1", "3", "5"]
    assert {(row["abnormal"], row["interval"], row["code"], row["shape"]) for row in table} == {
        ("1", "1", "H", "number")
    }


def test_the_command_renders_real_rows_that_both_readers_take(tmp_path: Path, shared_data: Path) -> None:
    out = tmp_path / "out.ndjson"
    labels = shared_data / "mimic-iii-demo/D_LABITEMS.csv.gz"
    source = shared_data / "mimic-iv-demo"
    arguments = ["--source", str(source), "--d-labitems", str(labels), "--out", str(out), "--limit", "2"]
    assert main(arguments) == 0
    bundles = out.read_bytes().splitlines()
    assert len(bundles) == 2
    for data in bundles:
        with uncollected():
            strict = Bundle.model_validate_json(data)
        intake = read(data)
        assert intake.observations == len(strict.entry) - 1
        assert len(intake.results) + len(intake.not_assessed) == intake.observations


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("d_labitems.csv", None, "d_labitems"),
        ("labevents.csv.gz", "labevent_id,subject_id\n1,2\n", "specimen_id"),
        ("labevents.csv.gz", ",".join(ROW) + "\n1,2\n", "cut short"),
        ("patients.csv", "subject_id\n1\n", "anchor_age"),
    ],
)
def test_what_is_wrong_with_a_source_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, said: str
) -> None:
    file = _source(tmp_path, [ROW]) / "hosp" / name
    if text is None:
        file.unlink()
    elif file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)
    assert main(["--source", str(tmp_path), "--out", str(tmp_path / "out.ndjson")]) == 2
    assert said in capsys.readouterr().err


def test_a_damaged_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _source(tmp_path, _rows(500, 3)) / "hosp" / "labevents.csv.gz"
    file.write_bytes(file.read_bytes()[:-200])
    assert main(["--source", str(tmp_path), "--out", str(tmp_path / "out.ndjson")]) == 2
    assert "labevents.csv.gz is damaged" in capsys.readouterr().err
