"""The clients, against a real server that answers as a test has written down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from cds_service.client import AsyncLabCueClient, LabCueClient, Retry
from cds_service.errors import TABLE
from cds_service.rpc.status import from_status, to_status
from fhir_adapter.errors import (
    DeadlineTooShort,
    Draining,
    InternalError,
    InvalidInput,
    LabCueError,
    LimitExceeded,
    MultiplePatients,
    NotJson,
    Overloaded,
    RequestIdReused,
    Violation,
)
from labcue.v1 import cds_pb2, cds_pb2_grpc

QUICK = Retry(first_s=0.001, longest_s=0.001)
Step = Callable[[grpc.ServicerContext], None]


class Scripted(cds_pb2_grpc.LabDecisionSupportServicer):
    """Answers each call by the next step of a script, and well once that is over."""

    def __init__(self, *script: Step) -> None:
        self.script, self.requests, self.lock = list(script), [], threading.Lock()

    def Evaluate(self, request: cds_pb2.EvaluateRequest, context: grpc.ServicerContext) -> cds_pb2.EvaluateResponse:
        with self.lock:
            self.requests.append(request)
            step = self.script.pop(0) if self.script else None
        if step is not None:
            step(context)
        response = cds_pb2.EvaluateResponse()
        response.cards.add(uuid=request.request_id)
        return response


def fails(error: LabCueError, *metadata: tuple[str, str]) -> Step:
    """A step that ends in one of our errors."""

    def step(context: grpc.ServicerContext) -> None:
        status = rpc_status.to_status(to_status(error))
        context.set_trailing_metadata((*status.trailing_metadata, *metadata))
        context.abort(status.code, status.details)

    return step


def plain(code: grpc.StatusCode, details: str = "", *metadata: tuple[str, str | bytes]) -> Step:
    """A step that ends without details of ours, as a proxy would."""

    def step(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata(metadata)
        context.abort(code, details)

    return step


@contextmanager
def served(script: Scripted) -> Iterator[str]:
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        cds_pb2_grpc.add_LabDecisionSupportServicer_to_server(script, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.fixture(params=["sync", "async"])
def evaluate(request: pytest.FixtureRequest) -> Callable[..., cds_pb2.EvaluateResponse]:
    """``evaluate(target, bundle, retry=…, **more)`` by either client."""

    def by_sync(target: str, bundle: Any = b"{}", *, retry: Retry = QUICK, **more: Any) -> cds_pb2.EvaluateResponse:
        with LabCueClient(target, retry=retry) as client:
            return client.evaluate(bundle, **more)

    def by_async(target: str, bundle: Any = b"{}", *, retry: Retry = QUICK, **more: Any) -> cds_pb2.EvaluateResponse:
        async def call() -> cds_pb2.EvaluateResponse:
            async with AsyncLabCueClient(target, retry=retry) as client:
                return await client.evaluate(bundle, **more)

        return asyncio.run(call())

    return by_sync if request.param == "sync" else by_async


Evaluate = Callable[..., cds_pb2.EvaluateResponse]


def test_what_was_not_judged_is_tried_again_under_the_same_id(evaluate: Evaluate) -> None:
    script = Scripted(fails(Overloaded(retry_after_s=0.001)), fails(Draining()), plain(grpc.StatusCode.UNAVAILABLE))
    with served(script) as target:
        response = evaluate(target, "{}", language="fr")
    assert len(script.requests) == 4
    assert {request.request_id for request in script.requests} == {response.cards[0].uuid}
    assert script.requests[0].bundle == b"{}"
    assert script.requests[0].language == "fr"


@pytest.mark.parametrize(
    "error", [NotJson(), MultiplePatients(), RequestIdReused(), DeadlineTooShort(), InternalError(), LimitExceeded()]
)
def test_what_was_judged_is_not_tried_again(evaluate: Evaluate, error: LabCueError) -> None:
    script = Scripted(fails(error))
    with served(script) as target, pytest.raises(type(error)) as caught:
        evaluate(target)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert len(script.requests) == 1


def test_tries_are_counted(evaluate: Evaluate) -> None:
    script = Scripted(*[fails(Draining())] * 10)
    with served(script) as target, pytest.raises(Draining):
        evaluate(target, retry=Retry(attempts=3, first_s=0.001))
    assert len(script.requests) == 3


def test_violations_come_through(evaluate: Evaluate) -> None:
    sent = (Violation("Bundle.entry[3]", "not an object"), Violation("Bundle.type", "missing"))
    with served(Scripted(fails(InvalidInput(violations=sent)))) as target, pytest.raises(InvalidInput) as caught:
        evaluate(target)
    assert caught.value.violations == sent


def test_no_try_is_made_that_cannot_end_in_time(evaluate: Evaluate) -> None:
    script = Scripted(fails(Overloaded(retry_after_s=3600)))
    with served(script) as target, pytest.raises(Overloaded) as caught:
        evaluate(target, timeout=30)
    assert caught.value.retry_after_s == 3600
    assert len(script.requests) == 1


@pytest.mark.parametrize("pushback", ["-1", "soon"])
def test_a_server_may_forbid_to_come_back(evaluate: Evaluate, pushback: str) -> None:
    script = Scripted(fails(Draining(), ("grpc-retry-pushback-ms", pushback)))
    with served(script) as target, pytest.raises(Draining):
        evaluate(target)
    assert len(script.requests) == 1


def test_pushback_counts_without_details_too(evaluate: Evaluate) -> None:
    script = Scripted(plain(grpc.StatusCode.UNAVAILABLE, "", ("grpc-retry-pushback-ms", "3600000")))
    with served(script) as target, pytest.raises(Draining):
        evaluate(target, timeout=30)
    assert len(script.requests) == 1


def test_an_ailing_server_is_not_held_down() -> None:
    script = Scripted(*[fails(Draining())] * 100)
    with served(script) as target, LabCueClient(target, retry=Retry(attempts=5, first_s=0.0, tokens=10)) as client:
        for _ in range(10):
            with pytest.raises(Draining):
                client.evaluate(b"{}")
    assert len(script.requests) == 14  # five tries by the first call, one by each that follows


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", DeadlineTooShort),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)", LimitExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "quota", Overloaded),
        (grpc.StatusCode.INVALID_ARGUMENT, "", InvalidInput),
        (grpc.StatusCode.INTERNAL, "secret", InternalError),
        (grpc.StatusCode.PERMISSION_DENIED, "", LabCueError),
    ],
)
def test_errors_of_others_are_typed_too(
    evaluate: Evaluate, code: grpc.StatusCode, details: str, kind: type[LabCueError]
) -> None:
    with served(Scripted(plain(code, details))) as target, pytest.raises(LabCueError) as caught:
        evaluate(target, retry=Retry(attempts=1))
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


def test_details_that_are_not_ours_are_no_crash(evaluate: Evaluate) -> None:
    script = Scripted(plain(grpc.StatusCode.INVALID_ARGUMENT, "", ("grpc-status-details-bin", b"\xff\xff\xff")))
    with served(script) as target, pytest.raises(InvalidInput):
        evaluate(target)


def test_nobody_there(evaluate: Evaluate) -> None:
    with served(Scripted()) as target:
        pass
    with pytest.raises(Draining, match="can't be reached"):
        evaluate(target, timeout=5)


def test_a_bundle_may_be_bytes_text_or_a_dict(evaluate: Evaluate) -> None:
    script = Scripted()
    with served(script) as target:
        for bundle in (b'{"a": "\xc3\xa9"}', '{"a": "é"}', {"a": "é"}):
            evaluate(target, bundle, request_id="mine")
    assert [request.bundle.decode() for request in script.requests] == ['{"a": "é"}'] * 2 + ['{"a": "\\u00e9"}']
    assert {request.request_id for request in script.requests} == {"mine"}


@pytest.mark.parametrize("kind", [kind for kind in TABLE if kind is not LabCueError])
def test_every_error_goes_over_the_wire_and_back(kind: type[LabCueError]) -> None:
    back = from_status(to_status(kind()))
    assert type(back) is kind
    assert str(back) == str(kind())


def test_waits_grow_stay_bounded_and_honour_the_server() -> None:
    retry = Retry(first_s=0.1, factor=2.0, longest_s=0.5)
    waits = [retry.wait(attempt, None, jitter=lambda: 1.0) for attempt in range(1, 6)]
    assert waits == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert retry.wait(1, None, jitter=lambda: 0.5) == 0.05
    assert retry.wait(1, 3.0, jitter=lambda: 1.0) == 3.0
