"""The same request id with the same content gets the same answer; while the first is at work, repeats join it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fhir_adapter.errors import InvalidInput, RequestIdReused, Violation
from labcue.v1 import cds_pb2

MAX_ID = 128
PIECE = 2032
"""Bytes; hashlib lets other threads run from 2,048 on."""
MAX_BYTES = 64 * 1024 * 1024
"""Most serialized bytes of answers kept, whatever their number."""


def check_id(request_id: str) -> None:
    """Raises InvalidInput for an id that is too long or holds anything but printable characters."""
    if len(request_id) > MAX_ID or not request_id.isprintable():
        raise InvalidInput(violations=(Violation("request_id", f"at most {MAX_ID} printable characters"),))


def _digest(content: bytes) -> bytes:
    """SHA-256, in pieces too small for hashlib to give up Python's lock: this runs in the event loop, which would have to wait for a busy
    thread to get it back, and all callers with it."""
    found, view = hashlib.sha256(), memoryview(content)
    for start in range(0, len(content), PIECE):
        found.update(view[start : start + PIECE])
    return found.digest()


@dataclass(slots=True)
class _Entry:
    digest: bytes
    until: float
    answer: asyncio.Future[cds_pb2.EvaluateResponse]
    size: int = 0


class Answers:
    """Answers by request id, the oldest dropped first: past a number, a size or their time. Failures aren't kept."""

    def __init__(
        self, entries: int, ttl_s: float, *, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries, self._ttl, self._max_bytes, self._clock = entries, ttl_s, max_bytes, clock
        self._kept: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, request_id: str) -> bool:
        """Whether a repeat of this id has, or will have, its answer here."""
        return request_id in self._kept

    async def once(
        self,
        request: cds_pb2.EvaluateRequest,
        work: Callable[[], Awaitable[cds_pb2.EvaluateResponse]],
        adapter: str | None = None,
    ) -> cds_pb2.EvaluateResponse:
        """The kept answer, the one under way, or that of ``work``. Another ``adapter`` makes another content.

        Raises:
            RequestIdReused: the id came with another content.
        """
        self._drop_old()
        if not request.request_id or self._entries == 0:
            return await work()
        head = f"{request.language}\0{adapter or ''}\0{request.user}\0{request.flags}\0"
        digest = _digest(head.encode() + request.bundle)
        while (known := self._kept.get(request.request_id)) is not None:
            if known.digest != digest:
                raise RequestIdReused
            await asyncio.wait((known.answer,))
            if not known.answer.cancelled():
                return known.answer.result()
            # the first one failed or left and is forgotten: this one tries by itself
        entry = _Entry(digest, self._clock() + self._ttl, asyncio.get_running_loop().create_future())
        self._kept[request.request_id] = entry
        try:
            response = await work()
        except BaseException:
            self._forget(request.request_id, entry)
            entry.answer.cancel()
            raise
        entry.answer.set_result(response)
        if self._kept.get(request.request_id) is entry:
            entry.size = response.ByteSize()
            self._bytes += entry.size
        self._drop_old()
        return response

    def _drop_old(self) -> None:
        """Entries stand in the order of their end; one under way goes only where there are too many."""
        now = self._clock()
        while self._kept:
            request_id, entry = next(iter(self._kept.items()))
            late = entry.until < now and entry.answer.done()
            if not (late or len(self._kept) > self._entries or self._bytes > self._max_bytes):
                return
            self._forget(request_id, entry)

    def _forget(self, request_id: str, entry: _Entry) -> None:
        if self._kept.get(request_id) is entry:
            del self._kept[request_id]
            self._bytes -= entry.size
