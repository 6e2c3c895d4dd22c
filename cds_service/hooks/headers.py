"""What every answer of the HTTP door tells a browser, errors included."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds_service.config import Settings

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
"""Set where the answer says nothing else itself."""
HSTS = "max-age=31536000"
"""A year, for this host alone: the others of its domain aren't ours to decide on."""


def middleware(settings: Settings) -> list[Middleware]:
    """From the outside in: the headers of every answer, then CORS, which answers preflights itself."""
    found = [Middleware(SecurityHeaders, hsts=settings.tls_cert is not None or settings.behind_proxy)]
    if settings.cors_origins is not None:
        # Origins are listed, never reflected; cookies and the like aren't used, so no credentials are allowed.
        found.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("Authorization", "Content-Type"),
                expose_headers=("Retry-After",),
                allow_private_network=True,
                max_age=600,
            )
        )
    return found


class SecurityHeaders:
    """Adds ALWAYS, and HSTS where the door is reached by TLS."""

    def __init__(self, app: ASGIApp, hsts: bool) -> None:
        self._app = app
        self._added = ALWAYS | ({"strict-transport-security": HSTS} if hsts else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._added.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
