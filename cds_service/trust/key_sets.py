"""Key sets that clients publish: fetched from addresses of the allowlist alone, kept, and read again now and then."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx2

from cds_service.trust.audience import is_loopback
from cds_service.trust.keys import Keys, PublicKey, parse_key_set

log = logging.getLogger(__name__)
MAX_BYTES = 256 * 1024
FETCH_WITHIN_S = 5.0
STALE_FOR_S = 24 * 3600.0
"""How long keys are used after their last good read, where their address doesn't answer."""

Fetch = Callable[[str], Awaitable[bytes]]


@dataclass(slots=True)
class _Held:
    """One address: its keys, when they were read, when it was last tried (monotonic seconds)."""

    keys: Keys = field(default_factory=dict)
    read_at: float = float("-inf")
    tried_at: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """The key sets by address. One address is asked by one call at a time, and not again within ``retry_s``, whatever
    comes in: nobody can make the service knock at a client's door by sending tokens."""

    def __init__(
        self, fetch: Fetch, *, ttl_s: float, retry_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch, self._ttl, self._retry, self._clock = fetch, ttl_s, retry_s, clock
        self._held: dict[str, _Held] = {}

    async def find(self, url: str, kid: str) -> PublicKey | None:
        """The key ``kid`` of the set at ``url``; None where the set has none such.

        Raises:
            KeysUnavailable: the address gave no set, and none is held that is young enough.
        """
        held = self._held.setdefault(url, _Held())
        if not self._fresh(held, kid):
            async with held.lock:
                if not self._fresh(held, kid) and self._clock() - held.tried_at >= self._retry:
                    await self._read(url, held)
        if self._clock() - held.read_at > self._ttl + STALE_FOR_S:
            raise KeysUnavailable
        return held.keys.get(kid)

    def refresh(self) -> None:
        """Each set is read again when it is next needed; the keys held are good until then, and where that fails."""
        for held in list(self._held.values()):
            held.read_at = min(held.read_at, self._clock() - self._ttl - 1)
            held.tried_at = float("-inf")

    def _fresh(self, held: _Held, kid: str) -> bool:
        return kid in held.keys and self._clock() - held.read_at <= self._ttl

    async def _read(self, url: str, held: _Held) -> None:
        held.tried_at = self._clock()
        try:
            held.keys = parse_key_set(await self._fetch(url))
        except ValueError as error:
            log.warning("the key set at %s %s", url, str(error))
        else:
            held.read_at = self._clock()


class KeysUnavailable(Exception):
    """No keys can be had now."""


def fetcher(*, allow_loopback_http: bool = False, context: ssl.SSLContext | None = None) -> Fetch:
    """Fetches by HTTPS: no redirects, no proxy or password of the environment, at most MAX_BYTES within FETCH_WITHIN_S.

    The system's authorities are trusted, or those of SSL_CERT_FILE. ``allow_loopback_http`` allows http:// to this
    machine, for tests and development.

    What it returns raises ValueError, with a fixed text, for whatever goes wrong.
    """
    verify = context or ssl.create_default_context()

    async def fetch(url: str) -> bytes:
        if not may_fetch(url, allow_loopback_http=allow_loopback_http):
            raise ValueError("is no https address")
        try:
            async with (
                asyncio.timeout(FETCH_WITHIN_S),
                httpx2.AsyncClient(
                    verify=verify, trust_env=False, follow_redirects=False, timeout=FETCH_WITHIN_S
                ) as client,
                client.stream("GET", url, headers={"accept": "application/json", "accept-encoding": "identity"}) as got,
            ):
                if got.status_code != 200:
                    raise ValueError(f"answered with status {got.status_code}")
                data = bytearray()
                async for part in got.aiter_raw():
                    data += part
                    if len(data) > MAX_BYTES:
                        raise ValueError(f"is larger than {MAX_BYTES} bytes")
                return bytes(data)
        except TimeoutError:
            raise ValueError("did not answer in time") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ValueError(f"can't be fetched ({type(error).__name__})") from None

    return fetch


def may_fetch(url: str, *, allow_loopback_http: bool) -> bool:
    """Whether an address is one that keys may come from."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.fragment:
        return False
    return parts.scheme == "https" or (allow_loopback_http and parts.scheme == "http" and is_loopback(host))
