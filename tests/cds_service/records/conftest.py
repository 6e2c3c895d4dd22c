"""Databases to test on: SQLite in memory, a SQLite file, and a real PostgreSQL where one is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from cds_service.config import Settings
from cds_service.pipeline import Evaluation, Pipeline
from cds_service.records.database import open_database
from cds_service.records.store import Records
from fhir_adapter import catalog

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "bundles"
NOW = datetime(2026, 2, 1, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def send(store: Records, evaluation: Evaluation, user: str | None = None) -> Evaluation:
    """The evaluation as it goes out, remembered."""
    settled, issue = store.settle(evaluation, user=user)
    store.remember(issue)
    return settled


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def judge() -> Callable[..., Evaluation]:
    """The evaluation of a shipped example, or of given bytes."""
    known = catalog.load()

    def evaluate(bundle: str | bytes, **given: Any) -> Evaluation:
        data = (EXAMPLES / f"{bundle}.json").read_bytes() if isinstance(bundle, str) else bundle
        return Pipeline(Settings(**({"engine": "none"} | given)), known).evaluate(data)

    return evaluate


def _programs() -> Path | None:
    """Where initdb and postgres are: where Debian puts them, or on the path."""
    there = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
    if there:
        return there[-1]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found is not None else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[[], str]]:
    """Gives the address of a new, empty database of a PostgreSQL that lives as long as the tests do."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL is installed (initdb)")
    user: str | None = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        names = {one.pw_name for one in pwd.getpwall()}
        user = next((name for name in ("postgres", "nobody") if name in names), None)
        if user is None:
            pytest.skip("PostgreSQL doesn't run as root, and there is no other user")
    folder = Path(tempfile.mkdtemp(prefix="labcue-pg-", dir="/tmp"))  # a socket's path must be short
    if user is not None:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        done = subprocess.run(command, user=user, cwd=folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)  # fmt: skip
        if done.returncode:
            pytest.fail(f"{command[0]}: {done.stderr.decode(errors='replace')}")

    data = folder / "data"
    try:
        run(str(programs / "initdb"), "-D", str(data), "-U", "labcue", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        log = str(folder / "log")
        run(str(programs / "pg_ctl"), "-D", str(data), "-o", options, "-l", log, "-w", "start")
        numbers = count(1)

        def new() -> str:
            name = f"records{next(numbers)}"
            run(str(programs / "createdb"), "-h", str(folder), "-U", "labcue", name)
            return f"postgresql://labcue@/{name}?host={folder}"

        yield new
        run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)


@pytest.fixture(params=["memory", "sqlite", _POSTGRESQL])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings of each kind of database, its tables up to date."""
    return _settings(request, tmp_path)


@pytest.fixture(params=["sqlite", _POSTGRESQL])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """As ``where``, without the one that ends with its process."""
    return _settings(request, tmp_path)


def _settings(request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    if request.param == "memory":
        return {}
    if request.param == "sqlite":
        return {"records": str(folder / "records.sqlite3")}
    key = folder / "key"
    key.write_bytes(bytes(range(32)))
    found = {"records": request.getfixturevalue("postgresql")(), "pseudonym_key": key}
    open_database(Settings(**found), upgrade=True).close()
    return found
