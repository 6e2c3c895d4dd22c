"""Writes in a thread of its own what no answer waits for. What a full disk or a dead database costs is a record, never an
answer."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
ROOM = 2000
"""Answers that may wait to be written; one more is not recorded."""
BATCH = 100
LINGER_S = 0.05
"""How long the first of a batch waits for others, unless somebody waits for it: many rows cost little more than one."""
TEND_EVERY_S = 3600.0


class Writer(Generic[T]):
    """Hands items, in order and several at a time, to ``write``; calls ``tend`` at the start and now and then."""

    def __init__(self, write: Callable[[Sequence[T]], None], tend: Callable[[], None], *, room: int = ROOM) -> None:
        self._write, self._tend = write, tend
        self._waiting: queue.Queue[T | None] = queue.Queue(room)
        self.lost = 0
        """Items that could not be written."""
        self._closed = False
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="records", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Takes an item without waiting."""
        try:
            if self._closed:
                raise queue.Full
            self._waiting.put_nowait(item)
        except queue.Full:
            self._lose(1, "there is no room")

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Waits until all that was taken before is written; says whether it is."""
        until = time.monotonic() + timeout_s
        self._hurry.set()
        with self._waiting.all_tasks_done:
            while self._waiting.unfinished_tasks:
                if not self._waiting.all_tasks_done.wait(max(0.0, until - time.monotonic())):
                    return False
        return True

    def close(self) -> None:
        """Writes what is there, and ends."""
        if not self._closed:
            self._closed = True
            self._hurry.set()
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        self._safely(self._tend)
        tended = time.monotonic()
        while True:
            left = tended + TEND_EVERY_S - time.monotonic()
            try:
                items = [self._waiting.get(timeout=max(0.0, left))]
            except queue.Empty:
                self._safely(self._tend)
                tended = time.monotonic()
                continue
            if self._waiting.qsize() < BATCH:
                self._hurry.wait(LINGER_S)
            self._hurry.clear()
            while len(items) < BATCH and items[-1] is not None:
                try:
                    items.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            self._store([item for item in items if item is not None])
            for _ in items:
                self._waiting.task_done()
            if items[-1] is None:
                return

    def _store(self, items: Sequence[T]) -> None:
        """Writes them together; where that fails one by one, so that one that can't be stored takes no other with it."""
        if not items or self._safely(lambda: self._write(items)):
            return
        for item in items:
            if len(items) == 1 or not self._safely(partial(self._write, [item])):
                self._lose(1, "it can't be stored")

    def _safely(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except Exception as error:  # whatever a database does, answers go on
            log.error("records can't be written: %s", type(error).__name__)
            return False
        return True

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        log.error("a record was lost: %s; %d since the start", why, self.lost)
