"""Connections that are kept for the next request, and let go of once other authorities are in force."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from cds_service.hooks.authorities import Authorities


class Pool:
    """Requests under the authorities in force when they begin. A connection made under those before serves what runs on it
    and no other: an authority that was taken away counts no more."""

    def __init__(self, authorities: Authorities, **given: Any) -> None:
        self._authorities, self._given = authorities, given
        self._newest = self._made()

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[httpx2.AsyncClient]:
        """For one request: none that began before is cut off when the authorities change."""
        if self._newest.context is not self._authorities.context:
            before, self._newest = self._newest, self._made()
            await before.let_go()
        used = self._newest
        used.requests += 1
        try:
            yield used.client
        finally:
            used.requests -= 1
            if used is not self._newest:
                await used.let_go()

    async def close(self) -> None:
        """Ends them all."""
        await self._newest.client.aclose()

    def _made(self) -> _Made:
        return _Made(self._authorities, self._given)


class _Made:
    """Connections under one context, and how many requests use them."""

    def __init__(self, authorities: Authorities, given: dict[str, Any]) -> None:
        self.context = authorities.context
        self.requests = 0
        self.client = httpx2.AsyncClient(verify=self.context, trust_env=False, follow_redirects=False, **given)

    async def let_go(self) -> None:
        """Ends the connections once nothing runs on them."""
        if not self.requests:
            await self.client.aclose()
