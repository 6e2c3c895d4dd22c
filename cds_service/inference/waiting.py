"""Who waits for the model, and who comes next: a bounded queue that packs passes by tokens."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cds_service.inference.engine import Engine, PrefersSize, Prepared, SlotScores
from fhir_adapter.errors import Cancelled, EngineLate, LabCueError, Overloaded


@dataclass(slots=True, eq=False)
class Entry:
    """One caller: whom it asks, its rows, its bounds, and what became of it. It ends exactly once: the first ending counts."""

    engine: Engine
    rows: Sequence[Prepared]
    deadline: float | None
    cancelled: Callable[[], bool]
    arrived: float = field(default_factory=time.monotonic)
    begun: int = 0
    """Rows that were taken for a pass."""
    scores: dict[int, tuple[SlotScores, ...]] = field(default_factory=dict)
    """By the number of their row."""
    error: LabCueError | None = None
    done: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def part(self, tokens: int) -> tuple[int, int]:
        """Where its next part ends, the rows from ``begun`` that are at most ``tokens`` together or else one, and their tokens."""
        stop, cost = self.begun + 1, len(self.rows[self.begun].ids)
        while stop < len(self.rows) and cost + len(self.rows[stop].ids) <= tokens:
            cost += len(self.rows[stop].ids)
            stop += 1
        return stop, cost

    def fail(self, error: LabCueError) -> None:
        """Ends without scores."""
        with self._lock:
            if not self.done.is_set():
                self.error = error
                self.done.set()

    def answer(self, number: int, scores: tuple[SlotScores, ...]) -> None:
        """Stores the scores of one row; the last one ends the entry."""
        with self._lock:
            self.scores[number] = scores
            if len(self.scores) == len(self.rows):
                self.done.set()

    def settle(self, now: float) -> bool:
        """True where nothing is left to compute: it has ended, or does now, since its caller has gone or has no time left."""
        if not self.done.is_set():
            if self.cancelled():
                self.fail(Cancelled())
            elif self.deadline is not None and now >= self.deadline:
                self.fail(EngineLate())
        return self.done.is_set()


Row = tuple[Entry, int]
"""A caller, and which of its rows."""


class Waiting:
    """At most ``limit`` entries, the longest unserved first. A pass takes up to half of its tokens of each in turn: a panel of that size goes
    through in one, since in parts it would be as late as the last of them, and one of many more doesn't hold up the others."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[Entry] = deque()
        self._changed = threading.Condition()
        self._closed: LabCueError | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Puts an entry last.

        Raises:
            Overloaded: full.
            LabCueError: what it was closed with.
        """
        with self._changed:
            if self._closed is not None:
                raise type(self._closed)
            if len(self._entries) >= self._limit:
                self._drop()
                if len(self._entries) >= self._limit:
                    raise Overloaded
            self._entries.append(entry)
            self._changed.notify()

    def wake(self) -> None:
        """Lets :meth:`wait` look again."""
        with self._changed:
            self._changed.notify()

    def wait(self, until: Callable[[], bool]) -> bool:
        """Blocks until there is an entry, ``until`` holds, or it is closed; False when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed is not None or bool(self._entries) or until())
            return self._closed is None

    def gather(self, wanted: int, tokens: int, ended: float, seconds: float) -> None:
        """Waits until ``wanted`` entries are there or ``tokens`` tokens for a pass, at most ``seconds`` from when the pass before ended or
        the oldest entry arrived, whichever is later. An engine that gains nothing from larger passes isn't kept waiting."""
        with self._changed:
            if not self._entries or isinstance(self._entries[0].engine, PrefersSize):
                return
            until = max(ended, self._entries[0].arrived) + seconds
            self._changed.wait_for(
                lambda: self._closed is not None or len(self._entries) >= wanted or self._tokens() >= tokens,
                max(0.0, until - time.monotonic()),
            )

    def _tokens(self) -> int:
        return sum(len(row.ids) for entry in self._entries for row in entry.rows[entry.begun :])

    def take(self, tokens: int) -> list[Row]:
        """The rows of the next pass: at most ``tokens`` tokens (a longer row goes alone), all for the engine that the first entry
        asks, fewer where that engine prefers it. Entries that nobody waits for any more are ended and left out."""
        with self._changed:
            self._drop()
            if not self._entries:
                return []
            engine = self._entries[0].engine
            if isinstance(engine, PrefersSize):
                tokens = min(tokens, engine.pass_tokens)
            share = tokens // 2
            taken: list[Row] = []
            used = 0
            going = [entry for entry in self._entries if entry.engine is engine]
            while going:
                still: list[Entry] = []
                for entry in going:
                    stop, cost = entry.part(share)
                    if taken and used + cost > tokens:
                        continue
                    taken += ((entry, number) for number in range(entry.begun, stop))
                    entry.begun = stop
                    used += cost
                    if entry.begun < len(entry.rows):
                        still.append(entry)
                going = still
            served = {id(entry): entry for entry, _ in taken}
            unserved = [entry for entry in self._entries if id(entry) not in served]
            unfinished = [entry for entry in served.values() if entry.begun < len(entry.rows)]
            self._entries = deque((*unserved, *unfinished))
            return taken

    def close(self, error: LabCueError) -> None:
        """Ends all entries with ``error``, and refuses further ones with its kind."""
        with self._changed:
            self._closed = error
            for entry in self._entries:
                entry.fail(type(error)())
            self._entries.clear()
            self._changed.notify_all()

    def _drop(self) -> None:
        now = time.monotonic()
        self._entries = deque(entry for entry in self._entries if not entry.settle(now))
