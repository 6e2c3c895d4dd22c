"""SIGHUP: clients, key files and certificates are read again while both doors serve; what doesn't hold changes nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cds_service.client import AsyncLabCueClient, Retry, Tls
from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.reloading import Reloads
from cds_service.serving import Running, running
from fhir_adapter import catalog
from fhir_adapter.errors import LabCueError
from tests.bundles import PANEL
from tests.callers import KEY, OTHER_KEY, certificates, claims, clients_file, key_set, token
from tests.until_signal import until_signal

ONCE = Retry(attempts=1)


def settings_with(**given: Any) -> Settings:
    return Settings(**({"port": 0, "http_port": 0, "engine": "none", "drain_grace_s": 1.0} | given))


def copied(made: dict[str, Path], to: Path) -> dict[str, Path]:
    """The same files in another folder."""
    to.mkdir(exist_ok=True)
    for path in made.values():
        (to / path.name).write_bytes(path.read_bytes())
    return {name: to / path.name for name, path in made.items()}


async def by_grpc(server: Running, pem: dict[str, Path]) -> bool:
    """Whether a new connection that trusts this authority and shows its certificate is served."""
    tls = Tls(pem["ca-cert"], pem["client-cert"], pem["client-key"])
    async with AsyncLabCueClient(f"localhost:{server.port}", tls=tls, retry=ONCE) as client:
        try:
            return bool((await client.evaluate(PANEL, timeout=3)).cards)
        except LabCueError:
            return False


def http_client(server: Running, pem: dict[str, Path], *, shows: dict[str, Path] | None = None) -> httpx2.AsyncClient:
    context = ssl.create_default_context(cafile=pem["ca-cert"])
    shows = shows or pem
    context.load_cert_chain(shows["client-cert"], shows["client-key"])
    return httpx2.AsyncClient(base_url=f"https://localhost:{server.http_port}", verify=context, trust_env=False)


async def by_http(server: Running, pem: dict[str, Path], **more: Any) -> bool:
    async with http_client(server, pem, **more) as client:
        try:
            return (await client.get("/healthz")).status_code == 200
        except (httpx2.HTTPError, ssl.SSLError):
            return False


async def test_certificates_and_authority_of_both_doors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    old, new = certificates(tmp_path / "old"), certificates(tmp_path / "new")
    used = copied(old, tmp_path / "used")
    given = {"tls_cert": used["server-cert"], "tls_key": used["server-key"], "tls_client_ca": used["ca-cert"]}
    async with running(settings_with(**given)) as server, http_client(server, old) as open_before:
        assert (await open_before.get("/healthz")).status_code == 200
        assert [await by_grpc(server, pem) for pem in (old, new)] == [True, False]
        assert [await by_http(server, pem) for pem in (old, new)] == [True, False]

        copied(new, tmp_path / "used")
        await server.reloads.run()
        assert [await by_grpc(server, pem) for pem in (old, new)] == [False, True]
        assert [await by_http(server, pem) for pem in (old, new)] == [False, True]
        assert not await by_http(server, new, shows=old)  # the authority taken away counts no more
        assert (await open_before.get("/healthz")).status_code == 200  # connections that are open go on

        used["server-key"].write_bytes(old["server-key"].read_bytes())
        await server.reloads.run()
        assert await by_grpc(server, new)
        assert await by_http(server, new)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.split(" are no PEM")[0].split(": ")[0:2] for line in told] == [
        [f"certificates of the {door} door not read again", "tls_cert"] for door in ("gRPC", "HTTP")
    ]
    assert all("KEY_VALUES_MISMATCH" in line for line in told)


async def hung_up(caplog: pytest.LogCaptureFixture) -> str:
    """Sends SIGHUP, and gives what the log says of the clients then."""
    caplog.clear()
    os.kill(os.getpid(), signal.SIGHUP)
    while not (told := [one.getMessage() for one in caplog.records if one.getMessage().startswith("clients")]):
        await asyncio.sleep(0.01)
    return told[0]


async def test_clients_by_signal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = clients_file(tmp_path)
    settings = settings_with(clients=file, doors="http")
    async with until_signal(settings, Pipeline(settings, catalog.load())) as (server, _):
        url = f"http://127.0.0.1:{server.http_port}/cds-services"

        async def status(key: Any = KEY) -> int:
            headers = {"authorization": f"Bearer {token(claims(url, now=time.time()), key)}"}
            async with httpx2.AsyncClient(trust_env=False) as client:
                return (await client.get(url, headers=headers)).status_code

        assert [await status(), await status(OTHER_KEY)] == [200, 401]
        clients_file(tmp_path, ehr=key_set(OTHER_KEY))
        assert await hung_up(caplog) == "clients read again"
        assert [await status(), await status(OTHER_KEY)] == [401, 200]
        file.write_text('[clients.ehr]\nissuer = "x"\npermissions = ["all"]\n')
        assert (await hung_up(caplog)).startswith("clients not read again: clients.ehr.permissions.0: ")
        assert [await status(), await status(OTHER_KEY)] == [401, 200]
        clients_file(tmp_path, '[clients.other]\ncertificates = ["dns:other"]\npermissions = ["evaluate"]\n')
        assert await hung_up(caplog) == "clients read again"
        assert await status(OTHER_KEY) == 401


async def test_a_part_that_fails_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    done: list[str] = []

    def fails() -> None:
        raise ValueError("Mustermann")

    await Reloads({"first": fails, "second": lambda: done.append("second")}).run()
    assert done == ["second"]
    assert [record.getMessage() for record in caplog.records] == [
        "first not read again: ValueError",
        "second read again",
    ]
