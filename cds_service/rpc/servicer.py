"""The four calls. Each runs inside one guard, which owns its ending: status, span, metric."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from typing import Any, Protocol, TypeVar

from grpc_status import rpc_status

from cds_service import words
from cds_service.config import Settings
from cds_service.feedback import Feedback, FeedbackStore
from cds_service.pipeline import Evaluation, Work
from cds_service.rpc import wire
from cds_service.rpc.admission import Admission
from cds_service.rpc.idempotency import Answers, check_id
from cds_service.rpc.status import grpc_code, to_status
from cds_service.telemetry.setup import Call, Telemetry
from fhir_adapter.catalog import Catalog
from fhir_adapter.errors import (
    Cancelled,
    DeadlineTooShort,
    Draining,
    InternalError,
    InvalidInput,
    LabCueError,
    LimitExceeded,
    Overloaded,
    Violation,
)
from labcue.v1 import cds_pb2, cds_pb2_grpc

T = TypeVar("T")
log = logging.getLogger(__name__)
SERVICE = "labcue.v1.LabDecisionSupport"
MAX_STREAM_WORK = 16
_OUTCOMES = {cds_pb2.FEEDBACK_OUTCOME_ACCEPTED: "accepted", cds_pb2.FEEDBACK_OUTCOME_OVERRIDDEN: "overridden"}


class Evaluates(Protocol):
    """What the servicer needs of ``pipeline.Pipeline``."""

    def evaluate(self, bundle: bytes, *, language: str | None = None, work: Work | None = None) -> Evaluation: ...


class Servicer(cds_pb2_grpc.LabDecisionSupportServicer):
    """LabDecisionSupport over one pipeline."""

    def __init__(self, settings: Settings, pipeline: Evaluates, telemetry: Telemetry, store: FeedbackStore) -> None:
        self._settings, self._pipeline, self._telemetry, self._store = settings, pipeline, telemetry, store
        self._admission = Admission(settings.max_concurrency, settings.max_queue, telemetry)
        self._answers = Answers(settings.idempotency_entries, settings.idempotency_ttl_s)
        self._threads = ThreadPoolExecutor(settings.max_concurrency, thread_name_prefix="evaluate")
        self.draining = False

    def close(self) -> None:
        """Waits for running work and ends its threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def Evaluate(self, request: cds_pb2.EvaluateRequest, context: Any) -> cds_pb2.EvaluateResponse:
        deadline = self._deadline(context)

        async def work(call: Call) -> cds_pb2.EvaluateResponse:
            check_id(request.request_id)
            return await self._answers.once(request, lambda: self._evaluate(request, deadline, call))

        return await self._guard(context, "Evaluate", work)

    async def EvaluateStream(
        self, requests: AsyncIterator[cds_pb2.EvaluateStreamRequest], context: Any
    ) -> AsyncIterator[cds_pb2.EvaluateStreamResponse]:
        answers: asyncio.Queue[cds_pb2.EvaluateStreamResponse | None] = asyncio.Queue(MAX_STREAM_WORK)
        metadata = tuple(context.invocation_metadata() or ())
        with self._telemetry.call(f"{SERVICE}/EvaluateStream", metadata) as call:
            reader = asyncio.create_task(self._read_stream(requests, answers, metadata))
            try:
                while (answer := await answers.get()) is not None:
                    yield answer
                await reader
                call.end("OK")
            except (asyncio.CancelledError, GeneratorExit):
                self._end_cancelled(call, context)
                raise
            except Exception as error:
                await self._abort(call, context, error)
            finally:
                reader.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await reader

    async def _read_stream(
        self, requests: AsyncIterator[cds_pb2.EvaluateStreamRequest], answers: Any, metadata: Any
    ) -> None:
        """Starts an evaluation per request, a bounded number at a time; None ends the answers."""
        room = asyncio.Semaphore(MAX_STREAM_WORK)
        try:
            async with asyncio.TaskGroup() as tasks:
                async for item in requests:
                    await room.acquire()
                    tasks.create_task(self._stream_item(item.request, answers, metadata, room))
        finally:
            await answers.put(None)

    async def _stream_item(
        self, request: cds_pb2.EvaluateRequest, answers: Any, metadata: Any, room: asyncio.Semaphore
    ) -> None:
        answer = cds_pb2.EvaluateStreamResponse(request_id=request.request_id)
        with self._telemetry.call(f"{SERVICE}/EvaluateStream.item", metadata) as call:
            try:
                check_id(request.request_id)
                if not request.request_id:
                    raise InvalidInput(violations=(Violation("request_id", "required in a stream"),))
                deadline = time.monotonic() + self._settings.default_deadline_s
                response = await self._answers.once(
                    request, lambda: self._evaluate(request, deadline, call, refuse=False)
                )
                answer.response.CopyFrom(response)
                call.end("OK")
            except Exception as error:
                known = _known(error)
                call.end(grpc_code(known).name, known.code)
                answer.error.CopyFrom(to_status(known))
        try:
            await answers.put(answer)
        finally:
            room.release()

    async def SendFeedback(self, request: cds_pb2.SendFeedbackRequest, context: Any) -> cds_pb2.SendFeedbackResponse:
        async def work(call: Call) -> cds_pb2.SendFeedbackResponse:
            entries = [_feedback(entry) for entry in request.feedback]
            unmatched = await asyncio.to_thread(self._store.add, entries)
            return cds_pb2.SendFeedbackResponse(stored=len(entries), unmatched_cards=unmatched)

        return await self._guard(context, "SendFeedback", work)

    async def GetServiceInfo(
        self, request: cds_pb2.GetServiceInfoRequest, context: Any
    ) -> cds_pb2.GetServiceInfoResponse:
        async def work(call: Call) -> cds_pb2.GetServiceInfoResponse:
            return self._info()

        return await self._guard(context, "GetServiceInfo", work)

    def _info(self) -> cds_pb2.GetServiceInfoResponse:
        catalog: Catalog | None = getattr(self._pipeline, "catalog", None)
        engine = getattr(self._pipeline, "engine", None)
        info = cds_pb2.GetServiceInfoResponse(
            version=metadata.version("labcue"),
            degraded=getattr(self._pipeline, "degraded", None) or "",
            catalog_version=catalog.version if catalog is not None else "",
            analytes=len(catalog.analytes) if catalog is not None else 0,
            languages=words.LANGUAGES,
            max_bundle_bytes=self._settings.max_bundle_bytes,
            max_observations=self._settings.max_observations,
            fhir_versions=("4.0.1", "4.3.0", "5.0.0"),
        )
        if engine is not None:
            wire.set_model(info.model, engine.info)
        return info

    async def _evaluate(
        self, request: cds_pb2.EvaluateRequest, deadline: float, call: Call, *, refuse: bool = True
    ) -> cds_pb2.EvaluateResponse:
        """One evaluation in a worker thread, inside its deadline; a caller that leaves stops it at its next step."""
        if self.draining:
            raise Draining
        if len(request.bundle) > self._settings.max_bundle_bytes:
            raise LimitExceeded(violations=(Violation("bundle", f"at most {self._settings.max_bundle_bytes} bytes"),))
        if deadline - time.monotonic() < self._settings.min_deadline_s:
            raise DeadlineTooShort
        gone = threading.Event()
        work = Work(deadline, gone.is_set, call.observe)

        def run() -> tuple[Evaluation, cds_pb2.EvaluateResponse]:
            evaluation = self._pipeline.evaluate(request.bundle, language=request.language or None, work=work)
            return evaluation, wire.to_response(evaluation, trace_id=call.trace_id)

        async with self._admission.place(deadline, refuse=refuse) as slot:
            running = asyncio.get_running_loop().run_in_executor(self._threads, run)
            slot.keep_until(running)
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    evaluation, response = await asyncio.shield(running)
            except TimeoutError:
                gone.set()
                raise DeadlineTooShort from None
            except asyncio.CancelledError:
                gone.set()
                raise
        self._store.issued(card.uuid for card in response.cards)
        self._telemetry.verdict(
            call.span, evaluation.verdict, evaluation.observations, len(evaluation.cards), evaluation.language
        )
        return response

    def _deadline(self, context: Any) -> float:
        """The caller's deadline, capped by ours (``time.monotonic``)."""
        left = context.time_remaining()
        longest = self._settings.default_deadline_s
        return time.monotonic() + (longest if left is None else min(left, longest))

    async def _guard(self, context: Any, method: str, work: Callable[[Call], Awaitable[T]]) -> T:
        """Runs one unary call and owns its ending."""
        with self._telemetry.call(f"{SERVICE}/{method}", tuple(context.invocation_metadata() or ())) as call:
            try:
                answer = await work(call)
            except asyncio.CancelledError:
                self._end_cancelled(call, context)
                raise
            except Exception as error:
                await self._abort(call, context, error)
                raise  # not reached: abort raises
            call.end("OK")
            return answer

    async def _abort(self, call: Call, context: Any, error: Exception) -> None:
        """Ends a call with a rich status; never returns."""
        known = _known(error)
        call.end(grpc_code(known).name, known.code)
        if isinstance(known, Overloaded):
            context.set_trailing_metadata((("grpc-retry-pushback-ms", str(int(known.retry_after_s * 1000))),))
        await context.abort_with_status(rpc_status.to_status(to_status(known)))

    def _end_cancelled(self, call: Call, context: Any) -> None:
        left = context.time_remaining()
        if left is not None and left <= 0:
            call.end("DEADLINE_EXCEEDED", DeadlineTooShort.code)
        else:
            call.end("CANCELLED", Cancelled.code)


def _known(error: Exception) -> LabCueError:
    """The error as one of ours. A fault of ours is logged by type and place, never by its text: that may hold data."""
    if isinstance(error, LabCueError):
        return error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "unknown"
    log.error("internal error: %s at %s", type(error).__name__, place)
    return InternalError()


def _feedback(entry: cds_pb2.Feedback) -> Feedback:
    reason = entry.override_reason.reason
    return Feedback(
        card=entry.card,
        outcome=_OUTCOMES.get(entry.outcome, ""),
        suggestions=tuple(suggestion.id for suggestion in entry.accepted_suggestions if suggestion.id),
        reason_code=reason.code,
        reason_system=reason.system,
        reason_display=reason.display,
        comment=entry.override_reason.user_comment,
        outcome_at=entry.outcome_timestamp,
    )
