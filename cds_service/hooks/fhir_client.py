"""Asks the EHR's FHIR server for what a call lacks: reads and searches, with the call's token, inside its time.

Nothing but the bytes asked for comes back: no redirect to another server is followed, no compressed or endless body
taken, and a `next` link leads to the same server or nowhere. The token goes to that server only; it is in no log or span.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlencode, urljoin, urlsplit

import httpx2
import msgspec

from cds_service.config import Settings
from cds_service.hooks.allowed import Base, Refused, Resolve, address_of, allowed, base_of
from cds_service.hooks.authorities import Authorities
from cds_service.hooks.pool import Pool
from cds_service.hooks.request import Token
from cds_service.telemetry.setup import Call
from fhir_adapter.errors import InvalidInput
from fhir_adapter.guard import checked

# Both log the address of every request, and with it the patient's id.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)
MAX_REDIRECTS = 3
TYPES = frozenset({"application/fhir+json", "application/json", "application/json+fhir"})


class FetchError(Exception):
    """What was asked for didn't come. ``str()`` says why, in fixed words."""


class _Link(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class Page(msgspec.Struct):
    """The outer form of a Bundle; its entries stay bytes."""

    resourceType: str
    type: str | None = None
    total: int | None = None
    link: list[_Link] | None = None
    entry: list[msgspec.Raw] | None = None


class FhirClient:
    """One for the service; a pool of connections for each server of the allowlist."""

    def __init__(
        self, settings: Settings, authorities: Authorities | None = None, *, resolve: Resolve | None = None
    ) -> None:
        self._settings, self._resolve = settings, resolve
        self._authorities = authorities or Authorities(settings.fhir_ca)
        self._pools: dict[tuple[tuple[str, str, int], str], Pool] = {}

    @property
    def budget_s(self) -> float:
        """How long all that is fetched for one call may take."""
        return self._settings.fhir_budget_s

    async def close(self) -> None:
        """Ends all connections."""
        for pool in self._pools.values():
            await pool.close()

    def base(self, server: str) -> Base:
        """The base of a call's FHIR server.

        Raises:
            FetchError: the operator hasn't allowed it.
        """
        try:
            return allowed(server, self._settings.fhir_servers, plain_http=self._settings.fhir_plain_http)
        except Refused as error:
            raise FetchError(str(error)) from None

    async def read(self, base: Base, kind: str, id: str, token: Token | None, call: Call) -> bytes:
        """One resource.

        Raises:
            FetchError: it didn't come, or is another one.
        """
        return await self._get(base, f"{base.url}/{kind}/{quote(id, safe='')}", token, call)

    async def ask(
        self, base: Base, path: str, parameters: list[tuple[str, str]], token: Token | None, call: Call
    ) -> bytes:
        """What an operation below the base answers to GET.

        Raises:
            FetchError: it didn't come.
        """
        return await self._get(base, f"{base.url}/{path}?{urlencode(parameters)}", token, call)

    async def search(
        self, base: Base, kind: str, parameters: list[tuple[str, str]], token: Token | None, call: Call
    ) -> AsyncIterator[bytes]:
        """The pages of a search, one after the other, for as long as more is asked for.

        Raises:
            FetchError: a page didn't come, a `next` link leads elsewhere, or there are more pages than are read.
        """
        url = f"{base.url}/{kind}?{urlencode(parameters)}"
        async for page in self.pages(base, url, token, call):
            yield page

    async def pages(self, base: Base, url: str, token: Token | None, call: Call) -> AsyncIterator[bytes]:
        """As :meth:`search`, from a `next` link on."""
        seen: set[str] = set()
        following: str | None = url
        while following is not None:
            target = self._same_server(base, following)
            if target in seen:
                raise FetchError("the pages of the FHIR server go round in a circle")
            if len(seen) >= self._settings.fhir_max_pages:
                raise FetchError("the FHIR server has more pages than are read (fhir_max_pages)")
            seen.add(target)
            page = await self._get(base, target, token, call)
            yield page
            link = next_link(page)
            following = None if link is None else urljoin(target, link)

    def _same_server(self, base: Base, url: str) -> str:
        """An absolute URL of the same scheme, host and port."""
        absolute = urljoin(base.url + "/", url)
        try:
            other = base_of(absolute)
        except Refused:
            raise FetchError("a link of the FHIR server leads nowhere") from None
        if other.origin != base.origin:
            raise FetchError("a link of the FHIR server leads to another address")
        return absolute.partition("#")[0]

    async def _get(self, base: Base, url: str, token: Token | None, call: Call) -> bytes:
        with call.fetching() as fetch:
            for _ in range(MAX_REDIRECTS + 1):
                async with self._answer(base, url, token) as answer:
                    fetch.status = answer.status_code
                    if answer.status_code in (301, 302, 303, 307, 308):
                        url = self._same_server(base, urljoin(url, answer.headers.get("location", "")))
                        continue
                    return await self._body(answer)
            raise FetchError("the FHIR server redirects without an end")

    @asynccontextmanager
    async def _answer(self, base: Base, url: str, token: Token | None) -> AsyncIterator[httpx2.Response]:
        try:
            address = await address_of(
                base.host, base.port, private=self._settings.fhir_private_addresses, resolve=self._resolve
            )
        except Refused as error:
            raise FetchError(str(error)) from None
        headers = {"host": base.authority, "accept": "application/fhir+json", "accept-encoding": "identity"}
        if token is not None:
            headers["authorization"] = f"Bearer {token.value}"
        parts = urlsplit(url)
        target = httpx2.URL(
            scheme=base.scheme,
            host=address,
            port=base.port,
            raw_path=(parts.path + (f"?{parts.query}" if parts.query else "")).encode("ascii"),
        )
        pool = self._pool(base, address)
        try:
            async with (
                pool.connections() as connections,
                connections.stream("GET", target, headers=headers, extensions={"sni_hostname": base.host}) as answer,
            ):
                yield answer
        except httpx2.TimeoutException:
            raise FetchError("the FHIR server didn't answer in time") from None
        except httpx2.HTTPError:
            raise FetchError("the FHIR server can't be reached, or broke off") from None

    def _pool(self, base: Base, address: str) -> Pool:
        """The connections to one server at one address: a connection is never shared between names."""
        key = (base.origin, address)
        if key not in self._pools:
            self._pools[key] = Pool(
                self._authorities,
                timeout=self._settings.fhir_budget_s,
                limits=httpx2.Limits(max_connections=20, max_keepalive_connections=5, keepalive_expiry=15),
            )
        return self._pools[key]

    async def _body(self, answer: httpx2.Response) -> bytes:
        if answer.status_code != 200:
            raise FetchError(f"the FHIR server answered {answer.status_code}")
        media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media not in TYPES or answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise FetchError("the FHIR server didn't answer in FHIR JSON")
        parts, size = [], 0
        async for part in answer.aiter_raw():
            size += len(part)
            if size > self._settings.max_bundle_bytes:
                raise FetchError("the FHIR server sent more than is read (max_bundle_bytes)")
            parts.append(part)
        whole = b"".join(parts)
        try:
            return checked(whole, max_bytes=self._settings.max_bundle_bytes, max_depth=self._settings.max_depth)
        except InvalidInput:
            raise FetchError("the FHIR server didn't answer in FHIR JSON") from None


_PAGE = msgspec.json.Decoder(Page)


def page_of(raw: bytes) -> Page | None:
    """The outer form of a Bundle; None where it is none."""
    try:
        page = _PAGE.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return page if page.resourceType == "Bundle" else None


def next_link(raw: bytes) -> str | None:
    """Where the next page is; None on the last."""
    page = page_of(raw)
    links = page.link or [] if page is not None else []
    return next((link.url for link in links if link.relation == "next" and link.url), None)
