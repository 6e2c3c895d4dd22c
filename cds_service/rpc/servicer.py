"""The four calls. Each runs inside one guard, which owns its ending: status, span, metric."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, suppress
from functools import cache
from importlib import metadata
from typing import Any

import grpc

from cds_service import words
from cds_service.backend import Backend
from cds_service.domain import FlagsListed
from cds_service.errors import known
from cds_service.pipeline import Evaluation
from cds_service.records.feedback import Feedback
from cds_service.rpc import wire
from cds_service.rpc.ending import end_cancelled, guard
from cds_service.rpc.idempotency import Answers, check_id
from cds_service.rpc.status import grpc_code, to_status
from cds_service.telemetry.setup import Call
from fhir_adapter.catalog import Catalog
from fhir_adapter.errors import InvalidInput, LabCueError, LimitExceeded, Violation
from labcue.v1 import cds_pb2, cds_pb2_grpc

SERVICE = "labcue.v1.LabDecisionSupport"
ADAPTER = "labcue-adapter"
"""Metadata of a call that names one of the settings' adapters."""
MAX_USER = 256
MAX_STREAM_WORK = 16
"""Bundles of one stream that are read, judged or not yet sent back; the stream isn't read further until one is."""
_LISTED: dict[int, FlagsListed] = {cds_pb2.FLAG_SELECTION_ALL: "all", cds_pb2.FLAG_SELECTION_ABNORMAL: "abnormal"}
_OUTCOMES = {cds_pb2.FEEDBACK_OUTCOME_ACCEPTED: "accepted", cds_pb2.FEEDBACK_OUTCOME_OVERRIDDEN: "overridden"}


class Servicer(cds_pb2_grpc.LabDecisionSupportServicer):
    """LabDecisionSupport over one pipeline."""

    def __init__(self, backend: Backend) -> None:
        settings = backend.settings
        self._settings, self._pipeline, self._evaluator = settings, backend.pipeline, backend.evaluator
        self._telemetry, self._records = backend.telemetry, backend.records
        self._answers = Answers(settings.idempotency_entries, settings.idempotency_ttl_s)

    async def Evaluate(self, request: cds_pb2.EvaluateRequest, context: Any) -> cds_pb2.EvaluateResponse:
        deadline = self._deadline(context)

        async def work(call: Call) -> cds_pb2.EvaluateResponse:
            self._check(request)
            if request.request_id not in self._answers:
                self._evaluator.check_room()
            adapter = _adapter(context)
            return await self._answers.once(request, lambda: self._evaluate(request, deadline, call, adapter), adapter)

        with self._call(context, "Evaluate") as call:
            return await guard(call, context, work)

    async def EvaluateStream(self, requests: AsyncIterator[cds_pb2.EvaluateStreamRequest], context: Any) -> None:
        async def work(call: Call) -> None:
            # Unbounded on purpose: ``room`` bounds what can be in it, and its last entry must never have to wait.
            answers: asyncio.Queue[cds_pb2.EvaluateStreamResponse | None] = asyncio.Queue()
            room = asyncio.Semaphore(MAX_STREAM_WORK)
            reader = asyncio.create_task(self._read_stream(requests, answers, room, call, context))
            try:
                while (answer := await answers.get()) is not None:
                    try:
                        await context.write(answer)
                    except grpc.aio.InternalError:  # the peer has gone; its cancellation may arrive only now
                        raise asyncio.CancelledError from None
                    room.release()
                await reader
            finally:
                reader.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await reader

        with self._call(context, "EvaluateStream") as call:
            await guard(call, context, work)

    async def _read_stream(
        self,
        requests: AsyncIterator[cds_pb2.EvaluateStreamRequest],
        answers: asyncio.Queue[cds_pb2.EvaluateStreamResponse | None],
        room: asyncio.Semaphore,
        stream: Call,
        context: Any,
    ) -> None:
        """Starts an evaluation per request, a bounded number at a time; None ends the answers."""

        async def answer(request: cds_pb2.EvaluateRequest) -> None:
            answers.put_nowait(await self._stream_item(request, stream, context))

        try:
            async with asyncio.TaskGroup() as tasks:
                await room.acquire()
                async for item in requests:
                    tasks.create_task(answer(item.request))
                    await room.acquire()
        finally:
            answers.put_nowait(None)

    async def _stream_item(
        self, request: cds_pb2.EvaluateRequest, stream: Call, context: Any
    ) -> cds_pb2.EvaluateStreamResponse:
        """One bundle of a stream: its answer, or its own error."""
        failure: LabCueError
        adapter = _adapter(context)
        with self._telemetry.item(stream) as call:

            async def work() -> cds_pb2.EvaluateResponse:
                async with self._evaluator.stream_turn():
                    return await self._evaluate(request, self._deadline(context), call, adapter, refuse=False)

            try:
                self._check(request)
                if not request.request_id:
                    raise InvalidInput(violations=(Violation("request_id", "required in a stream"),))
                response = await self._answers.once(request, work, adapter)
            except asyncio.CancelledError:
                end_cancelled(call, context)
                raise
            except Exception as error:
                failure = known(error)
                call.end(grpc_code(failure).name, failure.code)
            else:
                call.end("OK")
                return cds_pb2.EvaluateStreamResponse(request_id=request.request_id, response=response)
        return cds_pb2.EvaluateStreamResponse(request_id=request.request_id, error=to_status(failure))

    async def SendFeedback(self, request: cds_pb2.SendFeedbackRequest, context: Any) -> cds_pb2.SendFeedbackResponse:
        async def work(call: Call) -> cds_pb2.SendFeedbackResponse:
            entries = [_feedback(entry) for entry in request.feedback]
            unmatched = await asyncio.to_thread(self._records.add_feedback, entries)
            return cds_pb2.SendFeedbackResponse(stored=len(entries), unmatched_cards=unmatched)

        with self._call(context, "SendFeedback") as call:
            return await guard(call, context, work)

    async def GetServiceInfo(
        self, request: cds_pb2.GetServiceInfoRequest, context: Any
    ) -> cds_pb2.GetServiceInfoResponse:
        async def work(call: Call) -> cds_pb2.GetServiceInfoResponse:
            return self._info()

        with self._call(context, "GetServiceInfo") as call:
            return await guard(call, context, work)

    def _info(self) -> cds_pb2.GetServiceInfoResponse:
        catalog: Catalog | None = getattr(self._pipeline, "catalog", None)
        engine = getattr(self._pipeline, "engine", None)
        info = cds_pb2.GetServiceInfoResponse(
            version=_version(),
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

    def _call(self, context: Any, method: str) -> AbstractContextManager[Call]:
        return self._telemetry.call(f"{SERVICE}/{method}", tuple(context.invocation_metadata() or ()))

    def _check(self, request: cds_pb2.EvaluateRequest) -> None:
        """What can be said of a request before anything is done with its content."""
        self._evaluator.check_open()
        check_id(request.request_id)
        if len(request.user) > MAX_USER:
            raise InvalidInput(violations=(Violation("user", f"at most {MAX_USER} characters"),))
        if request.flags and request.flags not in _LISTED:
            raise InvalidInput(violations=(Violation("flags", "must be one of FlagSelection"),))
        if len(request.bundle) > self._settings.max_bundle_bytes:
            raise LimitExceeded(violations=(Violation("bundle", f"at most {self._settings.max_bundle_bytes} bytes"),))

    async def _evaluate(
        self,
        request: cds_pb2.EvaluateRequest,
        deadline: float,
        call: Call,
        adapter: str | None,
        *,
        refuse: bool = True,
    ) -> cds_pb2.EvaluateResponse:
        listed = _LISTED.get(request.flags, self._settings.answer_flags)

        def write(evaluation: Evaluation) -> cds_pb2.EvaluateResponse:
            return wire.to_response(evaluation, trace_id=call.trace_id, listed=listed)

        return await self._evaluator.evaluate(
            request.bundle,
            language=request.language or None,
            deadline=deadline,
            call=call,
            write=write,
            user=request.user or None,
            refuse=refuse,
            adapter=adapter,
        )

    def _deadline(self, context: Any) -> float:
        """The caller's deadline, capped by ours (``time.monotonic``)."""
        return self._evaluator.deadline(context.time_remaining())


def _adapter(context: Any) -> str | None:
    """The adapter that the call's metadata names; None for the one of the settings."""
    return next((str(value) for name, value in context.invocation_metadata() or () if name == ADAPTER), None)


@cache
def _version() -> str:
    return metadata.version("labcue")


def _feedback(entry: cds_pb2.Feedback) -> Feedback:
    reason = entry.override_reason.reason
    return Feedback(
        card=entry.card,
        outcome=_OUTCOMES.get(entry.outcome, ""),
        suggestions=tuple(suggestion.id for suggestion in entry.accepted_suggestions),
        reason_code=reason.code,
        reason_system=reason.system,
        reason_display=reason.display,
        comment=entry.override_reason.user_comment,
        outcome_at=entry.outcome_timestamp,
    )
