"""The gRPC door, over a real server and client on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cds_service.client import AsyncLabCueClient, LabCueClient, Retry
from cds_service.pipeline import STEPS
from cds_service.rpc.ending import LAST_MOMENT_S, end_cancelled
from cds_service.rpc.server import NOT_SERVING, SERVING
from cds_service.rpc.servicer import SERVICE
from cds_service.rpc.wire import to_json
from fhir_adapter.errors import (
    DeadlineTooShort,
    FeedbackError,
    InternalError,
    InvalidInput,
    LabCueError,
    LimitExceeded,
    NotJson,
    Overloaded,
    RequestIdReused,
)
from labcue.v1 import cds_pb2
from tests.bundles import PANEL, bundle, observation
from tests.cds_service.rpc.conftest import Gated, Serve, Served

ONCE = Retry(attempts=1)


def _status(served: Served, method: str = "Evaluate") -> list[tuple[str, str | None]]:
    """(rpc.status_code, error.type) of each finished span of a method."""
    found = []
    for span in served.spans.get_finished_spans():
        if span.name == f"{SERVICE}/{method}":
            attributes = dict(span.attributes or {})
            found.append((str(attributes.get("rpc.status_code")), attributes.get("error.type")))
    return found  # type: ignore[return-value]


async def test_a_bundle_in_cards_out(serve: Serve) -> None:
    async with serve() as served, AsyncLabCueClient(served.target) as client:
        response = await client.evaluate(PANEL)
        shown = to_json(response)
    assert shown["cards"][0]["indicator"] == "critical"
    assert shown["cards"][0]["summary"].startswith("Potassium 6.9 mmol/L")
    evaluation = shown["extension"]["org.labcue.evaluation"]
    assert [flag["code"] for flag in evaluation["flags"]] == ["HH", "N"]
    assert evaluation["flags"][1]["abnormal"] is False
    assert evaluation["traceId"]
    assert evaluation["timings"]["totalMs"] > 0
    steps = {span.name for span in served.spans.get_finished_spans()}
    assert steps == {f"{SERVICE}/Evaluate", *STEPS}
    assert _status(served) == [("OK", None)]


async def test_the_sync_client_says_the_same(serve: Serve) -> None:
    async with serve() as served:

        def call() -> cds_pb2.EvaluateResponse:
            with LabCueClient(served.target) as client:
                assert client.service_info().analytes > 100
                return client.evaluate(PANEL.decode(), language="fr")

        response = await asyncio.to_thread(call)
    assert response.extension.evaluation.language == "fr"


async def test_nothing_abnormal_is_an_empty_list_of_cards_not_a_missing_one(serve: Serve) -> None:
    async with serve() as served, AsyncLabCueClient(served.target) as client:
        response = await client.evaluate(bundle(observation("na", "2951-2", 140, "mmol/L", 135, 145)))
    assert to_json(response)["cards"] == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b"{", NotJson), (b"\xff\xfe", NotJson), (b'{"resourceType":"Patient"}', InvalidInput), (b"", InvalidInput)],
)
async def test_bad_input_is_an_invalid_argument(serve: Serve, data: bytes, kind: type[LabCueError]) -> None:
    async with serve() as served, AsyncLabCueClient(served.target) as client:
        with pytest.raises(kind):
            await client.evaluate(data)
    (status,) = _status(served)
    assert status[0] == "INVALID_ARGUMENT"


async def test_a_bundle_past_the_limit_is_refused_with_our_error(serve: Serve) -> None:
    async with serve(max_bundle_bytes=2048) as served, AsyncLabCueClient(served.target) as client:
        with pytest.raises(LimitExceeded):
            await client.evaluate(b" " * 50_000_000 + PANEL)
        assert (await client.evaluate(PANEL)).cards


async def test_an_overload_refuses_no_answer_that_is_there(serve: Serve, gated: Gated) -> None:
    async with (
        serve(gated, max_concurrency=1, max_queue=0) as served,
        AsyncLabCueClient(served.target, retry=ONCE) as client,
    ):
        gated.gate.set()
        known = await client.evaluate(PANEL, request_id="known")
        gated.gate.clear()
        first = asyncio.create_task(client.evaluate(PANEL, request_id="first"))
        assert await asyncio.to_thread(gated.begun.acquire)
        assert await asyncio.to_thread(gated.begun.acquire)
        joins = asyncio.create_task(client.evaluate(PANEL, request_id="first"))
        with pytest.raises(Overloaded):
            await client.evaluate(PANEL, request_id="another")
        assert await client.evaluate(PANEL, request_id="known") == known
        gated.gate.set()
        assert await first == await joins
        assert gated.calls == 2


async def test_overload_is_refused_at_once_and_says_when_to_return(serve: Serve, gated: Gated) -> None:
    async with (
        serve(gated, max_concurrency=1, max_queue=1) as served,
        AsyncLabCueClient(served.target, retry=ONCE) as client,
    ):
        first = asyncio.create_task(client.evaluate(PANEL))
        await asyncio.to_thread(gated.begun.acquire)
        second = asyncio.create_task(client.evaluate(PANEL))
        while served.server.backend.evaluator.inside < 2:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await client.evaluate(PANEL)
        assert refused.value.retry_after_s > 0
        with pytest.raises(grpc.aio.AioRpcError) as bare:
            await client._stub.Evaluate(cds_pb2.EvaluateRequest(bundle=PANEL))
        trailing = dict(bare.value.trailing_metadata() or ())
        assert int(trailing["grpc-retry-pushback-ms"]) == refused.value.retry_after_s * 1000
        stub = health_pb2_grpc.HealthStub(client._channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == SERVING
        gated.gate.set()
        assert (await first).cards
        assert (await second).cards
    assert ("RESOURCE_EXHAUSTED", "overloaded") in _status(served)


async def test_a_retry_outlives_an_overload(serve: Serve, gated: Gated) -> None:
    async with serve(gated, max_concurrency=1, max_queue=0) as served, AsyncLabCueClient(served.target) as client:
        first = asyncio.create_task(client.evaluate(PANEL))
        await asyncio.to_thread(gated.begun.acquire)
        second = asyncio.create_task(client.evaluate(PANEL, timeout=20))
        await served.ended("Evaluate")
        assert _status(served) == [("RESOURCE_EXHAUSTED", "overloaded")]
        gated.gate.set()
        assert (await first).cards
        assert (await second).cards


async def test_a_deadline_ends_the_work_and_frees_its_place(serve: Serve, gated: Gated) -> None:
    async with (
        serve(gated, max_concurrency=1, max_queue=0) as served,
        AsyncLabCueClient(served.target, retry=ONCE) as client,
    ):
        with pytest.raises(DeadlineTooShort):
            await client.evaluate(PANEL, timeout=0.3)
        assert await asyncio.to_thread(gated.stopped.wait, 5)
        gated.gate.set()
        while served.server.backend.evaluator.inside:
            await asyncio.sleep(0.01)
        assert (await client.evaluate(PANEL)).cards
    assert _status(served)[0] == ("DEADLINE_EXCEEDED", "deadline-exceeded")


@pytest.mark.parametrize(
    ("left", "ending"),
    [
        (LAST_MOMENT_S, ("DEADLINE_EXCEEDED", "deadline-exceeded")),
        (-0.1, ("DEADLINE_EXCEEDED", "deadline-exceeded")),
        (LAST_MOMENT_S + 0.01, ("CANCELLED", "cancelled")),
        (None, ("CANCELLED", "cancelled")),
    ],
)
def test_who_leaves_at_the_last_moment_leaves_for_the_deadline(left: float | None, ending: tuple[str, str]) -> None:
    ended: list[tuple[str, str]] = []

    class Ended:
        def end(self, status: str, error: str) -> None:
            ended.append((status, error))

    class Context:
        def time_remaining(self) -> float | None:
            return left

    end_cancelled(Ended(), Context())  # type: ignore[arg-type]
    assert ended == [ending]


async def test_the_servers_own_deadline_caps_the_callers(serve: Serve, gated: Gated) -> None:
    async with serve(gated, default_deadline_s=0.2) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        with pytest.raises(DeadlineTooShort):
            await client.evaluate(PANEL, timeout=60)


async def test_a_call_that_cannot_end_in_time_is_refused_before_work(serve: Serve, gated: Gated) -> None:
    async with serve(gated, min_deadline_s=5.0) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        with pytest.raises(DeadlineTooShort):
            await client.evaluate(PANEL, timeout=2)
    assert gated.calls == 0


async def test_cancelling_stops_the_work(serve: Serve, gated: Gated) -> None:
    async with serve(gated) as served, AsyncLabCueClient(served.target) as client:
        task = asyncio.create_task(client.evaluate(PANEL))
        await asyncio.to_thread(gated.begun.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gated.stopped.wait, 5)
        await served.ended("Evaluate")
    assert _status(served) == [("CANCELLED", "cancelled")]


async def test_a_crash_is_internal_and_says_nothing(
    serve: Serve, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    gated.error = ZeroDivisionError("Jane Roe 6.9")
    gated.gate.set()
    async with serve(gated) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        with pytest.raises(InternalError) as caught:
            await client.evaluate(PANEL)
    assert "Jane" not in str(caught.value)
    assert "Jane" not in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert _status(served) == [("INTERNAL", "internal")]


@pytest.mark.parametrize("error", [StopIteration("Jane"), SystemExit("Jane"), KeyboardInterrupt("Jane"), MemoryError()])
async def test_no_exception_ends_the_server_or_holds_its_place(
    serve: Serve, gated: Gated, error: BaseException
) -> None:
    gated.error = error
    gated.gate.set()
    async with serve(gated, max_concurrency=1) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        with pytest.raises(InternalError):
            await client.evaluate(PANEL)
        gated.error = None
        assert (await client.evaluate(PANEL)).cards
    assert _status(served) == [("INTERNAL", "internal"), ("OK", None)]


async def test_bytes_that_are_no_request_do_no_harm(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async with serve() as served, AsyncLabCueClient(served.target) as client:
        raw = client._channel.unary_unary(f"/{SERVICE}/Evaluate", lambda data: data, lambda data: data)
        for junk in (b"\xff\xffJane Roe", b"\x12\x08\xff\xfeJane R", b"\x0a\x7fJane"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw(junk)
            assert "Jane" not in str(caught.value.details())
        assert (await client.evaluate(PANEL)).cards
    assert "Jane" not in caplog.text


async def test_a_repeat_gets_the_same_answer_and_joins_one_under_way(serve: Serve, gated: Gated) -> None:
    async with serve(gated) as served, AsyncLabCueClient(served.target) as client:
        first = asyncio.create_task(client.evaluate(PANEL, request_id="r1"))
        await asyncio.to_thread(gated.begun.acquire)
        second = asyncio.create_task(client.evaluate(PANEL, request_id="r1"))
        gated.gate.set()
        answers = [await first, await second, await client.evaluate(PANEL, request_id="r1")]
        assert len({answer.cards[0].uuid for answer in answers}) == 1
        assert gated.calls == 1
        with pytest.raises(RequestIdReused):
            await client.evaluate(PANEL, request_id="r1", language="fr")
        with pytest.raises(InvalidInput) as caught:
            await client.evaluate(PANEL, request_id="x" * 200)
    assert caught.value.violations[0].path == "request_id"


async def test_a_failure_is_not_kept_for_repeats(serve: Serve, gated: Gated) -> None:
    gated.error = ZeroDivisionError()
    gated.gate.set()
    async with serve(gated) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        with pytest.raises(InternalError):
            await client.evaluate(PANEL, request_id="r1")
        gated.error = None
        assert (await client.evaluate(PANEL, request_id="r1")).cards


async def test_a_stream_answers_each_in_completion_order_and_goes_on_after_a_bad_one(serve: Serve) -> None:
    async def bundles() -> AsyncIterator[tuple[str, Any]]:
        for number in range(40):
            yield f"id-{number}", PANEL if number % 4 else b"{"

    async with serve() as served, AsyncLabCueClient(served.target) as client:
        answers = {id: answer async for id, answer in client.evaluate_stream(bundles())}
    assert set(answers) == {f"id-{number}" for number in range(40)}
    assert sum(isinstance(answer, NotJson) for answer in answers.values()) == 10
    assert all(answer.cards for answer in answers.values() if isinstance(answer, cds_pb2.EvaluateResponse))


async def test_a_stream_item_needs_an_id(serve: Serve) -> None:
    async with serve() as served, grpc.aio.insecure_channel(served.target) as channel:
        from labcue.v1 import cds_pb2_grpc

        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)
        request = cds_pb2.EvaluateStreamRequest(request=cds_pb2.EvaluateRequest(bundle=PANEL))
        (answer,) = [answer async for answer in stub.EvaluateStream(iter([request]))]
    assert answer.WhichOneof("result") == "error"


async def test_feedback_is_stored_and_checked(serve: Serve) -> None:
    async with serve() as served, AsyncLabCueClient(served.target) as client:
        card = (await client.evaluate(PANEL)).cards[0].uuid
        good = cds_pb2.Feedback(
            card=card, outcome=cds_pb2.FEEDBACK_OUTCOME_OVERRIDDEN, outcome_timestamp="2026-01-01T00:00:00Z"
        )
        other = cds_pb2.Feedback(
            card="unknown", outcome=cds_pb2.FEEDBACK_OUTCOME_OVERRIDDEN, outcome_timestamp="2026-01-01T00:00:00Z"
        )
        answer = await client.send_feedback([good, other])
        assert (answer.stored, list(answer.unmatched_cards)) == (2, ["unknown"])
        with pytest.raises(FeedbackError) as caught:
            await client.send_feedback([good, cds_pb2.Feedback(card=card, outcome=cds_pb2.FEEDBACK_OUTCOME_ACCEPTED)])
    paths = {violation.path for violation in caught.value.violations}
    assert paths == {"feedback[1].acceptedSuggestions", "feedback[1].outcomeTimestamp"}


async def test_health_turns_when_draining_and_running_work_ends_well(serve: Serve, gated: Gated) -> None:
    async with serve(gated) as served, AsyncLabCueClient(served.target, retry=ONCE) as client:
        stub = health_pb2_grpc.HealthStub(client._channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == SERVING
        work = asyncio.create_task(client.evaluate(PANEL))
        await asyncio.to_thread(gated.begun.acquire)
        drain = asyncio.create_task(served.server.drain())  # type: ignore[arg-type]
        assert (await watch.read()).status == NOT_SERVING
        gated.gate.set()
        assert (await work).cards
        watch.cancel()
        await drain


async def test_reflection_is_off_unless_set(serve: Serve) -> None:
    async def names(served: Served) -> list[str]:
        async with grpc.aio.insecure_channel(served.target) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            answers = [answer async for answer in stub.ServerReflectionInfo(iter([request]))]
            return [service.name for service in answers[0].list_services_response.service]

    async with serve(reflection=True) as served:
        assert SERVICE in await names(served)
    async with serve() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await names(served)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_callers_trace_goes_on(serve: Serve) -> None:
    async with serve() as served, grpc.aio.insecure_channel(served.target) as channel:
        from labcue.v1 import cds_pb2_grpc

        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)
        trace = "0af7651916cd43dd8448eb211c80319c"
        response = await stub.Evaluate(
            cds_pb2.EvaluateRequest(bundle=PANEL), metadata=(("traceparent", f"00-{trace}-b7ad6b7169203331-01"),)
        )
    assert response.extension.evaluation.trace_id == trace


async def test_metrics_count_flags_and_errors(serve: Serve) -> None:
    async with serve() as served, AsyncLabCueClient(served.target) as client:
        await client.evaluate(PANEL)
        with pytest.raises(NotJson):
            await client.evaluate(b"{")
        await served.ended("Evaluate", 2)
        found = json.loads(served.metrics.get_metrics_data().to_json())  # type: ignore[union-attr]
    names = {metric["name"] for metric in found["resource_metrics"][0]["scope_metrics"][0]["metrics"]}
    assert names >= {
        "rpc.server.call.duration",
        "labcue.step.duration",
        "labcue.requests",
        "labcue.flags",
        "labcue.errors",
    }
    assert names >= {"labcue.requests.in_flight", "labcue.requests.queued"}
