"""What alembic runs: the migrations, on the connection that :mod:`cds_service.records.database` hands over."""

from __future__ import annotations

from alembic import context

from cds_service.records.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
