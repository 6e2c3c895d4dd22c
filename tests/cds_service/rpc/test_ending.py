"""Start and stop: what doesn't hold is said at once, and nothing at work is lost at the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cds_service.client import AsyncLabCueClient, Retry
from cds_service.config import Settings
from cds_service.serving import running
from fhir_adapter.errors import ConfigError, Draining, LabCueError
from tests.bundles import PANEL
from tests.cds_service.rpc.conftest import Gated, Serve
from tests.until_signal import until_signal

ONCE = Retry(attempts=1)


async def test_a_draining_server_takes_no_new_call_and_ends_the_running_one(serve: Serve, gated: Gated) -> None:
    async with serve(gated) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        work = asyncio.create_task(client.evaluate(PANEL))
        await asyncio.to_thread(gated.begun.acquire)
        drains = [asyncio.create_task(served.server.drain()) for _ in range(2)]
        while not served.server.backend.evaluator.draining:
            await asyncio.sleep(0)
        for _ in range(20):
            with pytest.raises(Draining, match="another replica"):
                await client.evaluate(PANEL)
        gated.gate.set()
        assert (await work).cards
        await asyncio.gather(*drains)
    assert gated.calls == 1


async def test_leaving_the_block_while_a_drain_is_under_way_waits_for_it(serve: Serve, gated: Gated) -> None:
    async with AsyncExitStack() as later:
        async with serve(gated) as served:
            client = await later.enter_async_context(AsyncLabCueClient(served.target, retry=ONCE))
            work = asyncio.create_task(client.evaluate(PANEL))
            await asyncio.to_thread(gated.begun.acquire)
            drain = asyncio.create_task(served.server.drain())
            while not served.server.backend.evaluator.draining:
                await asyncio.sleep(0)
            gated.gate.set()
        assert (await work).cards
        await drain


async def test_work_past_the_grace_is_stopped(serve: Serve, gated: Gated) -> None:
    async with serve(gated, drain_grace_s=0.05) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        work = asyncio.create_task(client.evaluate(PANEL))
        await asyncio.to_thread(gated.begun.acquire)
        await served.server.drain()
        with pytest.raises(LabCueError):
            await work
        assert await asyncio.to_thread(gated.stopped.wait, 10)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(gated: Gated, name: signal.Signals) -> None:
    settings = Settings(doors="grpc", port=0, engine="none")
    async with (
        until_signal(settings, gated) as (server, ended),
        AsyncLabCueClient(f"127.0.0.1:{server.port}", retry=ONCE) as client,
    ):
        stub = health_pb2_grpc.HealthStub(client._channel)
        for service in ("", "labcue.v1.LabDecisionSupport"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        work = asyncio.create_task(client.evaluate(PANEL))
        await asyncio.to_thread(gated.begun.acquire)
        os.kill(os.getpid(), name)
        gated.gate.set()
        assert (await work).cards
        await ended


async def _refused(**given: object) -> ConfigError:
    settings = Settings(**({"doors": "grpc", "port": 0, "engine": "none"} | given))  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        async with running(settings):
            pass
    return caught.value


async def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = await _refused(port=port)
    assert error.violations[0].path == "port"
    assert str(port) in error.violations[0].description


async def test_a_server_that_never_started_logs_no_freed_memory(caplog: pytest.LogCaptureFixture) -> None:
    """grpcio logs such a server while it is freed: a handler that keeps the record keeps what is gone."""
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await _refused(port=taken.getsockname()[1])
    gc.collect()
    held = [record for record in caplog.records if record.name.startswith("grpc") and "__dealloc__" in record.msg]
    names = [record.name for record in held]
    for record in held:
        record.args = ()  # counted, then let go of, so that a failure is a failure and no crash
    assert names == []


async def test_certificates_that_do_not_hold_are_said(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    missing = await _refused(tls_cert=tmp_path / "none.pem", tls_key=junk)
    assert missing.violations[0].path == "tls_cert"
    assert "none.pem" in missing.violations[0].description
    bad = await _refused(tls_cert=junk, tls_key=junk)
    assert "certificate" in bad.violations[0].description
    authority = await _refused(tls_cert=junk, tls_key=junk, tls_client_ca=junk)
    assert [fault.path for fault in authority.violations] == ["tls_cert", "tls_client_ca"]


async def test_a_file_of_records_that_is_no_database_is_said(tmp_path: Path) -> None:
    junk = tmp_path / "records.sqlite3"
    junk.write_text("not a database" * 100)
    for path in (junk, tmp_path / "no" / "folder.sqlite3"):
        error = await _refused(records=str(path))
        assert error.violations[0].path == "records"


async def test_it_listens_on_ipv6(serve: Serve) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    async with serve(host="::1") as served, AsyncLabCueClient(f"[::1]:{served.server.port}") as client:
        assert (await client.evaluate(PANEL)).cards


async def test_a_test_that_fails_leaves_no_server_behind(gated: Gated) -> None:
    settings = Settings(doors="grpc", port=0, engine="none", drain_grace_s=0.1)
    with pytest.raises(ZeroDivisionError):
        async with until_signal(settings, gated) as (_, ended):
            raise ZeroDivisionError
    assert ended.done()
