"""One answer as it is remembered, by the id that it carried: no name, no value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cds_service.records.report import last_answers
from cds_service.records.schema import card_flags, cards, evaluations

FIELDS = (
    "patient",
    "requester",
    "service_version",
    "model",
    "model_version",
    "adapter",
    "prompt_version",
    "catalog_version",
    "degraded",
    "language",
    "observations",
    "not_assessed",
)


@dataclass(frozen=True, slots=True)
class SentCard:
    """A card of the answer. ``flags`` are (analyte, code, who says so, probability); ``outcome`` what was done with it."""

    uuid: str
    rule: str
    indicator: str
    flags: tuple[tuple[str, str, str, float | None], ...]
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """``facts`` hold each of FIELDS; patient and requester are pseudonyms."""

    at: datetime
    facts: dict[str, Any]
    cards: tuple[SentCard, ...]


def find(connection: sa.Connection, audit: str) -> Answer | None:
    """The answer that carried this auditId; None where there is none (any more)."""
    row = connection.execute(sa.select(evaluations).where(evaluations.c.audit == audit)).one_or_none()
    if row is None:
        return None
    last = last_answers().subquery()
    query = (
        sa.select(cards, last.c.outcome)
        .select_from(sa.outerjoin(cards, last, last.c.card == cards.c.uuid))
        .where(cards.c.evaluation == row.id)
    )
    sent = [
        SentCard(card.uuid, card.rule, card.indicator, _flags(connection, card.uuid), card.outcome)
        for card in connection.execute(query).all()
    ]
    return Answer(row.at, {name: getattr(row, name) for name in FIELDS}, tuple(sent))


def _flags(connection: sa.Connection, card: str) -> tuple[tuple[str, str, str, float | None], ...]:
    query = sa.select(card_flags).where(card_flags.c.card == card).order_by(card_flags.c.id)
    return tuple((row.analyte, row.code, row.source, row.probability) for row in connection.execute(query))
