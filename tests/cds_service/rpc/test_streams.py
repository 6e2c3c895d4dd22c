"""Streams: turns, backpressure, and an end whatever their reader does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc

from cds_service.client import AsyncLabCueClient, LabCueClient, Retry
from cds_service.pipeline import Evaluation, Pipeline, Work
from cds_service.rpc.servicer import MAX_STREAM_WORK
from cds_service.telemetry.names import STREAM_ITEM
from fhir_adapter.errors import Draining, RequestIdReused
from labcue.v1 import cds_pb2, cds_pb2_grpc
from tests.bundles import PANEL, bundle, observation
from tests.cds_service.rpc.conftest import Gated, Serve

SODIUM = bundle(observation("na", "2951-2", 140, "mmol/L", 135, 145))


def _item(id: str, data: bytes = PANEL) -> cds_pb2.EvaluateStreamRequest:
    return cds_pb2.EvaluateStreamRequest(request=cds_pb2.EvaluateRequest(bundle=data, request_id=id))


def _stub(channel: grpc.aio.Channel) -> cds_pb2_grpc.LabDecisionSupportStub:
    return cds_pb2_grpc.LabDecisionSupportStub(channel)  # type: ignore[no-untyped-call]


@dataclass
class HoldsOne:
    """Answers every bundle at once but one, which waits until told."""

    inner: Pipeline
    held: bytes
    gate: threading.Event = field(default_factory=threading.Event)

    def evaluate(self, bundle: bytes, *, language: str | None = None, work: Work | None = None) -> Evaluation:
        if bundle == self.held:
            assert self.gate.wait(20)
        return self.inner.evaluate(bundle, language=language, work=work)


async def test_answers_come_in_the_order_in_which_they_are_ready(serve: Serve, gated: Gated) -> None:
    pipeline = HoldsOne(gated.inner, SODIUM)

    async def requests() -> AsyncIterator[cds_pb2.EvaluateStreamRequest]:
        yield _item("slow", SODIUM)
        yield _item("quick")

    async with serve(pipeline, max_concurrency=2) as served, grpc.aio.insecure_channel(served.target) as channel:
        call = _stub(channel).EvaluateStream(requests())
        first = await call.read()
        pipeline.gate.set()
        second = await call.read()
        assert await call.read() is grpc.aio.EOF
    assert [first.request_id, second.request_id] == ["quick", "slow"]


async def test_a_stream_waits_its_turn_and_leaves_room_for_single_calls(serve: Serve, gated: Gated) -> None:
    """A stream holds at most half of the places and is never refused; a single call still finds one."""
    sent = 0

    async def requests() -> AsyncIterator[cds_pb2.EvaluateStreamRequest]:
        nonlocal sent
        for number in range(60):
            sent += 1
            yield _item(f"id-{number}")

    settings = {"max_concurrency": 1, "max_queue": 7}
    async with serve(gated, **settings) as served, grpc.aio.insecure_channel(served.target) as channel:
        call = _stub(channel).EvaluateStream(requests())
        await asyncio.to_thread(gated.begun.acquire)
        async with AsyncLabCueClient(served.target, retry=Retry(attempts=1)) as client:
            single = asyncio.create_task(client.evaluate(PANEL))
            while served.server.backend.evaluator.inside < 5:
                await asyncio.sleep(0)
            assert served.server.backend.evaluator.inside == 5  # four of the stream, and the single call
            gated.gate.set()
            assert (await single).cards
        answers = [answer async for answer in call]
    assert len(answers) == sent == 60
    assert all(answer.WhichOneof("result") == "response" for answer in answers)


async def test_a_reader_that_stops_reading_stops_the_work_and_one_that_leaves_ends_it(
    serve: Serve, gated: Gated
) -> None:
    """Answers that nobody takes must not pile up, nor hold the call when its caller cancels."""
    gated.gate.set()
    big = bundle(*(observation(f"o{index}", "2951-2", 140 + index, "mmol/L", 135, 145) for index in range(400)))

    async def requests() -> AsyncIterator[cds_pb2.EvaluateStreamRequest]:
        for number in range(400):
            yield _item(f"id-{number}", big if number else SODIUM)

    async with serve(gated, default_deadline_s=30) as served, grpc.aio.insecure_channel(served.target) as channel:
        call = _stub(channel).EvaluateStream(requests())
        first = await call.read()
        assert first.WhichOneof("result") == "response"
        await served.ended(STREAM_ITEM, MAX_STREAM_WORK)
        call.cancel()
        await served.ended("EvaluateStream")
        while served.server.backend.evaluator.inside:
            await asyncio.sleep(0)
    assert gated.calls < 400
    (stream,) = [span for span in served.spans.get_finished_spans() if span.name.endswith("/EvaluateStream")]
    assert dict(stream.attributes or {})["rpc.status_code"] == "CANCELLED"


async def test_cancelling_a_stream_stops_all_its_work(serve: Serve, gated: Gated) -> None:
    async def requests() -> AsyncIterator[cds_pb2.EvaluateStreamRequest]:
        for number in range(2):
            yield _item(f"id-{number}")

    async with serve(gated, max_concurrency=2) as served, grpc.aio.insecure_channel(served.target) as channel:
        call = _stub(channel).EvaluateStream(requests())
        reading = asyncio.create_task(call.read())
        for _ in range(2):
            await asyncio.to_thread(gated.begun.acquire)
        call.cancel()
        await asyncio.wait((reading,))
        assert await asyncio.to_thread(gated.stopped.wait, 10)
        await served.ended("EvaluateStream")
        await served.ended(STREAM_ITEM, 2)
        while served.server.backend.evaluator.inside:
            await asyncio.sleep(0)
    found = {
        (span.name.split("/")[-1], dict(span.attributes or {})["error.type"])
        for span in served.spans.get_finished_spans()
    }
    assert found == {("EvaluateStream", "cancelled"), (STREAM_ITEM, "cancelled")}


async def test_the_spans_of_a_stream_hang_together(serve: Serve) -> None:
    async with serve() as served, AsyncLabCueClient(served.target) as client:

        async def bundles() -> AsyncIterator[tuple[str, bytes]]:
            yield "good", PANEL
            yield "bad", b"{"

        async for _ in client.evaluate_stream(bundles()):
            pass
        await served.ended("EvaluateStream")
    spans = {span.context.span_id: span for span in served.spans.get_finished_spans() if span.context}
    items = [span for span in spans.values() if span.name == STREAM_ITEM]
    assert sorted(str(dict(span.attributes or {})["rpc.status_code"]) for span in items) == ["INVALID_ARGUMENT", "OK"]
    for item in items:
        assert item.parent is not None
        assert spans[item.parent.span_id].name.endswith("/EvaluateStream")


async def test_an_id_with_another_content_is_refused_in_a_stream_too(serve: Serve) -> None:
    async def bundles() -> AsyncIterator[tuple[str, bytes]]:
        yield "same", PANEL
        yield "same", SODIUM

    async with serve() as served, AsyncLabCueClient(served.target) as client:
        answers = [answer async for _, answer in client.evaluate_stream(bundles())]
    assert sum(isinstance(answer, RequestIdReused) for answer in answers) == 1


async def test_a_draining_server_answers_each_item_by_its_own_error(serve: Serve, gated: Gated) -> None:
    more = asyncio.Event()

    async def bundles() -> AsyncIterator[tuple[str, bytes]]:
        yield "before", PANEL
        await more.wait()
        yield "after", PANEL

    async with serve(gated) as served, AsyncLabCueClient(served.target) as client:
        answers = client.evaluate_stream(bundles())
        gated.gate.set()
        assert isinstance((await anext(answers))[1], cds_pb2.EvaluateResponse)
        served.server.backend.evaluator.draining = True
        more.set()
        assert isinstance((await anext(answers))[1], Draining)
        await answers.aclose()


async def test_leaving_the_loop_of_a_sync_stream_cancels_the_rest(serve: Serve, gated: Gated) -> None:
    gated.gate.set()
    answered, left = threading.Event(), threading.Event()

    def leave() -> None:
        def bundles() -> object:
            yield "first", PANEL
            answered.wait(20)
            yield "second", PANEL
            left.wait(20)

        with LabCueClient(served.target) as client:
            answers = client.evaluate_stream(bundles())  # type: ignore[arg-type]
            assert next(answers)[0] == "first"
            assert gated.begun.acquire(timeout=20)
            gated.gate.clear()
            answered.set()
            assert gated.begun.acquire(timeout=20)  # the second is being judged: without it nothing is left to cancel
            answers.close()  # type: ignore[attr-defined]

    async with serve(gated) as served:
        await asyncio.to_thread(leave)
        assert await asyncio.to_thread(gated.stopped.wait, 20)
        await served.ended("EvaluateStream")
        left.set()
    (stream,) = [span for span in served.spans.get_finished_spans() if span.name.endswith("/EvaluateStream")]
    assert dict(stream.attributes or {})["rpc.status_code"] == "CANCELLED"
