"""The events of subscriptions and what goes out for them, as steps of a database: each is one transaction.

waiting -> judged -> (outbox: due -> sent), or silent, or dead. An item that is taken is due again after LEASE, so that one whose
process died is taken by another; what it did before it died, it may do twice, and the receiver's key makes that once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from cds_service.records.database import Database
from cds_service.records.schema import dead_letters, events, outbox, subscriptions
from cds_service.subscription.notification import MAX_EVENTS, Event, Notification

LEASE = timedelta(minutes=2)
FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event to be judged; without ``focus`` it has to be asked for by its number."""

    id: int
    subscription: str
    epoch: int
    number: int
    attempts: int
    focus: str | None = None
    resource: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Due:
    """Something to be sent."""

    id: int
    event: int
    key: str
    attempts: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Received:
    """What a notification brought: events that are new, events known already, and numbers that never came."""

    new: int = 0
    known: int = 0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up."""

    id: int
    subscription: str
    number: int
    stage: str
    reason: str
    attempts: int
    at: datetime


def pause(attempts: int) -> timedelta:
    """How long to wait after so many tries: 2 s, 4 s, 8 s, … at most an hour."""
    doubled: int = 1 << min(max(attempts - 1, 0), 20)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


class Queue:
    """Over one database. Safe to use from several threads and replicas."""

    def __init__(self, database: Database, now: Callable[[], datetime], attempts: int) -> None:
        self._database, self._now, self._attempts = database, now, attempts

    def receive(self, notification: Notification) -> Received:
        """Stores a notification's events; when this returns they are there for good.

        An event that came before is passed over. Numbers that were left out are stored too, to be asked for: at most MAX_EVENTS
        at a time, the next notification goes on from there.
        """
        now = self._now()
        with self._database.writing() as connection:
            known = self._subscription(connection, notification, now)
            epoch, last = known
            rows: list[dict[str, Any]] = [
                _row(notification.subscription, epoch, one, now) for one in notification.events
            ]
            upto = max([last, *(one.number for one in notification.events), *_counted(notification)])
            came = {one.number for one in notification.events}
            upto = min(upto, last + MAX_EVENTS)
            lost = [number for number in range(last + 1, upto + 1) if number not in came]
            rows += [_row(notification.subscription, epoch, Event(number), now) for number in lost]
            new = sum(self._insert(connection, row) for row in rows[: len(notification.events)])
            missed = sum(self._insert(connection, row) for row in rows[len(notification.events) :])
            connection.execute(
                sa.update(subscriptions)
                .where(subscriptions.c.reference == notification.subscription)
                .values(last=upto, heard_at=now)
            )
        return Received(new, len(notification.events) - new, missed)

    def _subscription(self, connection: sa.Connection, notification: Notification, now: datetime) -> tuple[int, int]:
        """(epoch, last number) before this notification. What was before the first one heard is nobody's to miss."""
        table = subscriptions
        first = min((one.number for one in notification.events), default=None)
        start = first - 1 if first is not None else notification.count or 0
        row = {"reference": notification.subscription, "epoch": 0, "last": max(start, 0), "heard_at": now}
        connection.execute(self._upsert(connection, table).values(row).on_conflict_do_nothing())
        query = sa.select(table.c.epoch, table.c.last).where(table.c.reference == notification.subscription)
        epoch, last = connection.execute(query.with_for_update()).one()
        if notification.kind == "handshake" and (notification.count or 0) < last:
            epoch, last = epoch + 1, notification.count or 0
            connection.execute(
                sa.update(table).where(table.c.reference == notification.subscription).values(epoch=epoch, last=last)
            )
        return epoch, last

    def _upsert(self, connection: sa.Connection, table: sa.Table) -> Any:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        return insert(table)

    def _insert(self, connection: sa.Connection, row: dict[str, Any]) -> bool:
        statement = self._upsert(connection, events).values(row).on_conflict_do_nothing().returning(events.c.id)
        if connection.execute(statement).scalar_one_or_none() is not None:
            return True
        if row["focus"] is not None:  # its number was missed, and now it comes after all
            same = [events.c[name] == row[name] for name in ("subscription", "epoch", "number")]
            late = {name: row[name] for name in ("focus", "resource", "due_at")}
            which = sa.and_(*same, events.c.state == "waiting", events.c.focus.is_(None))
            connection.execute(sa.update(events).where(which).values(late))
        return False

    def take(self, most: int = 10) -> list[Waiting]:
        """Events that are due to be judged; nobody else gets them until LEASE has passed."""
        now = self._now()
        with self._database.writing() as connection:
            query = (
                sa.select(events)
                .where(events.c.state == "waiting", events.c.due_at <= now)
                .order_by(events.c.due_at, events.c.id)
                .limit(most)
                .with_for_update(skip_locked=True)
            )
            found = connection.execute(query).all()
            _lease(connection, events, [row.id for row in found], now)
        return [
            Waiting(
                row.id,
                row.subscription,
                row.epoch,
                row.number,
                row.attempts + 1,
                row.focus,
                None if row.resource is None else row.resource.encode(),
            )
            for row in found
        ]

    def judged(self, event: Waiting, key: str, body: bytes | None) -> None:
        """The event is judged; ``body`` is what to send for it, None where there is nothing to say. Both or neither."""
        now = self._now()
        with self._database.writing() as connection:
            done = connection.execute(
                sa.update(events)
                .where(events.c.id == event.id, events.c.state == "waiting")
                .values(state="silent" if body is None else "judged", focus=None, resource=None)
            )
            if body is not None and done.rowcount == 1:
                row = {"event": event.id, "key": key, "body": body.decode(), "attempts": 0, "due_at": now}
                connection.execute(sa.insert(outbox).values(row))

    def not_judged(self, event: Waiting, reason: str, *, again: bool = True) -> bool:
        """The event could not be judged: it is due later, or given up after its last try. Says whether it was given up."""
        now = self._now()
        with self._database.writing() as connection:
            if again and event.attempts < self._attempts:
                values = {"attempts": event.attempts, "due_at": now + pause(event.attempts)}
                connection.execute(sa.update(events).where(events.c.id == event.id).values(values))
                return False
            connection.execute(sa.update(events).where(events.c.id == event.id).values(state="dead"))
            _bury(connection, event.id, "judge", reason, event.attempts, now)
            return True

    def due(self, most: int = 10) -> list[Due]:
        """What is due to be sent; nobody else gets it until LEASE has passed."""
        now = self._now()
        with self._database.writing() as connection:
            given_up = sa.exists().where(dead_letters.c.event == outbox.c.event)
            query = (
                sa.select(outbox)
                .where(outbox.c.sent_at.is_(None), outbox.c.due_at <= now, ~given_up)
                .order_by(outbox.c.due_at, outbox.c.id)
                .limit(most)
                .with_for_update(skip_locked=True)
            )
            found = connection.execute(query).all()
            _lease(connection, outbox, [row.id for row in found], now)
        return [Due(row.id, row.event, row.key, row.attempts + 1, (row.body or "").encode()) for row in found]

    def sent(self, item: Due) -> None:
        """It has arrived."""
        with self._database.writing() as connection:
            values = {"sent_at": self._now(), "body": None, "attempts": item.attempts}
            connection.execute(sa.update(outbox).where(outbox.c.id == item.id).values(values))

    def not_sent(self, item: Due, reason: str, *, again: bool) -> bool:
        """It has not arrived: it is due later, or given up. Says whether it was given up."""
        now = self._now()
        with self._database.writing() as connection:
            last = not again or item.attempts >= self._attempts
            values = {"attempts": item.attempts, "due_at": now + pause(item.attempts)}
            connection.execute(sa.update(outbox).where(outbox.c.id == item.id).values(values))
            if last:
                _bury(connection, item.event, "send", reason, item.attempts, now)
        return last

    def next_due(self) -> datetime | None:
        """When something is due next."""
        with self._database.reading() as connection:
            given_up = sa.exists().where(dead_letters.c.event == outbox.c.event)
            first = connection.execute(
                sa.select(sa.func.min(events.c.due_at, type_=events.c.due_at.type)).where(events.c.state == "waiting")
            ).scalar_one_or_none()
            second = connection.execute(
                sa.select(sa.func.min(outbox.c.due_at, type_=outbox.c.due_at.type)).where(
                    outbox.c.sent_at.is_(None), ~given_up
                )
            ).scalar_one_or_none()
        return min((one for one in (first, second) if one is not None), default=None)


def list_dead(database: Database) -> list[DeadLetter]:
    """The dead letters, the oldest first."""
    with database.reading() as connection:
        query = (
            sa.select(dead_letters, events.c.subscription, events.c.number)
            .select_from(sa.join(dead_letters, events))
            .order_by(dead_letters.c.id)
        )
        return [
            DeadLetter(row.id, row.subscription, row.number, row.stage, row.reason, row.attempts, row.at)
            for row in connection.execute(query)
        ]


def retry_dead(database: Database, ids: Sequence[int] | None) -> int:
    """Makes dead letters due again from the start, all of them where ``ids`` is None; returns how many.

    They are due since they were given up, by the clock of the service: that of whoever calls this may be ahead of it.
    """
    with database.writing() as connection:
        which = sa.true() if ids is None else dead_letters.c.id.in_(ids)
        found = connection.execute(sa.select(dead_letters).where(which)).all()
        for row in found:
            if row.stage == "judge":
                values = {"state": "waiting", "attempts": 0, "due_at": row.at}
                connection.execute(sa.update(events).where(events.c.id == row.event).values(values))
            else:
                again = {"attempts": 0, "due_at": row.at}
                connection.execute(sa.update(outbox).where(outbox.c.event == row.event).values(again))
            connection.execute(sa.delete(dead_letters).where(dead_letters.c.id == row.id))
    return len(found)


def _counted(notification: Notification) -> list[int]:
    return [] if notification.count is None else [notification.count]


def _row(subscription: str, epoch: int, event: Event, now: datetime) -> dict[str, Any]:
    return {
        "subscription": subscription,
        "epoch": epoch,
        "number": event.number,
        "state": "waiting",
        "focus": event.focus,
        "resource": None if event.resource is None else event.resource.decode(),
        "attempts": 0,
        "due_at": now,
        "received_at": now,
    }


def _lease(connection: sa.Connection, table: sa.Table, ids: list[int], now: datetime) -> None:
    if ids:
        connection.execute(
            sa.update(table).where(table.c.id.in_(ids)).values(due_at=now + LEASE, attempts=table.c.attempts + 1)
        )


def _bury(connection: sa.Connection, event: int, stage: str, reason: str, attempts: int, now: datetime) -> None:
    row = {"event": event, "stage": stage, "reason": reason[:256], "attempts": attempts, "at": now}
    connection.execute(sa.insert(dead_letters).values(row))
