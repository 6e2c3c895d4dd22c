"""Opens the database: SQLite in memory, a SQLite file or PostgreSQL, at the newest version of its tables."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from cds_service.config import Settings
from fhir_adapter.errors import ConfigError, Violation

MIGRATIONS = Path(__file__).with_name("migrations")
BUSY_MS = 10_000
_UPGRADE_LOCK = 7_316_440_021
"""Number of the PostgreSQL advisory lock under which one process at a time upgrades."""

logging.getLogger("alembic").setLevel(logging.WARNING)


class Database:
    """An engine, with transactions that say whether they write. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    @property
    def on_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: on SQLite it takes the lock at its start, so that it never has to be repeated."""
        with self.engine.connect().execution_options(labcue_writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def open_database(settings: Settings, *, upgrade: bool | None = None) -> Database:
    """The database as set. SQLite is brought up to date; PostgreSQL only with ``upgrade``.

    Raises:
        ConfigError: it can't be opened, isn't a database, or its tables are behind or ahead of this version.
    """
    database = Database(_engine(settings))
    try:
        if upgrade or (upgrade is None and database.on_sqlite):
            _upgrade(database)
        _check(database)
    except (SQLAlchemyError, OSError) as error:
        database.close()
        raise ConfigError(violations=(Violation("records", f"can't be used as a database: {_why(error)}"),)) from None
    except BaseException:
        database.close()
        raise
    return database


def open_existing(settings: Settings) -> Database:
    """As :func:`open_database`, for those who only look: nothing is made where there is nothing.

    Raises:
        ConfigError: also where records are kept in memory, or the file isn't there.
    """
    if settings.records is None:
        why = "unset: records are kept in memory by the service itself; name its file or database with --records"
        raise ConfigError(violations=(Violation("records", why),))
    if not settings.records_on_postgresql and not Path(settings.records).is_file():
        raise ConfigError(violations=(Violation("records", f"there is no file {settings.records}"),))
    return open_database(settings)


def current_version(database: Database) -> str | None:
    """At which version the tables are."""
    with database.reading() as connection:
        return _current(connection)


def _why(error: Exception) -> str:
    """What a driver says of a database that can't be opened, without the statement and its parameters."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return " ".join(str(error.orig).split())
    return type(error).__name__


def _engine(settings: Settings) -> sa.Engine:
    if settings.records_on_postgresql and settings.records is not None:
        url = sa.make_url(settings.records).set(drivername="postgresql+psycopg")
        return sa.create_engine(url, pool_size=5, max_overflow=5, pool_pre_ping=True)
    if settings.records is None:
        # One connection that everybody waits for: a second one would see another, empty database.
        url = sa.URL.create("sqlite", database=":memory:")
        engine = sa.create_engine(
            url, poolclass=QueuePool, pool_size=1, max_overflow=0, connect_args={"check_same_thread": False}
        )
    else:
        _make_private(Path(settings.records))
        engine = sa.create_engine(sa.URL.create("sqlite", database=settings.records))
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(file: Path) -> None:
    """A new file is for its owner alone, whatever the umask."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(violations=(Violation("records", f"{file}: {error.strerror}"),)) from None


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say, see _begin_sqlite
    # FULL, so that what was acknowledged survives a loss of power; WAL, so that readers don't wait for the writer.
    for pragma in (f"busy_timeout = {BUSY_MS}", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("labcue_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(database: Database) -> None:
    config = _config()
    with database.writing() as connection:
        if not database.on_sqlite:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _UPGRADE_LOCK})
        config.attributes["connection"] = connection
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if _current(connection) in {None, *known}:
            command.upgrade(config, "head")


def _current(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check(database: Database) -> None:
    scripts = ScriptDirectory.from_config(_config())
    with database.reading() as connection:
        there, wanted = _current(connection), scripts.get_current_head()
    if there == wanted:
        return
    if there is None or there in {script.revision for script in scripts.walk_revisions()}:
        why = f"its tables are at {there or 'none'}, this version needs {wanted}: run `labcue records upgrade`"
    else:
        why = f"its tables are at {there}, which this version doesn't know: a newer LabCue has upgraded them"
    raise ConfigError(violations=(Violation("records", why),))
