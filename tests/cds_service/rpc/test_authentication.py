"""Trust at the gRPC door, over a real server: the same clients as at the HTTP door."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from cds_service.client import AsyncLabCueClient, Retry, Tls
from cds_service.rpc.servicer import SERVICE
from cds_service.rpc.status import from_status
from cds_service.trust.clients import current_client
from cds_service.trust.signing import Signer
from fhir_adapter.errors import PermissionDenied, RateLimited, Unauthenticated
from labcue.v1 import cds_pb2, cds_pb2_grpc
from tests.bundles import PANEL
from tests.callers import ISSUER, KEY, certificates, claims, clients_file, token
from tests.cds_service.rpc.conftest import Serve, Served

URL = f"http://127.0.0.1/{SERVICE}"
ONCE = Retry(attempts=1)
REQUEST = cds_pb2.EvaluateRequest(bundle=PANEL)


def _bearer(**changed: Any) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token(claims(URL, now=time.time()) | changed)}"),)


async def _code(call: Any) -> str:
    """The status a call ends in."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def _client(served: Served, **more: Any) -> AsyncLabCueClient:
    signer = Signer(KEY, ISSUER, f"http://{served.target}/{SERVICE}")
    return AsyncLabCueClient(served.target, token=signer, retry=ONCE, **more)


async def test_every_method_asks_for_a_token_but_health(serve: Serve, tmp_path: Path) -> None:
    async with (
        serve(clients=clients_file(tmp_path), reflection=True) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)  # type: ignore[no-untyped-call]
        codes = [
            await _code(stub.Evaluate(REQUEST)),
            await _code(stub.SendFeedback(cds_pb2.SendFeedbackRequest())),
            await _code(stub.GetServiceInfo(cds_pb2.GetServiceInfoRequest())),
            await _code(stub.EvaluateStream(iter([cds_pb2.EvaluateStreamRequest(request=REQUEST)])).read()),
        ]
        asks = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        mirror = reflection_pb2_grpc.ServerReflectionStub(channel)
        codes.append(await _code(mirror.ServerReflectionInfo(asks).read()))
        good = await stub.Evaluate(REQUEST, metadata=_bearer())
        spans = served.spans.get_finished_spans()
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert codes == ["UNAUTHENTICATED"] * 5
    assert good.cards
    ended = [(span.name, span.attributes["error.type"]) for span in spans if "error.type" in (span.attributes or {})]  # type: ignore[index]
    assert (f"{SERVICE}/Evaluate", "unauthenticated") in ended


async def test_reflection_is_for_known_clients(serve: Serve, tmp_path: Path) -> None:
    aud = "http://localhost/grpc.reflection.v1alpha.ServerReflection"
    async with (
        serve(clients=clients_file(tmp_path), reflection=True) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        asks = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asks, metadata=_bearer(aud=aud))
        answer = await call.read()
    assert SERVICE in {service.name for service in answer.list_services_response.service}


async def test_the_python_client_signs_each_call_anew(serve: Serve, tmp_path: Path) -> None:
    async def bundles() -> Any:
        for number in range(3):
            yield str(number), PANEL

    async with serve(clients=clients_file(tmp_path)) as served, _client(served) as client:
        for _ in range(2):
            assert (await client.evaluate(PANEL)).cards
        assert (await client.service_info()).version
        assert len([answer async for answer in client.evaluate_stream(bundles())]) == 3


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", "Bearer x"),),
        (("authorization", ""),),
        (("authorization-bin", b"\xff"),),
        (*_bearer(), *_bearer()),
        _bearer(aud="https://elsewhere.example.org"),
        _bearer(aud=f"http://127.0.0.1/{SERVICE}/GetServiceInfo"),
        _bearer(iss="https://other.example.org"),
        _bearer(exp=int(time.time()) - 60),
    ],
)
async def test_what_lets_nobody_in(serve: Serve, tmp_path: Path, metadata: Any) -> None:
    async with (
        serve(clients=clients_file(tmp_path)) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Evaluate(REQUEST, metadata=metadata)
    error = from_status(rpc_status.from_call(caught.value))  # type: ignore[arg-type]
    assert (type(error), str(error), error.violations) == (Unauthenticated, Unauthenticated.message, ())


async def test_a_token_counts_once(serve: Serve, tmp_path: Path) -> None:
    async with (
        serve(clients=clients_file(tmp_path)) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)  # type: ignore[no-untyped-call]
        once = _bearer()
        codes = [await _code(stub.Evaluate(REQUEST, metadata=once)) for _ in range(2)]
        method = _bearer(aud=f"{URL}/Evaluate")
        codes.append(await _code(stub.Evaluate(REQUEST, metadata=method)))
    assert codes == ["OK", "UNAUTHENTICATED", "OK"]


async def test_a_stranger_is_refused_before_the_message_is_read(serve: Serve, tmp_path: Path) -> None:
    """The answer comes although the request has hardly begun to be sent."""
    async with (
        serve(clients=clients_file(tmp_path)) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        call = channel.stream_unary(f"/{SERVICE}/Evaluate")()  # a message that never comes
        assert await call.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_permissions_and_rates(serve: Serve, tmp_path: Path) -> None:
    file = clients_file(
        tmp_path,
        f'[clients.reader]\nissuer = "{ISSUER}"\nkey_file = "ehr.json"\npermissions = ["feedback"]\n'
        "rate_per_minute = 1\nburst = 2\n",
    )
    async with serve(clients=file) as served, _client(served) as client:
        with pytest.raises(PermissionDenied):
            await client.evaluate(PANEL)
        for _ in range(2):
            await client.service_info()
        with pytest.raises(RateLimited) as caught:
            await client.service_info()
        async with grpc.aio.insecure_channel(served.target) as channel:
            stub = cds_pb2_grpc.LabDecisionSupportStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.aio.AioRpcError) as raw:
                await stub.GetServiceInfo(cds_pb2.GetServiceInfoRequest(), metadata=_bearer())
    assert 30 < caught.value.retry_after_s <= 60
    trailing = dict(raw.value.trailing_metadata() or ())
    assert raw.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert 30_000 < int(trailing["grpc-retry-pushback-ms"]) <= 60_000


async def test_a_certificate_is_a_client_and_a_public_address_binds_tokens(serve: Serve, tmp_path: Path) -> None:
    pem = certificates(tmp_path)
    file = clients_file(
        tmp_path,
        '[clients.engine]\ncertificates = ["uri:spiffe://example.org/engine"]\npermissions = ["evaluate"]\n'
        f'[clients.ehr]\nissuer = "{ISSUER}"\nkey_file = "ehr.json"\npermissions = ["admin"]\n',
    )
    given = {"tls_cert": pem["server-cert"], "tls_key": pem["server-key"], "tls_client_ca": pem["ca-cert"]}
    async with serve(clients=file, public_urls="https://cds.example.org", reflection=True, **given) as served:
        target = f"localhost:{served.server.port}"

        def tls(name: str) -> Tls:
            return Tls(pem["ca-cert"], pem[f"{name}-cert"], pem[f"{name}-key"])

        async def bundles() -> Any:
            yield "one", PANEL

        async with AsyncLabCueClient(target, tls=tls("client"), retry=ONCE) as engine:
            assert (await engine.evaluate(PANEL)).cards
            assert [identity async for identity, _ in engine.evaluate_stream(bundles())] == ["one"]
            with pytest.raises(PermissionDenied):
                await engine.send_feedback([])
        async with AsyncLabCueClient(target, tls=tls("stranger"), retry=ONCE) as stranger:
            with pytest.raises(Unauthenticated):
                await stranger.evaluate(PANEL)
        for audience, fits in (("https://cds.example.org", True), (f"https://{target}", False)):
            signer = Signer(KEY, ISSUER, f"{audience}/{SERVICE}")
            async with AsyncLabCueClient(target, tls=tls("stranger"), token=signer, retry=ONCE) as ehr:
                if fits:
                    assert (await ehr.evaluate(PANEL)).cards
                else:
                    with pytest.raises(Unauthenticated):
                        await ehr.evaluate(PANEL)


async def test_no_token_stands_in_logs_and_spans(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with (
        serve(clients=clients_file(tmp_path)) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)  # type: ignore[no-untyped-call]
        good, bad = _bearer(jti="ZQXJ", tenant="ZQXJ"), _bearer(jti="ZQXJ", aud="https://ZQXJ.example.org")
        codes = [await _code(stub.Evaluate(REQUEST, metadata=one)) for one in (good, bad)]
        spans = "".join(span.to_json() for span in served.spans.get_finished_spans())
        metrics = str(served.metrics.get_metrics_data())
    assert codes == ["OK", "UNAUTHENTICATED"]
    for text in (caplog.text, spans, metrics):
        assert "ZQXJ" not in text
        assert not any(part in text for one in (good, bad) for part in one[0][1].split("."))


async def test_a_call_knows_on_whose_behalf_it_works(serve: Serve, tmp_path: Path) -> None:
    seen: list[str | None] = []
    async with (
        serve(clients=clients_file(tmp_path)) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        evaluator = served.server.backend.evaluator
        check = evaluator.check_open

        def spy() -> None:
            client = current_client()
            seen.append(client.name if client is not None else None)
            check()

        evaluator.check_open = spy  # type: ignore[method-assign]
        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)  # type: ignore[no-untyped-call]
        await stub.Evaluate(REQUEST, metadata=_bearer())
        spans = [span for span in served.spans.get_finished_spans() if span.name == f"{SERVICE}/Evaluate"]
    assert seen == ["ehr"]
    assert [span.attributes["labcue.client"] for span in spans if span.attributes] == ["ehr"]


async def test_a_token_never_crosses_the_network_in_the_clear() -> None:
    with pytest.raises(ValueError, match="needs TLS"):
        AsyncLabCueClient("labcue.example.org:50051", token=lambda: "x")
