"""Override rates and exports, from answers of the real pipeline in a real database; and the way back into training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cds_service.cards import OVERRIDE_SYSTEM
from cds_service.cli import app
from cds_service.config import Settings
from cds_service.pipeline import Evaluation
from cds_service.records import export as exports
from cds_service.records.feedback import Feedback
from cds_service.records.report import Line, report
from cds_service.records.store import Records
from fhir_adapter.prompt import PROMPT_VERSION, SLOT
from tests.cds_service.records.conftest import Clock, send
from training import build, from_feedback
from training.examples import DataError, read
from training.split import split_of

AT = "2026-02-01T12:00:00Z"
FIRST, SECOND = "04-microcytic-anaemia", "13-trend"


def _answer(card: str, outcome: str, reason: str = "", at: str = AT, comment: str = "") -> Feedback:
    suggestions = ("s1",) if outcome == "accepted" else ()
    return Feedback(card, outcome, suggestions, reason, OVERRIDE_SYSTEM if reason else "", "", comment, at)


def _by_name(lines: tuple[Line, ...]) -> dict[str, tuple[int, int, int]]:
    return {line.name: (line.sent, line.accepted, line.overridden) for line in lines}


def test_rates_by_rule_analyte_and_model(where: dict[str, Any], judge: Callable[..., Evaluation], clock: Clock) -> None:
    store = Records(Settings(**where), clock)
    sent = [send(store, judge(FIRST)).cards for _ in range(3)]
    patterned = [card for cards in sent for card in cards if card.pattern]
    pattern = patterned[0].pattern or ""
    store.add_feedback([_answer(patterned[0].uuid, "overridden", "already-known")])
    clock.move(hours=1)
    store.add_feedback(
        [
            _answer(patterned[0].uuid, "overridden", "not-relevant", "2026-02-01T13:00:00Z"),  # the last one counts
            _answer(patterned[1].uuid, "accepted"),
            _answer("unknown", "overridden"),
        ]
    )
    with store.database.reading() as connection:
        found = report(connection)
        later = report(connection, clock.now)
    store.close()
    assert found.all.sent == sum(len(cards) for cards in sent)
    assert (found.all.accepted, found.all.overridden, found.unmatched) == (1, 1, 1)
    assert found.all.override_rate == 0.5
    assert _by_name(found.rules)[pattern] == (3, 1, 1)
    line = next(line for line in found.rules if line.name == pattern)
    assert line.reasons == {"not-relevant": 1}
    assert _by_name(found.analytes)["haemoglobin"] == (3, 1, 1)
    assert _by_name(found.models) == {"rules alone": (found.all.sent, 1, 1)}
    assert [one.override_rate for one in found.rules if one.name != pattern] == [None]
    assert (later.all.sent, later.rules) == (0, ())


def test_an_export_trains_with_the_prompt_as_it_was_served(
    where: dict[str, Any], judge: Callable[..., Evaluation], clock: Clock, tmp_path: Path
) -> None:
    store = Records(Settings(**where), clock)
    evaluation = send(store, judge(FIRST, keep_prompts=True))
    bare = send(store, judge(SECOND))
    answers = [_answer(card.uuid, "overridden", "already-known", comment="ZQXJ") for card in evaluation.cards]
    store.add_feedback([*answers, _answer(bare.cards[0].uuid, "overridden", "treatment-underway")])
    tally = exports.Tally()
    file = tmp_path / "f.ndjson"
    with store.database.reading() as connection:
        file.write_bytes(b"".join(exports.training(connection, tally)))
        rows = [json.loads(line) for line in exports.rows(connection)]
        commented = [json.loads(line) for line in exports.rows(connection, with_comments=True)]
    store.close()
    assert tally.without_prompt > 0
    ((split, example),) = from_feedback.examples(file)
    assert split == split_of(example.group)
    assert example.prompt == evaluation.kept_prompts[0].text
    assert tally.labels == len(example.slots)
    abnormal = {flag.subject.series: flag.code for flag in evaluation.verdict.flags if flag.abnormal}
    assert {slot.test: slot.label for slot in example.slots} == abnormal
    for slot in example.slots:
        assert example.prompt[: slot.end].endswith(SLOT)
    text = file.read_text() + json.dumps(rows)
    assert evaluation.patient is not None
    for secret in ("ZQXJ", evaluation.patient, evaluation.patient.rpartition("/")[2]):
        assert secret not in text
    assert [row["rule"] for row in rows[: len(answers)]] == [row["rule"] for row in commented[: len(answers)]]
    assert {row.get("comment") for row in commented[: len(answers)]} == {"ZQXJ"}


@pytest.mark.parametrize(
    ("outcome", "reason", "system", "label"),
    [
        ("accepted", "", "", "code"),
        ("overridden", "already-known", OVERRIDE_SYSTEM, "code"),
        ("overridden", "treatment-underway", "", "code"),
        ("overridden", "flag-wrong", OVERRIDE_SYSTEM, "N"),
        ("overridden", "flag-wrong", "https://example.org/reasons", None),
        ("overridden", "expected-for-patient", OVERRIDE_SYSTEM, None),
        ("overridden", "sample-problem", OVERRIDE_SYSTEM, None),
        ("overridden", "", "", None),
    ],
)
def test_what_an_answer_says_of_a_flag(
    judge: Callable[..., Evaluation], clock: Clock, outcome: str, reason: str, system: str, label: str | None
) -> None:
    store = Records(Settings(), clock)
    evaluation = send(store, judge("28-lone-observation", keep_prompts=True))
    (card,) = evaluation.cards
    (index,) = card.flags
    suggestions = ("s",) if outcome == "accepted" else ()
    store.add_feedback([Feedback(card.uuid, outcome, suggestions, reason, system, outcome_at=AT)])
    with store.database.reading() as connection:
        lines = [json.loads(line) for line in exports.training(connection, exports.Tally())]
    store.close()
    wanted = evaluation.verdict.flags[index].code if label == "code" else label
    assert [slot[1] for line in lines for slot in line["slots"]] == ([wanted] if wanted else [])


def test_wrong_said_of_many_results_labels_none_and_contradictions_are_left_out(
    judge: Callable[..., Evaluation], clock: Clock
) -> None:
    store = Records(Settings(), clock)
    evaluation = send(store, judge(FIRST, keep_prompts=True))
    assert all(len([i for i in card.flags if evaluation.verdict.flags[i].abnormal]) > 1 for card in evaluation.cards)
    store.add_feedback([_answer(card.uuid, "overridden", "flag-wrong") for card in evaluation.cards])
    with store.database.reading() as connection:
        assert list(exports.training(connection, exports.Tally())) == []
    store.close()


def test_files_of_another_origin_are_refused(tmp_path: Path) -> None:
    good = {
        "source": "feedback", "group": "g", "case": "given", "version": PROMPT_VERSION, "prompt": f"a{SLOT}\n",
        "slots": [[1 + len(SLOT), "H", "feedback", "potassium", True]],
    }  # fmt: skip
    file = tmp_path / "f.ndjson"
    for change, why in (
        ({"source": "fhir"}, "no export of feedback"),
        ({"slots": [[4, "H", "flag", "x", True]]}, "no export of feedback"),
        ({"version": "0"}, "version 0"),
        ({"case": "other"}, "none of given"),
        ({"slots": [[1, "H", "feedback", "x", True]]}, "no slot"),
    ):
        file.write_text(json.dumps(good) + "\n" + json.dumps(good | change) + "\n")
        with pytest.raises(DataError, match=why) as caught:
            list(from_feedback.examples(file))
        assert "line 2" in str(caught.value)
    file.write_text("")
    with pytest.raises(DataError, match="keep_prompts"):
        list(from_feedback.examples(file))


def test_a_dataset_takes_it_in(tmp_path: Path) -> None:
    file = tmp_path / "f.ndjson"
    line = {
        "source": "feedback", "group": "g", "case": "given", "version": PROMPT_VERSION, "prompt": f"a{SLOT}\n",
        "slots": [[1 + len(SLOT), "H", "feedback", "potassium", True]],
    }  # fmt: skip
    file.write_text(json.dumps(line) + "\n")
    out = tmp_path / "data"
    assert build.main(["--out", str(out), "--simulate", "200", "--feedback", str(file)]) == 0
    split = split_of("g")
    found = [one for one in read(out / f"{split}.ndjson.gz") if one.source == "feedback"]
    assert [slot.origin for one in found for slot in one.slots] == ["feedback"]
    manifest = json.loads((out / "dataset.json").read_text())
    assert manifest["splits"][split]["feedback"]["label_origins"] == {"feedback": 1}


def test_the_commands(tmp_path: Path, judge: Callable[..., Evaluation]) -> None:
    records = str(tmp_path / "r.sqlite3")
    store = Records(Settings(records=records))
    evaluation = send(store, judge(FIRST, keep_prompts=True))
    store.add_feedback([_answer(card.uuid, "overridden", "already-known") for card in evaluation.cards])
    store.close()
    run = CliRunner().invoke
    text = run(app, ["feedback", "report", "--records", records])
    assert text.exit_code == 0
    assert "overridden (100%)" in text.output
    assert "already-known" in text.output
    shown = run(app, ["feedback", "report", "--records", records, "--days", "1", "--format", "json"])
    assert json.loads(shown.stdout)["all"]["overrideRate"] == 1.0
    out = tmp_path / "f.ndjson"
    exported = run(app, ["feedback", "export", "--records", records, "--out", str(out)])
    assert exported.exit_code == 0
    assert "1 examples" in exported.stderr
    assert out.stat().st_mode & 0o077 == 0
    assert len(list(from_feedback.examples(out))) == 1
    assert run(app, ["feedback", "export", "--records", records, "--comments"]).exit_code == 2
    assert run(app, ["feedback", "export", "--records", records, "--out", str(tmp_path / "no" / "f")]).exit_code == 1
    upgraded = run(app, ["records", "upgrade", "--records", records])
    assert upgraded.exit_code == 0
    assert "at version" in upgraded.output


@pytest.mark.parametrize("command", [["feedback", "report"], ["feedback", "export"], ["records", "upgrade"]])
def test_without_records_it_is_said(command: list[str], tmp_path: Path) -> None:
    run = CliRunner().invoke
    nothing = run(app, command)
    assert nothing.exit_code == 78
    assert "records: unset" in nothing.stderr
    if command[0] == "feedback":
        missing = run(app, [*command, "--records", str(tmp_path / "none")])
        assert missing.exit_code == 78
        assert "there is no file" in missing.stderr
        assert not (tmp_path / "none").exists()
