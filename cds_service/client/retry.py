"""Retries: when another try is worth it, how long to wait for it, and when to leave an ailing server alone."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from cds_service.client.errors import pushback, typed
from fhir_adapter.errors import LimitExceeded, Overloaded

_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)


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


class Budget:
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


class Attempts:
    """Decides, for one call, whether another try is worth it and how long to wait for it."""

    def __init__(self, retry: Retry, budget: Budget, timeout: float) -> None:
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
        asked = pushback(error)
        if asked is None and isinstance(found, Overloaded):
            asked = found.retry_after_s
        may = self._budget.failed() and self._made < self._retry.attempts and (asked is None or asked >= 0)
        pause = self._retry.wait(self._made, asked)
        if not may or pause >= self.left:
            raise found from None
        return pause
