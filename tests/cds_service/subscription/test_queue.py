"""The steps of the database, on each that it may be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cds_service.commands import records
from cds_service.config import Settings
from cds_service.records import retention
from cds_service.records.database import Database, open_database
from cds_service.subscription.notification import MAX_EVENTS, read
from cds_service.subscription.queue import LEASE, Queue, Received, list_dead, retry_dead
from fhir_adapter.errors import ConfigError
from tests.cds_service.records.conftest import Clock
from tests.cds_service.subscription.conftest import notify


@pytest.fixture
def database(where: dict[str, Any]) -> Iterator[Database]:
    opened = open_database(Settings(**where), upgrade=True)
    yield opened
    opened.close()


@pytest.fixture
def queue(database: Database, clock: Clock) -> Queue:
    return Queue(database, clock, attempts=2)


def receive(queue: Queue, *given: Any, **more: Any) -> Received:
    return queue.receive(read(notify(*given, **more), max_bytes=1_000_000, max_depth=64))


EVENT = "event-notification"


def test_an_event_is_new_once(queue: Queue) -> None:
    assert receive(queue, EVENT, {5: "Observation/a"}) == Received(new=1)
    assert receive(queue, EVENT, {5: "Observation/a", 6: "Observation/b"}) == Received(new=1, known=1)
    assert [(one.number, one.focus) for one in queue.take()] == [(5, "Observation/a"), (6, "Observation/b")]
    assert queue.take() == []


def test_a_gap_is_missed_and_what_comes_late_fills_it(queue: Queue) -> None:
    receive(queue, "handshake", count=0)
    assert receive(queue, EVENT, {3: "Observation/c"}) == Received(new=1, missed=2)
    assert receive(queue, EVENT, {2: "Observation/b"}) == Received(known=1)
    assert {one.number: one.focus for one in queue.take()} == {1: None, 2: "Observation/b", 3: "Observation/c"}


def test_a_heartbeat_that_counts_further_tells_of_missed_events(queue: Queue) -> None:
    receive(queue, "handshake", count=2)
    assert receive(queue, "heartbeat", count=2) == Received()
    assert receive(queue, "heartbeat", count=4) == Received(missed=2)
    assert receive(queue, "heartbeat", count=4) == Received()


def test_a_count_far_ahead_is_caught_up_in_steps(queue: Queue) -> None:
    receive(queue, "handshake", count=0)
    assert receive(queue, "heartbeat", count=10**17) == Received(missed=MAX_EVENTS)
    assert receive(queue, "heartbeat", count=MAX_EVENTS + 3) == Received(missed=3)


def test_a_handshake_with_a_lower_count_begins_anew(queue: Queue) -> None:
    receive(queue, EVENT, {5: "Observation/a"})
    receive(queue, "handshake", count=0)
    assert receive(queue, EVENT, {1: "Observation/b"}) == Received(new=1)
    assert receive(queue, "handshake", count=1) == Received()
    assert receive(queue, EVENT, {1: "Observation/b"}) == Received(known=1)


def test_what_a_dead_process_took_is_due_again(queue: Queue, clock: Clock) -> None:
    receive(queue, EVENT, {1: "Observation/a"})
    (first,) = queue.take()
    clock.now += LEASE
    (again,) = queue.take()
    queue.judged(again, "key", b"{}")
    queue.judged(first, "other", b"{}")  # the first lived after all
    assert [one.key for one in queue.due()] == ["key"]


def test_tries_end_in_a_dead_letter_that_can_be_tried_again(queue: Queue, database: Database, clock: Clock) -> None:
    receive(queue, EVENT, {1: "Observation/a"})
    (event,) = queue.take()
    assert not queue.not_judged(event, "no answer")
    assert queue.take() == []
    clock.move(seconds=2)
    (event,) = queue.take()
    assert queue.not_judged(event, "no answer")
    clock.move(days=1)
    assert queue.take() == []
    assert queue.next_due() is None
    (dead,) = list_dead(database)
    assert (dead.number, dead.stage, dead.reason, dead.attempts) == (1, "judge", "no answer", 2)
    assert retry_dead(database, [dead.id]) == 1
    (event,) = queue.take()
    queue.judged(event, "key", b"{}")
    (item,) = queue.due()
    assert queue.not_sent(item, "answered 400", again=False)
    assert [one.stage for one in list_dead(database)] == ["send"]
    assert queue.next_due() is None
    retry_dead(database, None)
    (item,) = queue.due()
    queue.sent(item)
    clock.move(days=1)
    assert queue.due() == []
    assert list_dead(database) == []


def test_events_go_with_all_that_hangs_on_them(queue: Queue, database: Database, clock: Clock) -> None:
    receive(queue, EVENT, {1: "Observation/a", 2: "Observation/b"})
    first, second = queue.take()
    queue.judged(first, "key", b"{}")
    queue.not_judged(second, "x", again=False)
    clock.move(days=2)
    assert retention.purge(database, clock(), 1.0) == 2
    assert queue.due() == []
    assert list_dead(database) == []


def test_the_commands_list_and_retry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(records=str(tmp_path / "r.sqlite3"))
    database = open_database(settings)
    queue = Queue(database, lambda: datetime.now(UTC), attempts=1)
    receive(queue, EVENT, {7: "Observation/secret"})
    queue.not_judged(queue.take()[0], "no answer")
    records.show_dead_letters(settings)
    shown = capsys.readouterr().out
    assert "Subscription/s\t7\tjudge\t1\tno answer" in shown
    assert "secret" not in shown
    with pytest.raises(ConfigError) as refused:
        records.retry_dead_letters(settings, [99])
    assert "no dead letter 99" in refused.value.violations[0].description
    records.retry_dead_letters(settings, None)
    records.show_dead_letters(settings)
    assert capsys.readouterr().out == "due again: 1\nno dead letters\n"
    assert [event.number for event in queue.take()] == [7]
    database.close()
