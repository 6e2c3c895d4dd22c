"""One module for each step; alembic orders them by ``down_revision``."""
