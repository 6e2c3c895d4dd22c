"""Who may work now, who waits, and who is told to come back."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from cds_service.pace import Pace
from cds_service.telemetry.setup import Telemetry
from fhir_adapter.errors import DeadlineTooShort, Overloaded


class Admission:
    """At most ``running`` evaluations at a time and ``waiting`` in line. One more is refused at once; and, while an overload lasts,
    one that would take longer than ``longest_s`` to get through.

    Items of streams aren't refused: they take turns for half of the places (:meth:`stream_turn`), so that streams
    can't shut single calls out, and what waits here stays bounded by one and a half times ``running + waiting``.
    """

    def __init__(
        self, running: int, waiting: int, telemetry: Telemetry, *, longest_s: float = math.inf, pace: Pace | None = None
    ) -> None:
        self._limit, self._longest = running + waiting, longest_s
        self._pace = pace or Pace(running)
        self._slots = asyncio.Semaphore(running)
        self._turns = asyncio.Semaphore(max(1, self._limit // 2))
        self._telemetry = telemetry
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def inside(self) -> int:
        """Evaluations that run or wait."""
        return self._inside

    async def wait_empty(self) -> None:
        """Returns once nothing runs or waits."""
        await self._empty.wait()

    def check_room(self) -> None:
        """Raises Overloaded where one more is not taken now."""
        if self._inside >= self._limit or self._pace.too_long(self._inside, self._longest):
            raise Overloaded

    def stream_turn(self) -> AbstractAsyncContextManager[Any]:
        """An item of a stream waits here, as long as it takes, before its time starts to run."""
        return self._turns

    @asynccontextmanager
    async def place(self, deadline: float, *, refuse: bool = True) -> AsyncIterator[Slot]:
        """A running slot, before ``deadline`` (``time.monotonic``).

        Raises:
            Overloaded: running and waiting are full, or it would take too long (not with ``refuse=False``: for items that have their turn).
            DeadlineTooShort: no slot came free in time.
        """
        if refuse:
            self.check_room()
        self._enter()
        self._telemetry.waiting(1)
        try:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._slots.acquire()
            except TimeoutError:
                raise DeadlineTooShort from None
            finally:
                self._telemetry.waiting(-1)
        except BaseException:
            self._leave()
            raise
        self._telemetry.running(1)
        slot = Slot(self)
        try:
            yield slot
        finally:
            if not slot.kept:
                self._free()

    def _enter(self) -> None:
        self._inside += 1
        self._pace.entered(self._inside)
        self._empty.clear()

    def _leave(self) -> None:
        self._inside -= 1
        self._pace.left(self._inside)
        if self._inside == 0:
            self._empty.set()

    def _free(self, *, lent: bool = False) -> None:
        self._leave()
        self._telemetry.running(-1)
        if not lent:
            self._slots.release()


class Slot:
    """A running slot. Work that outlives its caller keeps it until its thread has ended; work that only waits for the model
    lends it to the next in line, and still counts as inside."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.kept = False
        self._lent = self._over = False

    def lend(self) -> None:
        """Lets the next one run. It isn't taken back: whoever comes back from the model goes on beside it."""
        if not self._lent and not self._over:
            self._lent = True
            self._admission._slots.release()

    def keep_until(self, future: asyncio.Future[Any]) -> None:
        """Frees the slot when ``future`` is done, whatever became of the caller."""
        self.kept = True
        future.add_done_callback(self._done)

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._over = True
        self._admission._free(lent=self._lent)
        if not future.cancelled():
            future.exception()  # seen: the caller may be gone
