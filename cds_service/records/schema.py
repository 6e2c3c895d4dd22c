"""The tables as they are now. How they came to be stands in ``migrations``; a test holds the two together.

Nobody is named: ``patient``, ``requester`` and ``finding`` are pseudonyms (:mod:`cds_service.pseudonym`). Values of a
patient stand in three places only: ``prompts.text`` (with ``keep_prompts``), ``comments.text``, and what waits to be sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A row number: SQLite counts up by itself only in an INTEGER."""


class Moment(TypeDecorator[datetime]):
    """A point in time, always with a zone: UTC in SQLite, which keeps none."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        moved = value.astimezone(UTC)
        return moved.replace(tzinfo=None) if dialect.name == "sqlite" else moved

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("audit", sa.String(32), index=True, unique=True),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Column("patient", sa.String(32), index=True),
    sa.Column("requester", sa.String(32)),
    sa.Column("service_version", sa.String(64), nullable=False),
    sa.Column("model", sa.String(256)),
    sa.Column("model_version", sa.String(256)),
    sa.Column("adapter", sa.String(256)),
    sa.Column("prompt_version", sa.String(32)),
    sa.Column("catalog_version", sa.String(64)),
    sa.Column("degraded", sa.String(256)),
    sa.Column("language", sa.String(8)),
    sa.Column("observations", sa.Integer),
    sa.Column("not_assessed", sa.Integer),
)
"""One for each answer; in memory only for those that held a card. ``audit`` is the auditId that the answer carries."""

prompts = sa.Table(
    "prompts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("evaluation", Id, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("sex", sa.String(8)),
    sa.Column("age", sa.Float),
)
"""What the model was (or would have been) shown; only with ``keep_prompts``."""

cards = sa.Table(
    "cards",
    metadata,
    sa.Column("uuid", sa.String(256), primary_key=True),
    sa.Column("evaluation", Id, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("indicator", sa.String(16), nullable=False),
)
"""One for each card. ``rule``: see :func:`cds_service.fatigue.rule`."""

card_flags = sa.Table(
    "card_flags",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("card", sa.String(256), sa.ForeignKey("cards.uuid", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("analyte", sa.String(256), nullable=False),
    sa.Column("loinc", sa.String(32)),
    sa.Column("code", sa.String(2), nullable=False),
    sa.Column("source", sa.String(8), nullable=False),
    sa.Column("probability", sa.Float),
    sa.Column("interval_source", sa.String(8)),
    sa.Column("numeric", sa.Boolean, nullable=False),
    sa.Column("prompt", Id, sa.ForeignKey("prompts.id", ondelete="SET NULL"), index=True),
    sa.Column("slot_end", sa.Integer),
)
"""The flags that a card is about."""

findings = sa.Table(
    "findings",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("card", sa.String(256), sa.ForeignKey("cards.uuid", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("finding", sa.String(32), nullable=False, index=True),
    sa.Column("rank", sa.SmallInteger, nullable=False),
)
"""What a card told whom, as pseudonyms, so that it isn't told twice: see :mod:`cds_service.fatigue`."""

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("card", sa.String(256), nullable=False, index=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("suggestions", sa.JSON, nullable=False),
    sa.Column("reason_code", sa.String(256)),
    sa.Column("reason_system", sa.String(256)),
    sa.Column("reason_display", sa.String(256)),
    sa.Column("outcome_at", sa.String(40), nullable=False),
    sa.Column("received_at", Moment, nullable=False, index=True),
    sa.CheckConstraint("outcome IN ('accepted', 'overridden')", name="ck_feedback_outcome"),
    sa.UniqueConstraint("card", "outcome", "outcome_at"),
)
"""What clinicians did. ``card`` is no foreign key: what comes for an unknown card is kept, as unmatched."""

comments = sa.Table(
    "comments",
    metadata,
    sa.Column("feedback", Id, sa.ForeignKey("feedback.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)
"""The clinicians' words, which may name the patient: apart, so that a report can be granted everything but them."""

held_back = sa.Table(
    "held_back",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True),
    sa.Column("patient", sa.String(32), index=True),
    sa.Column("requester", sa.String(32)),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("analytes", sa.JSON, nullable=False),
    sa.Column("reason", sa.String(16), nullable=False),
    sa.Column("instead", sa.String(256), nullable=False),
)
"""Cards that did not go out: repeated, or gathered into another."""

replay = sa.Table(
    "replay",
    metadata,
    sa.Column("token", sa.String(64), primary_key=True),
    sa.Column("expires_at", Moment, nullable=False, index=True),
)
"""Digests of the tokens that were seen, until they expire."""


subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("reference", sa.String(512), primary_key=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("heard_at", Moment, nullable=False),
)
"""How far each subscription has come. A new handshake with a lower count begins another ``epoch``."""

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("subscription", sa.String(512), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("focus", sa.String(512)),
    sa.Column("resource", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("received_at", Moment, nullable=False, index=True),
    sa.UniqueConstraint("subscription", "epoch", "number"),
)
"""Each event once. ``state``: waiting (to be judged), judged (something goes out), silent (nothing to say), dead. What is of
the patient's, ``focus`` and ``resource``, is gone once it is judged."""

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("event", Id, sa.ForeignKey("events.id", ondelete="CASCADE"), nullable=False, unique=True),
    sa.Column("key", sa.String(32), nullable=False),
    sa.Column("body", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", Moment, nullable=False, index=True),
    sa.Column("sent_at", Moment),
)
"""What is to be sent, written together with its event's ``state``. The body is gone once it is sent."""

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("event", Id, sa.ForeignKey("events.id", ondelete="CASCADE"), nullable=False, unique=True),
    sa.Column("stage", sa.String(8), nullable=False),
    sa.Column("reason", sa.String(256), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("at", Moment, nullable=False, index=True),
)
"""Events that were given up, while being judged or sent; what they hold stays with the event or the outbox, for a retry."""
