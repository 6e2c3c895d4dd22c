"""Subscriptions, their events, what is to be sent, and what was given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cds_service.records.schema import Id, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "subscriptions",
        sa.Column("reference", sa.String(512), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("heard_at", Moment, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", Id, primary_key=True),
        sa.Column("subscription", sa.String(512), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("focus", sa.String(512)),
        sa.Column("resource", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", Moment, nullable=False),
        sa.Column("received_at", Moment, nullable=False),
        sa.UniqueConstraint("subscription", "epoch", "number", name="uq_events_subscription"),
    )
    op.create_index("ix_events_state", "events", ["state"])
    op.create_index("ix_events_received_at", "events", ["received_at"])
    op.create_table(
        "outbox",
        sa.Column("id", Id, primary_key=True),
        sa.Column("event", Id, sa.ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("body", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", Moment, nullable=False),
        sa.Column("sent_at", Moment),
        sa.UniqueConstraint("event", name="uq_outbox_event"),
    )
    op.create_index("ix_outbox_due_at", "outbox", ["due_at"])
    op.create_table(
        "dead_letters",
        sa.Column("id", Id, primary_key=True),
        sa.Column("event", Id, sa.ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
        sa.Column("stage", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(256), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.UniqueConstraint("event", name="uq_dead_letters_event"),
    )
    op.create_index("ix_dead_letters_at", "dead_letters", ["at"])


def downgrade() -> None:
    """Drops the tables, and all that is in them."""
    for table in ("dead_letters", "outbox", "events", "subscriptions"):
        op.drop_table(table)
