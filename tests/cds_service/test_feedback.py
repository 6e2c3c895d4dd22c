"""Feedback: all or nothing, once, matched with the cards that went out, and there after a restart."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cds_service.feedback import MAX_COMMENT, MAX_ENTRIES, Feedback, FeedbackStore
from fhir_adapter.errors import FeedbackError

GOOD = Feedback(card="c1", outcome="overridden", outcome_at="2026-01-31T12:00:00Z", comment="seen")
NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


def _rows(path: Path) -> list[tuple[object, ...]]:
    database = sqlite3.connect(path)
    try:
        return database.execute(
            "SELECT card, outcome, suggestions, comment, received_at, matched FROM feedback"
        ).fetchall()
    finally:
        database.close()


def test_it_is_stored_with_whether_the_card_is_known_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    first = FeedbackStore(path, lambda: NOW)
    first.issued(["c1"])
    first.close()
    store = FeedbackStore(path, lambda: NOW)
    accepted = Feedback("c2", "accepted", suggestions=("s1", "s2"), outcome_at="2026-01-31T12:00:00.5+01:00")
    assert store.add([GOOD, accepted]) == ["c2"]
    assert store.count() == 2
    store.close()
    assert _rows(path) == [
        ("c1", "overridden", "[]", "seen", "2026-02-01T12:00:00+00:00", 1),
        ("c2", "accepted", '["s1", "s2"]', None, "2026-02-01T12:00:00+00:00", 0),
    ]


def test_a_repeat_of_a_call_is_stored_once() -> None:
    store = FeedbackStore(None)
    store.add([GOOD])
    store.add([GOOD, replace(GOOD, outcome_at="2026-01-31T13:00:00Z")])
    assert store.count() == 2
    store.close()


def test_the_oldest_cards_are_forgotten() -> None:
    store = FeedbackStore(None, known=3)
    for number in range(5):
        store.issued([f"c{number}"])
    entries = [replace(GOOD, card=f"c{number}") for number in range(5)]
    assert store.add(entries) == ["c0", "c1"]
    store.close()


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        ({"card": ""}, "card"),
        ({"card": "x" * 300}, "card"),
        ({"outcome": ""}, "outcome"),
        ({"outcome": "ignored"}, "outcome"),
        ({"outcome": "accepted"}, "acceptedSuggestions"),
        ({"outcome": "accepted", "suggestions": ("",)}, "acceptedSuggestions"),
        ({"outcome": "accepted", "suggestions": ("s",) * 51}, "acceptedSuggestions"),
        ({"outcome_at": ""}, "outcomeTimestamp"),
        ({"outcome_at": "2026-01-31"}, "outcomeTimestamp"),
        ({"outcome_at": "2026-01-31T12:00:00"}, "outcomeTimestamp"),
        ({"outcome_at": "2026-13-31T12:00:00Z"}, "outcomeTimestamp"),
        ({"outcome_at": "2026-01-31T12:00:00Z\n"}, "outcomeTimestamp"),
        ({"outcome_at": "٢٠٢٦-01-31T12:00:00Z"}, "outcomeTimestamp"),
        ({"reason_display": "x" * 300}, "overrideReason.reason"),
        ({"comment": "x" * (MAX_COMMENT + 1)}, "overrideReason.userComment"),
    ],
)
def test_one_fault_keeps_all_out_and_says_where(fault: dict[str, object], path: str) -> None:
    store = FeedbackStore(None)
    with pytest.raises(FeedbackError) as caught:
        store.add([GOOD, GOOD, replace(GOOD, **fault)])  # type: ignore[arg-type]
    assert [violation.path for violation in caught.value.violations] == [f"feedback[2].{path}"]
    assert store.count() == 0
    store.close()


def test_all_faults_are_said_together() -> None:
    store = FeedbackStore(None)
    with pytest.raises(FeedbackError) as caught:
        store.add([Feedback("", ""), replace(GOOD, outcome="")])
    assert [violation.path for violation in caught.value.violations] == [
        "feedback[0].card",
        "feedback[0].outcome",
        "feedback[0].outcomeTimestamp",
        "feedback[1].outcome",
    ]
    store.close()


@pytest.mark.parametrize("count", [0, MAX_ENTRIES + 1])
def test_none_and_too_many_are_refused(count: int) -> None:
    store = FeedbackStore(None)
    with pytest.raises(FeedbackError):
        store.add([GOOD] * count)
    store.close()


def test_a_store_that_fails_costs_the_match_never_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    store = FeedbackStore(None)
    store.close()
    store.issued(["c1"])
    assert "ProgrammingError" in caplog.text
    assert "c1" not in caplog.text
