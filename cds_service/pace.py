"""How long whoever comes now would take to get through: what admission sheds by when an overload lasts. Pure, on a clock that is passed in."""

from __future__ import annotations

import time
from collections.abc import Callable

LASTING_S = 0.5
"""Somebody has always had to wait for so long: that is an overload, no crowd that came at once."""
NEWEST = 0.1
"""Weight of the newest gap between two endings."""


class Pace:
    """How fast evaluations end while others wait. ``running`` of them compute at a time; past that somebody waits."""

    def __init__(self, running: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._running, self._clock = running, clock
        self._crowded: float | None = None
        self._ended: float | None = None
        self._gap: float | None = None

    def entered(self, inside: int) -> None:
        """One more came; ``inside`` with it."""
        if inside > self._running and self._crowded is None:
            self._crowded = self._clock()

    def left(self, inside: int) -> None:
        """One ended; ``inside`` without it."""
        now = self._clock()
        if inside >= self._running:  # somebody has waited all the while: the gap is what one more costs
            if self._ended is not None:
                gap = now - self._ended
                self._gap = gap if self._gap is None else self._gap + NEWEST * (gap - self._gap)
            self._ended = now
        else:
            self._ended = None
        if inside <= self._running:
            self._crowded = None

    def too_long(self, inside: int, longest_s: float) -> bool:
        """Whether one more beside ``inside`` would take longer than ``longest_s`` to get through, after an overload that lasts. So
        many as keep every place busy always may."""
        if self._crowded is None or self._gap is None or inside < 2 * self._running:
            return False
        return self._clock() - self._crowded >= LASTING_S and (inside + 1) * self._gap > longest_s
