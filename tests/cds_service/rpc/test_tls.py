"""TLS and mutual TLS, with certificates made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds_service.client import AsyncLabCueClient, Retry, Tls
from cds_service.rpc.tls import Secured
from fhir_adapter.errors import ConfigError, LabCueError
from tests.bundles import PANEL
from tests.callers import certificates
from tests.cds_service.rpc.conftest import Serve

ONCE = Retry(attempts=1)


async def test_tls(serve: Serve, tmp_path: Path) -> None:
    pem = certificates(tmp_path)
    async with serve(tls_cert=pem["server-cert"], tls_key=pem["server-key"]) as served:
        target = f"localhost:{served.server.port}"
        async with AsyncLabCueClient(target, tls=Tls(ca=pem["ca-cert"])) as client:
            assert (await client.evaluate(PANEL)).cards
        async with AsyncLabCueClient(target, retry=ONCE) as plain:
            with pytest.raises(LabCueError):
                await plain.evaluate(PANEL, timeout=3)


async def test_mutual_tls_refuses_a_client_without_a_certificate(serve: Serve, tmp_path: Path) -> None:
    pem = certificates(tmp_path)
    settings = {"tls_cert": pem["server-cert"], "tls_key": pem["server-key"], "tls_client_ca": pem["ca-cert"]}
    async with serve(**settings) as served:
        target = f"localhost:{served.server.port}"
        known = Tls(pem["ca-cert"], pem["client-cert"], pem["client-key"])
        async with AsyncLabCueClient(target, tls=known) as client:
            assert (await client.evaluate(PANEL)).cards
        async with AsyncLabCueClient(target, tls=Tls(ca=pem["ca-cert"]), retry=ONCE) as nobody:
            with pytest.raises(LabCueError):
                await nobody.evaluate(PANEL, timeout=3)


def test_a_key_of_another_certificate_is_refused_before_grpc_sees_it(tmp_path: Path) -> None:
    pem = certificates(tmp_path)
    with pytest.raises(ConfigError) as caught:
        Secured(pem["server-cert"], pem["client-key"], pem["ca-cert"])
    (fault,) = caught.value.violations
    assert fault.path == "tls_cert"
    assert "KEY_VALUES_MISMATCH" in fault.description
