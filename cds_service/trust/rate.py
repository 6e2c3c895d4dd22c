"""How often a client may call: a token bucket."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Holds up to ``burst`` calls and gains ``per_minute`` of them a minute, by ``clock`` (seconds, monotonic).

    For one event loop: nothing in it waits, so nothing comes between.
    """

    def __init__(self, per_minute: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.burst = per_minute, burst
        self._per_s, self._clock = per_minute / 60, clock
        self._held, self._at = float(burst), clock()

    def take(self) -> float:
        """Takes one call and returns 0; where there is none, takes nothing and returns the seconds until there is."""
        now = self._clock()
        self._held = min(float(self.burst), self._held + (now - self._at) * self._per_s)
        self._at = now
        if self._held >= 1:
            self._held -= 1
            return 0.0
        return (1 - self._held) / self._per_s
