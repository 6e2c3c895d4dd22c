"""HTTP to an OpenAI-compatible server, inside a caller's deadline: pooled, retried within a budget, held back while it fails.

All calls run in one event loop in a thread of its own, so that a caller who leaves ends its request there, and a server that drips
can't hold anybody longer than the time he has.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx2

from cds_service.inference.breaker import Breaker, RetryBudget
from fhir_adapter.errors import Cancelled, EngineAnswer, EngineError, EngineLate, EngineRefused, EngineUnreachable

T = TypeVar("T")
log = logging.getLogger(__name__)
LOOK_S = 0.02
"""How often a waiting caller looks whether it is still wanted."""
MAX_ANSWER = 32 * 1024 * 1024
"""Bytes; an answer to one panel is some hundred kilobytes."""
RETRIED = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Server:
    """Where it is and how long one try may take. ``key`` goes out as a bearer token and nowhere else; ``ca`` is a PEM file of
    authorities to trust in place of the usual ones."""

    url: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 5.0
    connections: int = 32
    ca: Path | None = None


class Calls:
    """Asks one server. Safe from several threads; :meth:`close` ends the thread."""

    def __init__(
        self,
        server: Server,
        *,
        breaker: Breaker | None = None,
        budget: RetryBudget | None = None,
        pause: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
        tries: int = 3,
    ) -> None:
        self._server, self._tries, self._pause = server, tries, pause
        self.breaker, self._budget = breaker or Breaker(), budget or RetryBudget()
        self._jitter = random.Random()  # noqa: S311 - spreads retries, nothing secret
        self._loop = asyncio.new_event_loop()
        self._client: httpx2.AsyncClient | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote", daemon=True)
        self._thread.start()

    def post(
        self,
        path: str,
        body: bytes,
        read: Callable[[bytes], T],
        *,
        deadline: float | None,
        cancelled: Callable[[], bool],
    ) -> T:
        """``read`` of the answer to a POST, by ``deadline`` (``time.monotonic``). Retried, since asking has no effect there.

        Raises:
            EngineUnreachable: no connection, a broken one, a server error, or held back because of those before.
            EngineRefused: the server doesn't take the request or the key.
            EngineAnswer: from ``read``, or an answer beyond all measure.
            EngineLate: no answer in time.
            Cancelled: ``cancelled`` says so.
        """
        return self._wait(self._post(path, body, read, deadline), deadline, cancelled)

    def get(self, path: str, *, deadline: float) -> bytes:
        """The answer to a GET, asked once.

        Raises:
            EngineError: as :meth:`post`.
        """
        return self._wait(self._once("GET", path, None, deadline), deadline, lambda: False)

    def close(self) -> None:
        """Ends connections and thread; whoever waits gets an EngineError."""

        async def end() -> None:
            if self._client is not None:
                await self._client.aclose()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(end(), self._loop).result(5)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
            self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T], deadline: float | None, cancelled: Callable[[], bool]) -> T:
        try:
            running: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:  # closed
            work.close()
            raise EngineUnreachable from None
        try:
            while True:
                left = LOOK_S if deadline is None else min(LOOK_S, deadline - time.monotonic())
                try:
                    return running.result(max(0.0, left))
                except NotYet:
                    if running.done():
                        continue
                    if cancelled():
                        raise Cancelled from None
                    if deadline is not None and time.monotonic() >= deadline:
                        raise EngineLate from None
                except asyncio.CancelledError:
                    raise EngineUnreachable from None
        finally:
            running.cancel()

    async def _post(self, path: str, body: bytes, read: Callable[[bytes], T], deadline: float | None) -> T:
        self._budget.earn()
        for attempt in range(self._tries):
            if not self.breaker.allow():
                raise EngineUnreachable
            try:
                answer = read(await self._once("POST", path, body, deadline))
            except _Again as failure:
                self._failed(failure.why)
                wait = failure.after_s if failure.after_s is not None else self._backoff(attempt)
                last = attempt + 1 == self._tries or (deadline is not None and time.monotonic() + wait >= deadline)
                if last or not self._budget.spend():
                    raise EngineUnreachable from None
                await self._pause(wait)
            except EngineLate:
                self._late(deadline)
                raise
            except EngineError as error:
                self._failed(error.code)
                raise
            except asyncio.CancelledError:
                self._late(deadline)
                raise
            else:
                self._answered()
                return answer
        raise EngineUnreachable

    def _backoff(self, attempt: int) -> float:
        return 0.05 * float(2**attempt) * (0.5 + self._jitter.random())

    def _answered(self) -> None:
        if self.breaker.open:
            log.info("the model's server answers again")
        self.breaker.succeeded()

    def _failed(self, why: str) -> None:
        was = self.breaker.open
        self.breaker.failed()
        if self.breaker.open and not was:
            log.error("the model's server fails (%s): rules answer, and it is tried again from time to time", why)

    def _late(self, deadline: float | None) -> None:
        """A server counts as failing only where it had its whole time: a caller in a hurry says nothing of it."""
        if deadline is None or time.monotonic() < deadline:
            self._failed("timeout")
        else:
            self.breaker.gave_up()

    async def _once(self, method: str, path: str, body: bytes | None, deadline: float | None) -> bytes:
        left = self._server.timeout_s if deadline is None else min(self._server.timeout_s, deadline - time.monotonic())
        if left <= 0:
            raise EngineLate
        if self._client is None:
            self._client = _client(self._server)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            async with (
                asyncio.timeout(left),
                self._client.stream(method, self._server.url + path, content=body, headers=headers) as response,
            ):
                if response.status_code in RETRIED:
                    raise _Again(f"status {response.status_code}", _retry_after(response.headers.get("retry-after")))
                if response.status_code != 200:
                    # Its text may repeat the prompt: only the number is told.
                    log.error("the model's server refused a request with status %d", response.status_code)
                    raise EngineRefused
                parts, size = [], 0
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_ANSWER:
                        raise EngineAnswer
                return b"".join(parts)
        except TimeoutError:
            raise EngineLate from None
        except (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError, OSError) as error:
            raise _Again(type(error).__name__, None) from None


class _Again(EngineUnreachable):
    """What another try may mend. ``why`` is for the log; ``after_s``: when the server wants it."""

    def __init__(self, why: str, after_s: float | None) -> None:
        super().__init__()
        self.why, self.after_s = why, after_s


def _retry_after(text: str | None) -> float | None:
    """Seconds of a Retry-After header, which may be a number or a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _client(server: Server) -> httpx2.AsyncClient:
    import ssl

    verify = ssl.create_default_context(cafile=str(server.ca)) if server.ca is not None else True
    return httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {server.key}"} if server.key else {},
        limits=httpx2.Limits(max_connections=server.connections, max_keepalive_connections=server.connections),
        timeout=None,
        trust_env=False,  # no proxy that nobody set here sees what a panel holds
        follow_redirects=False,
        verify=verify,
    )
