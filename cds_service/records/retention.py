"""Deletes what is older than its time, in small transactions, so that nobody waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from cds_service.records import schema
from cds_service.records.database import Database

STEP = 500
"""Rows deleted in one transaction."""
IN_MEMORY = 20_000
"""Most answers, entries of feedback and cards held back that are kept in memory, whatever their age."""


def purge(database: Database, now: datetime, keep_days: float, *, in_memory: bool = False) -> int:
    """Deletes records older than ``keep_days``, events of subscriptions with what waits for them too, and expired tokens; returns
    how many rows (with what hangs on them: more).

    Cards that feedback answers stay as long as that feedback.
    """
    before = now - timedelta(days=keep_days)
    feedback, evaluations, held = schema.feedback, schema.evaluations, schema.held_back
    answered = sa.exists().where(schema.cards.c.evaluation == evaluations.c.id, feedback.c.card == schema.cards.c.uuid)
    events = schema.events
    deleted = (
        _delete(database, feedback.c.id, feedback.c.received_at < before)
        + _delete(database, evaluations.c.id, sa.and_(evaluations.c.at < before, ~answered))
        + _delete(database, held.c.id, held.c.at < before)
        + _delete(database, events.c.id, events.c.received_at < before)
        + _delete(database, schema.replay.c.token, schema.replay.c.expires_at < now)
    )
    if in_memory:
        for column in (feedback.c.id, evaluations.c.id, held.c.id):
            newest = sa.select(sa.func.max(column)).scalar_subquery()
            deleted += _delete(database, column, column <= newest - IN_MEMORY)
    return deleted


def _delete(database: Database, key: sa.Column[object], which: sa.ColumnElement[bool]) -> int:
    total = 0
    while True:
        with database.writing() as connection:
            some = sa.select(key).where(which).limit(STEP)
            found = list(connection.scalars(some))
            if found:
                connection.execute(sa.delete(key.table).where(key.in_(found)))
        total += len(found)
        if len(found) < STEP:
            return total
