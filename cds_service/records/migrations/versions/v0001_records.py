"""Evaluations, cards, feedback, comments, what was held back, and tokens seen.

Takes over the file of before: a table ``issued`` with the uuids of cards, and ``feedback`` with the comments in it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from cds_service.records.schema import Id, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    there = set(sa.inspect(op.get_bind()).get_table_names())
    old = {"feedback", "issued"} <= there
    if old:
        op.rename_table("feedback", "old_feedback")
        op.rename_table("issued", "old_issued")
        op.execute("DROP INDEX IF EXISTS feedback_once")
    _evaluations()
    _feedback()
    op.create_table(
        "held_back",
        sa.Column("id", Id, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("patient", sa.String(32)),
        sa.Column("requester", sa.String(32)),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("analytes", sa.JSON, nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("instead", sa.String(256), nullable=False),
    )
    _index("held_back", "at", "patient")
    op.create_table(
        "replay",
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column("expires_at", Moment, nullable=False),
    )
    _index("replay", "expires_at")
    if old:
        _take_over(op.get_bind())
        op.drop_table("old_feedback")
        op.drop_table("old_issued")


def downgrade() -> None:
    """Drops the tables, and all that is in them."""
    for table in (
        "replay",
        "held_back",
        "comments",
        "feedback",
        "findings",
        "card_flags",
        "cards",
        "prompts",
        "evaluations",
    ):
        op.drop_table(table)


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", Id, primary_key=True),
        sa.Column("at", Moment, nullable=False),
        sa.Column("patient", sa.String(32)),
        sa.Column("requester", sa.String(32)),
        sa.Column("service_version", sa.String(64), nullable=False),
        sa.Column("model", sa.String(256)),
        sa.Column("model_version", sa.String(256)),
        sa.Column("adapter", sa.String(256)),
        sa.Column("prompt_version", sa.String(32)),
        sa.Column("catalog_version", sa.String(64)),
        sa.Column("degraded", sa.String(256)),
        sa.Column("language", sa.String(8)),
    )
    _index("evaluations", "at", "patient")
    op.create_table(
        "prompts",
        sa.Column("id", Id, primary_key=True),
        sa.Column("evaluation", Id, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("sex", sa.String(8)),
        sa.Column("age", sa.Float),
    )
    _index("prompts", "evaluation")
    op.create_table(
        "cards",
        sa.Column("uuid", sa.String(256), primary_key=True),
        sa.Column("evaluation", Id, sa.ForeignKey("evaluations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("indicator", sa.String(16), nullable=False),
    )
    _index("cards", "evaluation")
    op.create_table(
        "card_flags",
        sa.Column("id", Id, primary_key=True),
        sa.Column("card", sa.String(256), sa.ForeignKey("cards.uuid", ondelete="CASCADE"), nullable=False),
        sa.Column("analyte", sa.String(256), nullable=False),
        sa.Column("loinc", sa.String(32)),
        sa.Column("code", sa.String(2), nullable=False),
        sa.Column("source", sa.String(8), nullable=False),
        sa.Column("probability", sa.Float),
        sa.Column("interval_source", sa.String(8)),
        sa.Column("numeric", sa.Boolean, nullable=False),
        sa.Column("prompt", Id, sa.ForeignKey("prompts.id", ondelete="SET NULL")),
        sa.Column("slot_end", sa.Integer),
    )
    _index("card_flags", "card", "prompt")
    op.create_table(
        "findings",
        sa.Column("id", Id, primary_key=True),
        sa.Column("card", sa.String(256), sa.ForeignKey("cards.uuid", ondelete="CASCADE"), nullable=False),
        sa.Column("finding", sa.String(32), nullable=False),
        sa.Column("rank", sa.SmallInteger, nullable=False),
    )
    _index("findings", "card", "finding")


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", Id, primary_key=True),
        sa.Column("card", sa.String(256), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("suggestions", sa.JSON, nullable=False),
        sa.Column("reason_code", sa.String(256)),
        sa.Column("reason_system", sa.String(256)),
        sa.Column("reason_display", sa.String(256)),
        sa.Column("outcome_at", sa.String(40), nullable=False),
        sa.Column("received_at", Moment, nullable=False),
        sa.CheckConstraint("outcome IN ('accepted', 'overridden')", name="ck_feedback_outcome"),
        sa.UniqueConstraint("card", "outcome", "outcome_at", name="uq_feedback_card"),
    )
    _index("feedback", "card", "received_at")
    op.create_table(
        "comments",
        sa.Column("feedback", Id, sa.ForeignKey("feedback.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )


def _take_over(connection: sa.Connection) -> None:
    """Cards that the old file knows stay known; of what they were about it knew nothing."""
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    moved: dict[str, Any] = {"now": now}
    made = connection.execute(
        sa.text("INSERT INTO evaluations (at, service_version) VALUES (:now, '') RETURNING id"), moved
    ).scalar_one()
    connection.execute(
        sa.text(
            "INSERT INTO cards (uuid, evaluation, rule, indicator) SELECT card, :made, 'unknown', 'unknown' FROM old_issued"
        ),
        {"made": made},
    )
    connection.execute(
        sa.text(
            "INSERT INTO feedback (id, card, outcome, suggestions, reason_code, reason_system, reason_display, outcome_at,"
            " received_at) SELECT id, card, outcome, suggestions, reason_code, reason_system, reason_display, outcome_at,"
            " replace(substr(received_at, 1, 19), 'T', ' ') || '.000000' FROM old_feedback"
        )
    )
    connection.execute(
        sa.text("INSERT INTO comments (feedback, text) SELECT id, comment FROM old_feedback WHERE comment IS NOT NULL")
    )
