"""Tokens that were seen: each counts once, at every replica that shares the store."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Protocol

SWEEP_EVERY = 256
"""Tokens after which those that have expired are dropped."""


class Replays(Protocol):
    """Remembers tokens until they expire. May block: call it from a thread."""

    def first(self, token: str, expires_at: float) -> bool:
        """Whether ``token`` (a digest, see :func:`digest`) is seen for the first time; it is remembered until
        ``expires_at`` (Unix time, seconds). Of several calls at once, exactly one is the first."""
        ...


def digest(issuer: str, jti: str) -> str:
    """What is remembered of a token: 64 hex digits; two issuers may use the same ``jti``."""
    return hashlib.sha256(f"{len(issuer)}:{issuer}{jti}".encode("utf-8", "surrogatepass")).hexdigest()


class MemoryReplays:
    """For a single replica: forgets at the end, when its tokens may still have minutes to live."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._seen: dict[str, float] = {}
        self._since_sweep = 0

    def __len__(self) -> int:
        return len(self._seen)

    def first(self, token: str, expires_at: float) -> bool:
        """See :class:`Replays`."""
        with self._lock:
            if token in self._seen:
                return False
            self._seen[token] = expires_at
            self._since_sweep += 1
            if self._since_sweep >= SWEEP_EVERY:
                self._since_sweep, now = 0, self._clock()
                self._seen = {one: until for one, until in self._seen.items() if until >= now}
            return True
