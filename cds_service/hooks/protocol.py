"""What a connection may cost before and after its request: time and bytes of its headers, and a body that never ends.

uvicorn bounds none of these: a client that sends a byte a minute (slow loris), ten thousand headers, or a body that goes on
after it was refused, would hold a connection for as long as it likes. Bodies that are wanted are bounded in ``body``.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_CONNECTIONS = 1000
"""Past it a request is answered 503 by uvicorn itself."""
KEEP_ALIVE_S = 15
MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024
"""All headers and the address together, about: a signed token may be large."""
HEADERS_WITHIN_S = 10.0
LINGER_S = 2.0
"""How long the rest of a body that was refused is read and dropped, so that its sender gets to see the answer."""


class Bounded(HttpToolsProtocol):
    """uvicorn's protocol with these bounds."""

    _timer: asyncio.TimerHandle | None = None
    _complete = False
    _refused = False
    _fields = 0
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(HEADERS_WITHIN_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        before = self._complete
        super().data_received(data)
        if not before and not self._complete:
            # The parser gives out only whole headers: one without an end shows nowhere else.
            self._count(len(data))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._complete = False
        self._fields = self._bytes = 0
        if self._timer is None:
            self._wait(HEADERS_WITHIN_S)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        self._count(len(name) + len(value))
        if not self._refused:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._complete = True
        self._stop_waiting()
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        if self.cycle.response_complete:
            self._stop_waiting()  # it was answered before it had been read; now it is, and the next may come
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._stop_waiting()
            self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_HEADER_BYTES or self._fields > MAX_HEADERS:
            self._refuse(431)

    def _wait(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._refuse, 408)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        """Ends the connection where there is no request yet, so that no handler can say more."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_waiting()
        self.transport.write(STATUS_LINE[status] + b"connection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()
