"""The gate that every call of either door passes: who it is, whether it may, and how often."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cds_service.config import Settings
from cds_service.trust.audience import Audience
from cds_service.trust.clients import Client, Clients, Permission, read_clients
from cds_service.trust.key_sets import KeySets, KeysUnavailable, fetcher
from cds_service.trust.keys import PublicKey
from cds_service.trust.rate import Bucket
from cds_service.trust.reasons import Refused
from cds_service.trust.replay import MemoryReplays, Replays, digest
from cds_service.trust.token import Token, read_token
from fhir_adapter.errors import PermissionDenied, RateLimited, Unauthenticated

FIXED_BEARER = "labcue-secret-"
"""How a secret begins, so that it is never taken for a token, and is found where it was left lying about."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller showed: the values of its Authorization headers, and the names of its verified certificate."""

    authorization: tuple[str, ...] = ()
    certificate: tuple[str, ...] = ()


class Gate:
    """Knows the clients. ``now`` is Unix time, ``clock`` monotonic; both in seconds."""

    def __init__(
        self,
        clients: Clients,
        key_sets: KeySets,
        replays: Replays,
        *,
        leeway_s: float,
        life_s: float,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clients, self._key_sets, self._replays = clients, key_sets, replays
        self._leeway, self._life, self._now, self._sleep = leeway_s, life_s, now, sleep
        self._clock = clock
        self._buckets = self._filled(clients, {})

    def replace(self, clients: Clients) -> None:
        """From now on these are the clients. Who kept its rate keeps what is left of it; key sets are fetched anew."""
        self._buckets, self._clients = self._filled(clients, self._buckets), clients
        self._key_sets.refresh()

    def _filled(self, clients: Clients, held: Mapping[str, Bucket]) -> dict[str, Bucket]:
        """A bucket for each client with a rate: the one that is held, where the rate is the same."""
        found = {}
        for client in clients.by_name.values():
            if client.per_minute is not None:
                before = held.get(client.name)
                same = before is not None and (before.per_minute, before.burst) == (client.per_minute, client.burst)
                found[client.name] = (
                    before if before is not None and same else Bucket(client.per_minute, client.burst, self._clock)
                )
        return found

    async def admit(self, shown: Credentials, audience: Audience, permission: Permission | None) -> Client:
        """The client that calls, once it may: known, permitted, and not too often. Its token is used up by that.

        ``permission`` None: any known client may.

        Raises:
            Unauthenticated, PermissionDenied, RateLimited
        """
        try:
            client, by_secret = await self._identify(shown, audience)
        except Refused as error:
            log.info("refused: %s%s", error.reason, f" (client {error.client})" if error.client else "")
            raise Unauthenticated from error
        # A secret is sent again and again, so it opens no more than the one address that can't do without.
        if (by_secret and permission != "notify") or (permission is not None and not client.may(permission)):
            log.info("refused: no permission for %s (client %s)", permission or "anything by a secret", client.name)
            raise PermissionDenied
        wait = self._turn(client)
        if wait > 0:
            raise RateLimited(retry_after_s=wait)
        return client

    async def wait_turn(self, client: Client) -> None:
        """Returns once a client that was admitted may send one more item of its stream.

        Raises:
            Unauthenticated: it is no client any more.
        """
        if client.name not in self._clients.by_name:
            raise Unauthenticated
        while (wait := self._turn(client)) > 0:
            await self._sleep(wait)

    def _turn(self, client: Client) -> float:
        bucket = self._buckets.get(client.name)
        return bucket.take() if bucket is not None else 0.0

    async def _identify(self, shown: Credentials, audience: Audience) -> tuple[Client, bool]:
        """The client, and whether a secret is all that it showed."""
        if shown.authorization:
            scheme, _, compact = shown.authorization[0].partition(" ")
            if len(shown.authorization) > 1 or scheme.lower() != "bearer" or not compact.strip():
                raise Refused("not-bearer")
            if compact.startswith(FIXED_BEARER):
                client = self._clients.of_secret(compact.strip())
                if client is None:
                    raise Refused("unknown-secret")
                return client, True
            return await self._by_token(read_token(compact.strip()), audience), False
        if shown.certificate:
            client = self._clients.of_certificate(shown.certificate)
            if client is None:
                raise Refused("unknown-certificate")
            return client, False
        raise Refused("no-credentials")

    async def _by_token(self, token: Token, audience: Audience) -> Client:
        client = self._clients.of_issuer(token.issuer, token.tenant)
        if client is None:
            raise Refused("unknown-issuer")
        try:
            # In a thread: ES384 takes 0.6 ms, without Python's lock, in which the event loop serves others. Nothing could be
            # kept of it for the next call: a token counts once.
            await asyncio.to_thread(self._use_up, token, await self._key(client, token), audience)
        except Refused as error:
            raise Refused(error.reason, client.name) from None
        return client

    def _use_up(self, token: Token, key: PublicKey, audience: Audience) -> None:
        token.check_signature(key)
        token.check_claims(audience, self._now(), leeway_s=self._leeway, life_s=self._life)
        # Last, so that only what a client has signed is remembered, and a token is used up only by what it was meant for.
        if not self._replays.first(digest(token.issuer, token.jti), token.expires + self._leeway):
            raise Refused("replayed")

    async def _key(self, client: Client, token: Token) -> PublicKey:
        if token.jku is not None and token.jku not in client.jku:
            raise Refused("unknown-jku")
        if client.keys is not None:
            key = client.keys.get(token.kid)
        else:
            try:
                key = await self._key_sets.find(token.jku or client.jku[0], token.kid)
            except KeysUnavailable:
                raise Refused("keys-unavailable") from None
        if key is None:
            raise Refused("unknown-key")
        return key


def open_gate(settings: Settings, replays: Replays | None = None) -> Gate | None:
    """The gate for the clients of the settings; None where everybody may call (see ``exposure``).

    ``replays`` is where tokens are remembered: in memory, unless replicas share a store.

    Raises:
        ConfigError: the clients file doesn't hold; every fault is named.
    """
    clients = clients_of(settings)
    if clients is None:
        return None
    return Gate(
        clients,
        KeySets(
            fetcher(allow_loopback_http=settings.keys_from_loopback),
            ttl_s=settings.keys_ttl_s,
            retry_s=settings.keys_retry_s,
        ),
        replays or MemoryReplays(),
        leeway_s=settings.token_leeway_s,
        life_s=settings.token_life_s,
    )


def clients_of(settings: Settings) -> Clients | None:
    """The clients as their file has them now; None where everybody may call.

    Raises:
        ConfigError: the file doesn't hold; every fault is named.
    """
    if settings.clients is None:
        return None
    return read_clients(settings.clients, allow_loopback_http=settings.keys_from_loopback)
