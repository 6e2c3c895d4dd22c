"""One POST to the server that takes judgements: a FHIR server (conditional create) or a webhook (idempotency key)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx2

from cds_service.config import Settings
from cds_service.hooks.authorities import Authorities
from cds_service.hooks.pool import Pool
from cds_service.subscription.resource import SYSTEM
from cds_service.subscription.tokens import Tokens

KINDS = {"communication": "Communication", "task": "Task", "flag": "Flag"}
AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which it is worth trying again."""


@dataclass(frozen=True, slots=True)
class Sent:
    """How a try went. ``why`` is in fixed words."""

    done: bool
    again: bool = False
    why: str = ""


class Sender:
    """Posts to where the settings say; follows no redirect."""

    def __init__(
        self, settings: Settings, authorities: Authorities | None = None, tokens: Tokens | None = None
    ) -> None:
        self._tokens = tokens or Tokens(settings)
        target = (settings.subscription_target or settings.subscription_server or "").rstrip("/")
        self._webhook = settings.subscription_output == "webhook"
        self._url = target if self._webhook else f"{target}/{KINDS[settings.subscription_output]}"
        self._timeout_s = settings.outbox_timeout_s
        self._pool = Pool(authorities or Authorities(settings.fhir_ca), timeout=settings.outbox_timeout_s)

    async def send(self, key: str, body: bytes) -> Sent:
        """Posts ``body`` once; a server that has had ``key`` already makes nothing new."""
        once = (
            {"idempotency-key": key, "content-type": "application/json"}
            if self._webhook
            else {"if-none-exist": f"identifier={SYSTEM}|{key}", "content-type": "application/fhir+json"}
        )
        token = self._tokens.send
        authorization = {} if token is None else {"authorization": f"Bearer {token.get_secret_value()}"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.connections() as connections,
                connections.stream("POST", self._url, content=body, headers=once | authorization) as answer,
            ):
                status = answer.status_code  # what it says besides isn't read
        except (httpx2.TimeoutException, TimeoutError):
            return Sent(False, again=True, why="no answer in time")
        except httpx2.HTTPError:
            return Sent(False, again=True, why="can't be reached, or broke off")
        if 200 <= status < 300:
            return Sent(True)
        return Sent(False, again=status >= 500 or status in AGAIN, why=f"answered {status}")

    async def close(self) -> None:
        await self._pool.close()
