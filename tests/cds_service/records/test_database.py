"""The database: its tables as the migrations make them, old files taken over, and what is said where it doesn't hold."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cds_service.config import Settings, load
from cds_service.pipeline import Evaluation
from cds_service.pseudonym import load_key
from cds_service.records import schema
from cds_service.records.database import open_database
from cds_service.records.feedback import Feedback
from cds_service.records.store import Records
from fhir_adapter.errors import ConfigError
from tests.cds_service.records.conftest import Clock, send

OLD = """
CREATE TABLE feedback (id INTEGER PRIMARY KEY, card TEXT NOT NULL, outcome TEXT NOT NULL
  CHECK (outcome IN ('accepted', 'overridden')), suggestions TEXT NOT NULL, reason_code TEXT, reason_system TEXT,
  reason_display TEXT, comment TEXT, outcome_at TEXT NOT NULL, received_at TEXT NOT NULL, matched INTEGER NOT NULL);
CREATE UNIQUE INDEX feedback_once ON feedback (card, outcome, outcome_at);
CREATE TABLE issued (id INTEGER PRIMARY KEY AUTOINCREMENT, card TEXT NOT NULL UNIQUE);
INSERT INTO issued (card) VALUES ('known'), ('silent');
INSERT INTO feedback VALUES (7, 'known', 'overridden', '[]', 'not-relevant', 's', 'd', 'she said', '2026-01-31T12:00:00Z',
  '2026-02-01T12:00:00.123456+00:00', 1);
INSERT INTO feedback VALUES (9, 'other', 'accepted', '["s1"]', NULL, NULL, NULL, NULL, '2026-01-31T12:00:00Z',
  '2026-02-01T12:00:00+00:00', 0);
"""


def test_the_migrations_make_the_tables_that_the_code_uses(where: dict[str, Any]) -> None:
    database = open_database(Settings(**where), upgrade=True)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    database.close()


def test_a_file_of_before_is_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "feedback.sqlite3"
    with sqlite3.connect(file) as old:
        old.executescript(OLD)
    old.close()
    store = Records(Settings(records=str(file)))
    assert store.add_feedback([Feedback("silent", "overridden", outcome_at="2026-02-02T12:00:00Z")]) == []
    with store.database.reading() as connection:
        rows = connection.execute(
            sa.select(
                schema.feedback.c.id, schema.feedback.c.card, schema.feedback.c.suggestions, schema.comments.c.text
            )
            .select_from(sa.outerjoin(schema.feedback, schema.comments))
            .order_by(schema.feedback.c.id)
        ).all()
        tables = sa.inspect(connection).get_table_names()
        first = (
            connection.execute(sa.select(schema.feedback.c.received_at).order_by(schema.feedback.c.id))
            .scalars()
            .first()
        )
    store.close()
    assert [tuple(row) for row in rows] == [
        (7, "known", [], "she said"),
        (9, "other", ["s1"], None),
        (10, "silent", [], None),
    ]
    assert first is not None
    assert first.isoformat() == "2026-02-01T12:00:00+00:00"
    assert not [name for name in tables if name.startswith("old")]


@pytest.mark.parametrize("content", [b"This is no database, by any measure. " * 40, b"SQLite format 3\0" + b"x" * 500])
def test_what_is_no_database_is_said(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        open_database(Settings(records=str(file)))
    assert caught.value.violations[0].path == "records"
    assert file.read_bytes() == content


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_database(Settings(records=str(tmp_path / "none" / "x")))
    assert "No such file" in caught.value.violations[0].description


def test_a_database_of_a_newer_version_is_left_alone(lasting: dict[str, Any]) -> None:
    database = open_database(Settings(**lasting), upgrade=True)
    with database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    for upgrade in (None, True):
        with pytest.raises(ConfigError) as caught:
            open_database(Settings(**lasting), upgrade=upgrade)
        assert "a newer LabCue" in caught.value.violations[0].description


@pytest.mark.slow
def test_postgresql_is_upgraded_only_when_told(postgresql: Callable[[], str]) -> None:
    settings = Settings(records=postgresql())
    with pytest.raises(ConfigError) as caught:
        open_database(settings)
    assert "labcue records upgrade" in caught.value.violations[0].description
    threads = [threading.Thread(target=lambda: open_database(settings, upgrade=True).close()) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    open_database(settings).close()


@pytest.mark.parametrize("records", ["postgresql://u:secret@h/d", "postgresql://u@h/d?password=secret"])
def test_a_password_is_refused_where_it_would_be_printed(records: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(records=records)
    assert "PGPASSFILE" in caught.value.violations[0].description
    assert "secret" not in str(caught.value.violations)


@pytest.mark.parametrize("records", ["", ":memory:", "mysql://h/d", "postgresql://[h/d"])
def test_an_address_that_is_none_is_refused(records: str) -> None:
    with pytest.raises(ConfigError):
        load(records=records)


def test_postgresql_that_is_not_there_is_said_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_database(Settings(records=f"postgresql://labcue@/x?host={tmp_path}"))
    assert "No such file" in caught.value.violations[0].description


def test_file_and_key_are_for_their_owner_alone_and_the_key_stays(
    tmp_path: Path, judge: Callable[..., Evaluation]
) -> None:
    settings = Settings(records=str(tmp_path / "r.sqlite3"))
    names = []
    for _ in range(2):
        store = Records(settings)
        names.append(store.names.patient("Patient/1"))
        store.close()
    assert names[0] == names[1] is not None
    for file in ("r.sqlite3", "r.sqlite3.key"):
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600
    short = tmp_path / "short"
    short.write_bytes(b"x" * 31)
    with pytest.raises(ConfigError) as caught:
        Records(Settings(pseudonym_key=short))
    assert "31 bytes" in caught.value.violations[0].description
    with pytest.raises(ConfigError) as caught:
        load_key(Settings(records="postgresql://h/d"))
    assert caught.value.violations[0].path == "pseudonym_key"


def test_nothing_of_a_patient_is_in_the_records(
    where: dict[str, Any], judge: Callable[..., Evaluation], clock: Clock
) -> None:
    """Of an example, neither its patient nor a value, nor a resource's id: all tables are read whole."""
    store = Records(Settings(**where), clock)
    evaluation = judge("02-hyperkalaemia-aki")
    patient = evaluation.patient
    assert patient is not None
    assert send(store, evaluation, user="Practitioner/77").cards
    store.flush()
    with store.database.reading() as connection:
        text = repr([connection.execute(sa.select(table)).all() for table in schema.metadata.sorted_tables])
    store.close()
    assert "potassium" in text
    for secret in (patient, patient.rpartition("/")[2], "Practitioner/77", "6.8", "Observation/"):
        assert secret not in text


def test_prompts_are_kept_only_when_told(judge: Callable[..., Evaluation], clock: Clock) -> None:
    for keep in (False, True):
        store = Records(Settings(), clock)
        evaluation = judge("02-hyperkalaemia-aki", keep_prompts=keep)
        send(store, evaluation)
        store.flush()
        with store.database.reading() as connection:
            texts = connection.execute(sa.select(schema.prompts.c.text)).scalars().all()
            ends = connection.execute(sa.select(schema.card_flags.c.slot_end, schema.card_flags.c.analyte)).all()
        store.close()
        assert bool(texts) is keep
        for end, analyte in ends:
            assert (end is not None) is keep
            if keep:
                assert texts[0][:end].rpartition("\n")[2].lower().startswith(analyte.replace("-", " ")[:6])


def test_old_records_go_and_answered_cards_stay_with_their_feedback(
    where: dict[str, Any], judge: Callable[..., Evaluation], clock: Clock
) -> None:
    store = Records(Settings(**where, records_keep_days=30), clock)
    old = send(store, judge("02-hyperkalaemia-aki")).cards
    clock.move(days=1)
    send(store, judge("03-ketoacidosis"))
    clock.move(days=19)
    store.add_feedback([Feedback(old[0].uuid, "overridden", outcome_at="2026-02-21T12:00:00Z")])
    assert store.first("t1", clock.now.timestamp()) is True
    assert store.first("t1", clock.now.timestamp()) is False

    def left() -> tuple[int, ...]:
        with store.database.reading() as connection:
            tables = (schema.evaluations, schema.card_flags, schema.feedback, schema.replay)
            return tuple(connection.execute(sa.select(sa.func.count()).select_from(one)).scalar_one() for one in tables)

    assert left()[::2] == (2, 1)
    clock.move(days=9)
    store.tend()
    assert left()[::2] == (2, 1)
    assert left()[-1] == 0
    clock.move(days=6)
    store.tend()
    assert left()[::2] == (1, 1)  # the answered one stays, although it is the older
    clock.move(days=16)
    store.tend()
    assert left() == (0, 0, 0, 0)
    store.close()
