"""Clients of the gRPC door, sync and async: a deadline on every single call, retries inside it, typed errors.

    with LabCueClient("127.0.0.1:50051") as client:
        response = client.evaluate(bundle_bytes, language="fr", timeout=2.0)

Where the service asks who calls, give ``token``: what it returns goes with each try of each call as a bearer token.
``cds_service.trust.signing.Signer`` signs such tokens.

Errors are those of ``fhir_adapter.errors``, rebuilt from the status: ``except InvalidInput as error: error.violations``.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from cds_service.rpc.status import from_status
from cds_service.trust.audience import is_loopback
from fhir_adapter.errors import (
    Cancelled,
    DeadlineTooShort,
    Draining,
    InternalError,
    InvalidInput,
    LabCueError,
    LimitExceeded,
    Overloaded,
)
from labcue.v1 import cds_pb2, cds_pb2_grpc

Bundle = bytes | str | Mapping[str, Any]
_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_MAX_MESSAGE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Retry:
    """Retries of calls that the server didn't judge (UNAVAILABLE, RESOURCE_EXHAUSTED). Times in seconds.

    Exponential back-off with full jitter, never less than the server asks for, all inside the call's deadline. The
    client as a whole has ``tokens``: a failed try costs one, a good one gives back ``refill``, and below half of them
    nothing is tried again, so that a crowd of clients doesn't hold an ailing server down.
    """

    attempts: int = 4
    first_s: float = 0.1
    factor: float = 2.0
    longest_s: float = 2.0
    tokens: float = 20.0
    refill: float = 0.5

    def wait(self, attempt: int, asked: float | None, jitter: Callable[[], float] = random.random) -> float:
        """How long to wait after ``attempt`` (from 1)."""
        backoff = min(self.longest_s, self.first_s * self.factor ** (attempt - 1)) * jitter()
        return max(backoff, asked or 0.0)


class _Budget:
    """The tokens of one client."""

    def __init__(self, retry: Retry) -> None:
        self._retry, self._tokens, self._lock = retry, retry.tokens, threading.Lock()

    def good(self) -> None:
        with self._lock:
            self._tokens = min(self._retry.tokens, self._tokens + self._retry.refill)

    def failed(self) -> bool:
        """Pays for a failed try; whether another one may be made."""
        with self._lock:
            self._tokens = max(0.0, self._tokens - 1)
            return self._tokens > self._retry.tokens / 2


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of a client: the CA that signed the server's certificate, and its own certificate for mutual TLS (PEM files)."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        parts = [None if path is None else path.read_bytes() for path in (self.ca, self.key, self.cert)]
        return grpc.ssl_channel_credentials(*parts)


def _request(bundle: Bundle, language: str | None, request_id: str | None, user: str | None) -> cds_pb2.EvaluateRequest:
    data = bundle if isinstance(bundle, bytes) else (bundle if isinstance(bundle, str) else json.dumps(bundle)).encode()
    return cds_pb2.EvaluateRequest(
        bundle=data, language=language or "", request_id=request_id or str(uuid.uuid4()), user=user or ""
    )


def typed(error: grpc.RpcError) -> LabCueError:
    """The typed error of a failed call."""
    try:
        status = rpc_status.from_call(error)
    except (ValueError, DecodeError):  # details that aren't ours
        status = None
    if status is not None:
        return from_status(status)
    code = error.code()
    known: dict[grpc.StatusCode, type[LabCueError]] = {
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineTooShort,
        grpc.StatusCode.CANCELLED: Cancelled,
        grpc.StatusCode.UNAVAILABLE: Draining,
        grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
        grpc.StatusCode.INTERNAL: InternalError,
    }
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return LimitExceeded() if "message larger" in (error.details() or "") else Overloaded()
    if code == grpc.StatusCode.UNAVAILABLE:
        return Draining("The service can't be reached.")
    return known.get(code, LabCueError)()


def _pushback(error: grpc.RpcError) -> float | None:
    """Seconds that the server's ``grpc-retry-pushback-ms`` asks for; negative: don't come back. None where it's absent."""
    trailing: Any = error.trailing_metadata() or ()
    for key, value in trailing:
        if key == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0
    return None


class _Attempts:
    """Decides, for one call, whether another try is worth it and how long to wait for it."""

    def __init__(self, retry: Retry, budget: _Budget, timeout: float) -> None:
        self._retry, self._budget, self._until, self._made = retry, budget, time.monotonic() + timeout, 0

    @property
    def left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    def good(self) -> None:
        self._budget.good()

    def wait(self, error: grpc.RpcError) -> float:
        """Seconds until the next try; raises the typed error where there is none."""
        self._made += 1
        found = typed(error)
        if error.code() not in _RETRIED or isinstance(found, LimitExceeded):
            raise found from None
        asked = _pushback(error)
        if asked is None and isinstance(found, Overloaded):
            asked = found.retry_after_s
        may = self._budget.failed() and self._made < self._retry.attempts and (asked is None or asked >= 0)
        pause = self._retry.wait(self._made, asked)
        if not may or pause >= self.left:
            raise found from None
        return pause


Token = Callable[[], str]
"""Makes a token for one try of one call; a service takes each only once."""


def _checked(target: str, tls: Tls | None, token: Token | None) -> Token | None:
    """``token``, unless it would cross the network in the clear.

    Raises:
        ValueError: no TLS, and the target isn't this machine.
    """
    host = target.rpartition(":")[0] if "]" in target or target.count(":") == 1 else target
    if token is not None and tls is None and not is_loopback(host):
        raise ValueError("a token needs TLS, unless the service is on this machine: give tls=Tls(…)")
    return token


def _metadata(token: Token | None, adapter: str | None) -> tuple[tuple[str, str], ...]:
    found = [] if token is None else [("authorization", f"Bearer {token()}")]
    if adapter is not None:
        found.append(("labcue-adapter", adapter))
    return tuple(found)


_OPTIONS = [("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)]


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
        self._token, self._adapter = _checked(target, tls, token), adapter
        self._channel = (
            grpc.insecure_channel(target, _OPTIONS)
            if tls is None
            else grpc.secure_channel(target, tls.credentials(), _OPTIONS)
        )
        self._stub = cds_pb2_grpc.LabDecisionSupportStub(self._channel)  # type: ignore[no-untyped-call]
        self._timeout, self._retry = timeout, retry or Retry()
        self._budget = _Budget(self._retry)

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
        timeout: float | None = None,
    ) -> cds_pb2.EvaluateResponse:
        """Judges one bundle. The request id, made here unless given, lets a retry get the first try's answer. ``user`` is who
        will see the cards: what they have answered already may be held back.

        Raises:
            LabCueError: typed as the server meant it.
        """
        response: cds_pb2.EvaluateResponse = self._call(
            self._stub.Evaluate, _request(bundle, language, request_id, user), timeout
        )
        return response

    def evaluate_stream(
        self,
        bundles: Iterable[tuple[str, Bundle]],
        *,
        language: str | None = None,
        user: str | None = None,
        timeout: float | None = None,
    ) -> Iterator[tuple[str, cds_pb2.EvaluateResponse | LabCueError]]:
        """Judges (request id, bundle) pairs over one stream; (id, answer or error) come in completion order.

        ``timeout`` is for the whole stream; without it, it may last as long as the pairs do. Not retried. Leaving the
        loop early cancels what is still at work.
        """
        requests = (
            cds_pb2.EvaluateStreamRequest(request=_request(bundle, language, id, user)) for id, bundle in bundles
        )
        call = self._stub.EvaluateStream(requests, timeout=timeout, metadata=_metadata(self._token, self._adapter))
        try:
            for item in call:
                yield item.request_id, _answer(item)
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
        attempts = _Attempts(self._retry, self._budget, self._timeout if timeout is None else timeout)
        while True:
            try:
                answer = method(request, timeout=attempts.left, metadata=_metadata(self._token, self._adapter))
            except grpc.RpcError as error:
                pause = attempts.wait(error)
            else:
                attempts.good()
                return answer
            time.sleep(pause)


class AsyncLabCueClient:
    """As :class:`LabCueClient`, for asyncio."""

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
        self._token, self._adapter = _checked(target, tls, token), adapter
        self._channel = (
            grpc.aio.insecure_channel(target, _OPTIONS)
            if tls is None
            else grpc.aio.secure_channel(target, tls.credentials(), _OPTIONS)
        )
        self._stub = cds_pb2_grpc.LabDecisionSupportStub(self._channel)  # type: ignore[no-untyped-call]
        self._timeout, self._retry = timeout, retry or Retry()
        self._budget = _Budget(self._retry)

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
        timeout: float | None = None,
    ) -> cds_pb2.EvaluateResponse:
        """See :meth:`LabCueClient.evaluate`. Cancelling the task cancels the work at the server."""
        response: cds_pb2.EvaluateResponse = await self._call(
            self._stub.Evaluate, _request(bundle, language, request_id, user), timeout
        )
        return response

    async def evaluate_stream(
        self,
        bundles: AsyncIterable[tuple[str, Bundle]],
        *,
        language: str | None = None,
        user: str | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[tuple[str, cds_pb2.EvaluateResponse | LabCueError]]:
        """See :meth:`LabCueClient.evaluate_stream`."""

        async def requests() -> AsyncIterator[cds_pb2.EvaluateStreamRequest]:
            async for id, bundle in bundles:
                yield cds_pb2.EvaluateStreamRequest(request=_request(bundle, language, id, user))

        call = self._stub.EvaluateStream(requests(), timeout=timeout, metadata=_metadata(self._token, self._adapter))
        try:
            async for item in call:
                yield item.request_id, _answer(item)
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
        attempts = _Attempts(self._retry, self._budget, self._timeout if timeout is None else timeout)
        while True:
            try:
                answer = await method(request, timeout=attempts.left, metadata=_metadata(self._token, self._adapter))
            except grpc.RpcError as error:
                pause = attempts.wait(error)
            else:
                attempts.good()
                return answer
            await asyncio.sleep(pause)


def _answer(item: cds_pb2.EvaluateStreamResponse) -> cds_pb2.EvaluateResponse | LabCueError:
    return from_status(item.error) if item.WhichOneof("result") == "error" else item.response
