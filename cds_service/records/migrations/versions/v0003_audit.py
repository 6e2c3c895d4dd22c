"""The id that an answer carries, and how much was judged for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns; answers of before have no id."""
    op.add_column("evaluations", sa.Column("audit", sa.String(32)))
    op.add_column("evaluations", sa.Column("observations", sa.Integer))
    op.add_column("evaluations", sa.Column("not_assessed", sa.Integer))
    op.create_index("ix_evaluations_audit", "evaluations", ["audit"], unique=True)


def downgrade() -> None:
    """Takes them away."""
    op.drop_index("ix_evaluations_audit", "evaluations")
    for column in ("audit", "observations", "not_assessed"):
        op.drop_column("evaluations", column)
