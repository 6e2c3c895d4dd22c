"""The same request id with the same content gets the same answer; while the first is at work, repeats join it."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from fhir_adapter.errors import InvalidInput, RequestIdReused, Violation
from labcue.v1 import cds_pb2

MAX_ID = 128


def check_id(request_id: str) -> None:
    """Raises InvalidInput for an id that is too long or holds anything but printable characters."""
    if len(request_id) > MAX_ID or not request_id.isprintable():
        raise InvalidInput(violations=(Violation("request_id", f"at most {MAX_ID} printable characters"),))


class Answers:
    """Answers by request id, the oldest dropped first. Failures aren't kept."""

    def __init__(self, entries: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries, self._ttl, self._clock = entries, ttl_s, clock
        self._kept: OrderedDict[str, tuple[bytes, float, asyncio.Future[cds_pb2.EvaluateResponse]]] = OrderedDict()

    async def once(
        self, request: cds_pb2.EvaluateRequest, work: Callable[[], Awaitable[cds_pb2.EvaluateResponse]]
    ) -> cds_pb2.EvaluateResponse:
        """The kept answer, the one under way, or that of ``work``.

        Raises:
            RequestIdReused: the id came with another content.
        """
        if not request.request_id or self._entries == 0:
            return await work()
        digest = hashlib.sha256(request.language.encode() + b"\0" + request.bundle).digest()
        while (known := self._find(request.request_id)) is not None:
            if known[0] != digest:
                raise RequestIdReused
            try:
                return await asyncio.shield(known[1])
            except asyncio.CancelledError:
                if not known[1].cancelled():
                    raise  # it is we who were cancelled, not the first one
            except Exception:  # noqa: S112
                continue  # the first one failed and is forgotten: this one tries by itself
        future: asyncio.Future[cds_pb2.EvaluateResponse] = asyncio.get_running_loop().create_future()
        self._kept[request.request_id] = (digest, self._clock() + self._ttl, future)
        while len(self._kept) > self._entries:
            self._kept.popitem(last=False)
        try:
            response = await work()
        except BaseException:
            if self._kept.get(request.request_id, (b"", 0.0, None))[2] is future:
                del self._kept[request.request_id]
            future.cancel()
            raise
        future.set_result(response)
        return response

    def _find(self, request_id: str) -> tuple[bytes, asyncio.Future[cds_pb2.EvaluateResponse]] | None:
        found = self._kept.get(request_id)
        if found is None:
            return None
        if found[2].done() and (found[1] < self._clock() or found[2].cancelled()):
            del self._kept[request_id]
            return None
        return found[0], found[2]
