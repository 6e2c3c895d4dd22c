"""The service as a process of its own, killed while what it sent is on its way; and what it ever writes of its secrets."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from cds_service.commands.config import shown
from cds_service.config import load
from cds_service.records.database import open_existing
from cds_service.subscription.queue import list_dead
from cds_service.trust.clients import read_clients, secret_digest
from fhir_adapter.errors import ConfigError
from tests.cds_service.subscription.conftest import HOLD, Ehr, ehr_server, notify, settings_for
from tests.cds_service.subscription.test_worker import HIGH

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills a process by signal")
SECRET = "labcue-secret-" + "q7Zx" * 11
SECRETS = {"subscription_token": "OutgoingXq81", "subscription_fetch_token": "FetchingXq82"}
SERVE = """
from datetime import timedelta
from cds_service.subscription import queue, worker
queue.LEASE = timedelta(seconds=1)  # else a process that begins after one that died waits two minutes
worker.LOOK_S = 0.2
from cds_service.cli import main
main()
"""


class Served:
    """A service in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self._process, self._port, self.log = process, port, log

    async def notify(self, sent: bytes, authorization: str, path: str = "/fhir/subscription") -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            headers = {"authorization": authorization, "content-type": "application/fhir+json"}
            return await client.post(f"http://127.0.0.1:{self._port}{path}", content=sent, headers=headers)

    async def end(self, name: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(name)
        await self._process.wait()


@asynccontextmanager
async def served(folder: Path, ehr: Ehr) -> AsyncIterator[Served]:
    (folder / "clients.toml").write_text(
        f'[clients.fhir]\nsecrets_sha256 = ["{secret_digest(SECRET)}"]\npermissions = ["notify"]\n'
    )
    given = {"doors": "http", "http_port": 0, "log_level": "debug", "clients": folder / "clients.toml"}
    given |= settings_for(ehr, records=str(folder / "r.sqlite3"))
    env = {name: value for name, value in os.environ.items() if not name.startswith("LABCUE_")}
    env |= {f"LABCUE_{name.upper()}": value for name, value in SECRETS.items()}
    sets = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, "serve", *sets, stdout=asyncio.subprocess.PIPE, stderr=log, env=env
        )
        assert process.stdout is not None
        found = re.search(rb"127\.0\.0\.1:(\d+)", await process.stdout.readline())
        assert found, (folder / "log").read_text()
        running = Served(process, int(found[1]), folder / "log")
        try:
            yield running
        finally:
            await running.end(signal.SIGKILL)


async def test_a_process_killed_between_sending_and_writing_it_down(tmp_path: Path) -> None:
    """The next one sends again under the same key, so that the receiver makes nothing twice. Neither writes a secret."""
    event = notify("event-notification", {1: "Observation/k"})
    async with ehr_server(results={"k": HIGH}, faults=[HOLD]) as ehr:
        async with served(tmp_path, ehr) as first:
            assert (await first.notify(event, f"Bearer {SECRET}x")).status_code == 401
            assert (await first.notify(b"{}", f"Bearer {SECRET}", "/cds-services/labcue-results")).status_code == 403
            assert (await first.notify(event, f"Bearer {SECRET}")).status_code == 200
            await ehr.arrived.wait()  # it has it, and the process waits to hear so
            await first.end(signal.SIGKILL)
        ehr.arrived.clear()
        async with served(tmp_path, ehr) as second:
            assert (
                await second.notify(event, f"Bearer {SECRET}")
            ).status_code == 200  # the server, unsure, sends it again
            await ehr.arrived.wait()
            await second.end(signal.SIGTERM)
        assert len(ehr.made) == 1
        assert len(ehr.posts) == 2
        assert len({headers["if-none-exist"] for _, headers in ehr.posts}) == 1
        assert {headers["authorization"] for _, headers in ehr.posts} == {"Bearer OutgoingXq81"}
    check_written(tmp_path)


def check_written(folder: Path) -> None:
    """Neither log nor database holds a secret; the log doesn't say what the event was about; nothing was given up."""
    files = sorted(folder.glob("*"))
    assert {"log", "r.sqlite3"} <= {file.name for file in files}
    written = b"".join(file.read_bytes() for file in files)
    for secret in (SECRET, *SECRETS.values()):
        assert secret.encode() not in written
    assert b"Observation/k" not in (folder / "log").read_bytes()
    database = open_existing(load(records=str(folder / "r.sqlite3")))
    assert list_dead(database) == []
    database.close()


@pytest.mark.parametrize("form", ["text", "json", "toml"])
def test_the_settings_are_shown_without_them(form: str) -> None:
    given = settings_for(Ehr(), records="r") | SECRETS
    told = shown(load(**given), None, given, form)  # type: ignore[arg-type]
    assert "subscription_token" in told
    for secret in SECRETS.values():
        assert secret not in told
        assert secret not in repr(load(**given))


def test_a_clients_file_that_holds_the_secret_itself_is_refused_without_repeating_it(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'[clients.fhir]\nsecrets_sha256 = ["{SECRET}"]\npermissions = ["notify"]\n')
    with pytest.raises(ConfigError) as refused:
        read_clients(tmp_path / "c.toml")
    assert "secrets_sha256" in refused.value.violations[0].path
    assert SECRET not in str(refused.value.violations)
