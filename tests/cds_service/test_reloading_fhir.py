"""SIGHUP: the authorities of the FHIR servers, and the tokens of subscriptions; what doesn't hold changes nothing."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cds_service.config import Settings, load
from cds_service.hooks.authorities import Authorities
from cds_service.hooks.pool import Pool
from cds_service.pipeline import Pipeline
from cds_service.serving import Running, running
from fhir_adapter import catalog
from tests.bundles import PANEL
from tests.callers import certificates
from tests.cds_service.hooks.conftest import CALL, request
from tests.cds_service.hooks.fhir_server import FhirServer, fhir_server
from tests.cds_service.subscription.conftest import Ehr, ehr_server, notify, result, settings_for


def pems(folder: Path, name: str) -> dict[str, Path]:
    (folder / name).mkdir()
    return certificates(folder / name)


def pair(pem: dict[str, Path]) -> tuple[Path, Path]:
    return pem["server-cert"], pem["server-key"]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def https(server: FhirServer) -> str:
    return f"https://localhost:{server.port}/fhir"


async def fetches(server: Running, ehr: FhirServer) -> bool:
    """Whether a call that names this FHIR server gets the patient from there."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}", trust_env=False) as client:
        answer = await client.post(CALL, json=request(PANEL, fhirServer=https(ehr)))
    return bool(answer.json()["extension"]["org.labcue.data"]["patient"]["state"] == "fetched")


async def test_authorities_of_the_fhir_servers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = pems(tmp_path, "old"), pems(tmp_path, "new")
    used = tmp_path / "ca.pem"
    used.write_bytes(old["ca-cert"].read_bytes())
    async with fhir_server(tls=pair(old)) as before, fhir_server(tls=pair(new)) as after:
        settings = Settings(
            doors="http",
            http_port=0,
            engine="none",
            drain_grace_s=1.0,
            fhir_servers=(https(before), https(after)),
            fhir_private_addresses=True,
            fhir_ca=used,
        )
        async with running(settings, Pipeline(settings, catalog.load())) as server:
            assert [await fetches(server, ehr) for ehr in (before, after)] == [True, False]
            used.write_bytes(new["ca-cert"].read_bytes())
            await server.reloads.run()
            # Although a connection to the one before was kept: an authority that was taken away counts no more.
            assert [await fetches(server, ehr) for ehr in (before, after)] == [False, True]

            used.write_text("-----BEGIN CERTIFICATE-----\nMustermann\n-----END CERTIFICATE-----\n")
            await server.reloads.run()
            used.unlink()
            await server.reloads.run()
            assert [await fetches(server, ehr) for ehr in (before, after)] == [False, True]
    assert errors(caplog) == [
        f"authorities of the FHIR servers not read again: fhir_ca: {used} {why}"
        for why in ("holds no PEM certificate, or one that is broken", "can't be read: No such file or directory")
    ]


async def test_a_request_that_runs_is_not_cut_off(tmp_path: Path) -> None:
    """Its connections are ended with it, once other authorities are in force."""
    authorities = Authorities(pems(tmp_path, "old")["ca-cert"])
    pool = Pool(authorities)
    async with pool.connections() as before:
        authorities.reload()
        async with pool.connections() as after:
            assert after is not before
        assert not before.is_closed
    assert before.is_closed
    assert not after.is_closed
    await pool.close()
    assert after.is_closed


async def sent_for(server: Running, ehr: Ehr, number: int) -> str:
    """Notifies of a critical result; the token with which the judgement of it then went out."""
    id = f"k{number}"
    ehr.results[id] = result(id, 6.5 + number / 10)
    ehr.arrived.clear()
    event = notify("event-notification", {number: f"Observation/{id}"})
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}", trust_env=False) as client:
        media = {"content-type": "application/fhir+json"}
        assert (await client.post("/fhir/subscription", content=event, headers=media)).status_code == 200
    await asyncio.wait_for(ehr.arrived.wait(), 30)
    return ehr.posts[-1][1]["authorization"]


async def test_tokens_of_subscriptions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "labcue.toml"

    def write(send: str, fetch: str) -> None:
        file.write_text(f'subscription_token = "{send}"\nsubscription_fetch_token = "{fetch}"\n')

    async with ehr_server() as ehr:
        write("SendXq1", "FetchXq1")
        given: dict[str, Any] = settings_for(ehr, records=str(tmp_path / "r.sqlite3"), doors="http", http_port=0)
        again = partial(load, file, **given)
        settings = again()
        async with running(settings, Pipeline(settings, catalog.load()), again=again) as server:
            assert await sent_for(server, ehr, 1) == "Bearer SendXq1"
            assert ehr.asked_with == {"Bearer FetchXq1"}
            write("SendXq2", "FetchXq2")
            await server.reloads.run()
            ehr.asked_with.clear()
            assert await sent_for(server, ehr, 2) == "Bearer SendXq2"
            assert ehr.asked_with == {"Bearer FetchXq2"}
            assert errors(caplog) == []

            write("SendXq3 ", "FetchXq3")
            await server.reloads.run()
            file.write_text('subscription_token = "SendXq4')
            await server.reloads.run()
            assert await sent_for(server, ehr, 3) == "Bearer SendXq2"
    first, second = errors(caplog)
    assert first.startswith("tokens of subscriptions not read again: subscription_token: must be a token")
    assert second.startswith(f"tokens of subscriptions not read again: config: {file} can't be read as TOML")
    assert "Xq" not in caplog.text
