"""Feedback: all or nothing, once, matched with the cards that went out, and there after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cds_service.config import Settings
from cds_service.pipeline import Evaluation
from cds_service.records import schema
from cds_service.records.database import open_database
from cds_service.records.feedback import MAX_COMMENT, MAX_ENTRIES, Feedback
from cds_service.records.store import Records
from fhir_adapter.errors import FeedbackError, RecordsUnavailable
from tests.cds_service.records.conftest import NOW, Clock, send

GOOD = Feedback(card="c1", outcome="overridden", outcome_at="2026-01-31T12:00:00Z", comment="seen")


@pytest.fixture
def store() -> Iterator[Records]:
    records = Records(Settings(), lambda: NOW)
    yield records
    records.close()


def _count(records: Records, table: sa.Table = schema.feedback) -> int:
    with records.database.reading() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_it_is_stored_with_its_card_also_after_a_restart(
    where: dict[str, Any], judge: Callable[..., Evaluation], clock: Clock
) -> None:
    settings = Settings(**({"records": None} | where))
    first = Records(settings, clock)
    (card, *_) = send(first, judge("02-hyperkalaemia-aki")).cards
    if settings.records is not None:
        first.close()
        store = Records(settings, clock)
    else:
        store = first
    accepted = Feedback("c2", "accepted", suggestions=("s1", "s2"), outcome_at="2026-01-31T12:00:00.5+01:00")
    assert store.add_feedback([replace(GOOD, card=card.uuid), accepted]) == ["c2"]
    with store.database.reading() as connection:
        joined = sa.outerjoin(schema.feedback, schema.cards, schema.feedback.c.card == schema.cards.c.uuid)
        found = connection.execute(
            sa.select(
                schema.feedback.c.outcome,
                schema.feedback.c.suggestions,
                schema.feedback.c.received_at,
                schema.cards.c.rule,
            )
            .select_from(joined)
            .order_by(schema.feedback.c.id)
        ).all()
        said = connection.execute(sa.select(schema.comments.c.text)).scalars().all()
    assert [tuple(row) for row in found] == [
        ("overridden", [], NOW, "critical-result"),
        ("accepted", ["s1", "s2"], NOW, None),
    ]
    assert said == ["seen"]
    store.close()


def test_a_repeat_of_a_call_is_stored_once(where: dict[str, Any]) -> None:
    store = Records(Settings(**where))
    store.add_feedback([GOOD, GOOD])
    store.add_feedback([GOOD, replace(GOOD, outcome_at="2026-01-31T13:00:00Z", comment="")])
    assert (_count(store), _count(store, schema.comments)) == (2, 1)
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
def test_one_fault_keeps_all_out_and_says_where(store: Records, fault: dict[str, object], path: str) -> None:
    with pytest.raises(FeedbackError) as caught:
        store.add_feedback([GOOD, GOOD, replace(GOOD, **fault)])  # type: ignore[arg-type]
    assert [violation.path for violation in caught.value.violations] == [f"feedback[2].{path}"]
    assert _count(store) == 0


def test_all_faults_are_said_together(store: Records) -> None:
    with pytest.raises(FeedbackError) as caught:
        store.add_feedback([Feedback("", ""), replace(GOOD, outcome="")])
    assert [violation.path for violation in caught.value.violations] == [
        "feedback[0].card",
        "feedback[0].outcome",
        "feedback[0].outcomeTimestamp",
        "feedback[1].outcome",
    ]


@pytest.mark.parametrize("count", [0, MAX_ENTRIES + 1])
def test_none_and_too_many_are_refused(store: Records, count: int) -> None:
    with pytest.raises(FeedbackError):
        store.add_feedback([GOOD] * count)


def test_a_store_that_fails_costs_the_match_never_the_answer(
    caplog: pytest.LogCaptureFixture, judge: Callable[..., Evaluation]
) -> None:
    store = Records(Settings(), lambda: NOW)
    evaluation = judge("02-hyperkalaemia-aki")
    with store.database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE evaluations RENAME TO gone"))
    sent = send(store, evaluation, user="Practitioner/1").cards
    assert [card.uuid for card in sent] == [card.uuid for card in evaluation.cards]
    store.flush()
    assert store.lost == 1
    assert "OperationalError" in caplog.text
    assert evaluation.cards[0].uuid not in caplog.text
    store.close()


def test_feedback_that_can_not_be_stored_is_an_error_never_a_silence(
    store: Records, caplog: pytest.LogCaptureFixture
) -> None:
    with store.database.writing() as connection:
        connection.execute(sa.text("ALTER TABLE comments RENAME TO gone"))
    with pytest.raises(RecordsUnavailable):
        store.add_feedback([GOOD])
    assert "OperationalError" in caplog.text
    assert "seen" not in caplog.text
    with store.database.reading() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM feedback")).scalar_one() == 0


def test_an_answer_is_durable_before_it_is_acknowledged(tmp_path: Path) -> None:
    """Another process sees it at once, although the store that took it was never closed."""
    settings = Settings(records=str(tmp_path / "r.sqlite3"))
    store = Records(settings)
    store.add_feedback([GOOD])
    other = open_database(settings)
    with other.reading() as connection:
        assert connection.execute(sa.select(schema.feedback.c.card)).scalars().all() == ["c1"]
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
    other.close()
    store.close()
