"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from typing import Any

import grpc

from cds_service.client.caller import OPTIONS, Bundle, Caller, Tls, Token, answer, request
from cds_service.client.errors import typed
from cds_service.client.retry import Retry
from cds_service.domain import FlagsListed
from fhir_adapter.errors import LabCueError
from labcue.v1 import cds_pb2, cds_pb2_grpc


class AsyncLabCueClient:
    """As :class:`.LabCueClient`, for asyncio."""

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        token: Token | None = None,
        adapter: str | None = None,
        timeout: float = 10.0,
        retry: Retry | None = None,
    ) -> None:
        self._caller = Caller(target, tls, token, adapter, timeout, retry or Retry())
        self._channel = (
            grpc.aio.insecure_channel(target, OPTIONS)
            if tls is None
            else grpc.aio.secure_channel(target, tls.credentials(), OPTIONS)
        )
        self._stub = cds_pb2_grpc.LabDecisionSupportStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> AsyncLabCueClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def evaluate(
        self,
        bundle: Bundle,
        *,
        language: str | None = None,
        request_id: str | None = None,
        user: str | None = None,
        flags: FlagsListed | None = None,
        timeout: float | None = None,
    ) -> cds_pb2.EvaluateResponse:
        """See :meth:`LabCueClient.evaluate`. Cancelling the task cancels the work at the server."""
        response: cds_pb2.EvaluateResponse = await self._call(
            self._stub.Evaluate, request(bundle, language, request_id, user, flags), timeout
        )
        return response

    async def evaluate_stream(
        self,
        bundles: AsyncIterable[tuple[str, Bundle]],
        *,
        language: str | None = None,
        user: str | None = None,
        flags: FlagsListed | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[str, cds_pb2.EvaluateResponse | LabCueError]]:
        """See :meth:`LabCueClient.evaluate_stream`."""

        async def requests() -> AsyncIterator[cds_pb2.EvaluateStreamRequest]:
            async for id, bundle in bundles:
                yield cds_pb2.EvaluateStreamRequest(request=request(bundle, language, id, user, flags))

        call = self._stub.EvaluateStream(requests(), timeout=timeout, metadata=self._caller.metadata())
        try:
            async for item in call:
                yield item.request_id, answer(item)
        except grpc.RpcError as error:
            raise typed(error) from None
        finally:
            call.cancel()

    async def send_feedback(
        self, feedback: Sequence[cds_pb2.Feedback], *, timeout: float | None = None
    ) -> cds_pb2.SendFeedbackResponse:
        """Stores what clinicians did with cards."""
        response: cds_pb2.SendFeedbackResponse = await self._call(
            self._stub.SendFeedback, cds_pb2.SendFeedbackRequest(feedback=feedback), timeout
        )
        return response

    async def service_info(self, *, timeout: float | None = None) -> cds_pb2.GetServiceInfoResponse:
        """What is in force at the server."""
        response: cds_pb2.GetServiceInfoResponse = await self._call(
            self._stub.GetServiceInfo, cds_pb2.GetServiceInfoRequest(), timeout
        )
        return response

    async def _call(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:
        attempts = self._caller.attempts(timeout)
        while True:
            try:
                answer = await method(request, timeout=attempts.left, metadata=self._caller.metadata())
            except grpc.RpcError as error:
                pause = attempts.wait(error)
            else:
                attempts.good()
                return answer
            await asyncio.sleep(pause)
