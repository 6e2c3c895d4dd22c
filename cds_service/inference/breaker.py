"""When not to ask a server that fails: a circuit breaker, and a budget for retries. Pure, on a clock that is passed in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Clock = Callable[[], float]


class Breaker:
    """Opens after ``failures`` in a row; after ``reset_s`` one call may try, and its outcome decides. Safe from several
    threads."""

    def __init__(self, *, failures: int = 5, reset_s: float = 5.0, clock: Clock = time.monotonic) -> None:
        self._limit, self._reset, self._clock = failures, reset_s, clock
        self._lock = threading.Lock()
        self._failed = 0
        self._opened: float | None = None
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether calls are held back now."""
        return self._opened is not None

    def allow(self) -> bool:
        """Whether a call may go out. One that may must be told to :meth:`succeeded`, :meth:`failed` or :meth:`gave_up`."""
        with self._lock:
            if self._opened is None:
                return True
            if self._trying or self._clock() - self._opened < self._reset:
                return False
            self._trying = True
            return True

    def succeeded(self) -> None:
        """The server answered well: closed."""
        with self._lock:
            self._failed, self._opened, self._trying = 0, None, False

    def failed(self) -> None:
        """The server failed."""
        with self._lock:
            self._failed += 1
            self._trying = False
            if self._opened is not None or self._failed >= self._limit:
                self._opened = self._clock()

    def gave_up(self) -> None:
        """The caller left before the server could show itself: says nothing of it."""
        with self._lock:
            self._trying = False


class RetryBudget:
    """Retries as a share of calls, so that they can't multiply the load on a server that is down: each call earns ``share`` of a
    retry, at most ``most`` are saved up."""

    def __init__(self, *, share: float = 0.2, most: float = 10.0) -> None:
        self._share, self._most = share, most
        self._saved = most
        self._lock = threading.Lock()

    def earn(self) -> None:
        """For each first try."""
        with self._lock:
            self._saved = min(self._most, self._saved + self._share)

    def spend(self) -> bool:
        """Whether there is one retry left, which is then spent."""
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True
