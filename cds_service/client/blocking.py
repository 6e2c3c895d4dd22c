"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import grpc

from cds_service.client.caller import OPTIONS, Bundle, Caller, Tls, Token, answer, request
from cds_service.client.errors import typed
from cds_service.client.retry import Retry
from cds_service.domain import FlagsListed
from fhir_adapter.errors import LabCueError
from labcue.v1 import cds_pb2, cds_pb2_grpc


class LabCueClient:
    """A blocking client. ``timeout`` (seconds) is the default deadline of a call, its retries included; ``adapter`` one of the
    service's, to judge by."""

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
            grpc.insecure_channel(target, OPTIONS)
            if tls is None
            else grpc.secure_channel(target, tls.credentials(), OPTIONS)
        )
        self._stub = cds_pb2_grpc.LabDecisionSupportStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> LabCueClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def evaluate(
        self,
        bundle: Bundle,
        *,
        language: str | None = None,
        request_id: str | None = None,
        user: str | None = None,
        flags: FlagsListed | None = None,
        timeout: float | None = None,
    ) -> cds_pb2.EvaluateResponse:
        """Judges one bundle. The request id, made here unless given, lets a retry get the first try's answer. ``user`` is who
        will see the cards: what they have answered already may be held back. ``flags``: which of them the answer lists, with
        "abnormal" it counts the normal ones (default: as the service is set).

        Raises:
            LabCueError: typed as the server meant it.
        """
        response: cds_pb2.EvaluateResponse = self._call(
            self._stub.Evaluate, request(bundle, language, request_id, user, flags), timeout
        )
        return response

    def evaluate_stream(
        self,
        bundles: Iterable[tuple[str, Bundle]],
        *,
        language: str | None = None,
        user: str | None = None,
        flags: FlagsListed | None = None,
        timeout: float | None = None,
    ) -> Iterator[tuple[str, cds_pb2.EvaluateResponse | LabCueError]]:
        """Judges (request id, bundle) pairs over one stream; (id, answer or error) come in completion order.

        ``timeout`` is for the whole stream; without it, it may last as long as the pairs do. Not retried. Leaving the
        loop early cancels what is still at work.
        """
        requests = (
            cds_pb2.EvaluateStreamRequest(request=request(bundle, language, id, user, flags)) for id, bundle in bundles
        )
        call = self._stub.EvaluateStream(requests, timeout=timeout, metadata=self._caller.metadata())
        try:
            for item in call:
                yield item.request_id, answer(item)
        except grpc.RpcError as error:
            raise typed(error) from None
        finally:
            call.cancel()

    def send_feedback(
        self, feedback: Sequence[cds_pb2.Feedback], *, timeout: float | None = None
    ) -> cds_pb2.SendFeedbackResponse:
        """Stores what clinicians did with cards."""
        response: cds_pb2.SendFeedbackResponse = self._call(
            self._stub.SendFeedback, cds_pb2.SendFeedbackRequest(feedback=feedback), timeout
        )
        return response

    def service_info(self, *, timeout: float | None = None) -> cds_pb2.GetServiceInfoResponse:
        """What is in force at the server."""
        response: cds_pb2.GetServiceInfoResponse = self._call(
            self._stub.GetServiceInfo, cds_pb2.GetServiceInfoRequest(), timeout
        )
        return response

    def _call(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:
        attempts = self._caller.attempts(timeout)
        while True:
            try:
                answer = method(request, timeout=attempts.left, metadata=self._caller.metadata())
            except grpc.RpcError as error:
                pause = attempts.wait(error)
            else:
                attempts.good()
                return answer
            time.sleep(pause)
