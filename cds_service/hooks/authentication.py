"""Who calls the HTTP door, and whether it may. Refuses before the body is read; ``Failures`` makes the answer."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from cds_service.config import Settings
from cds_service.hooks.ending import call_of
from cds_service.trust.audience import Audience, called_base
from cds_service.trust.certificates import names_of
from cds_service.trust.clients import Permission, set_current
from cds_service.trust.gate import Credentials, Gate

OPEN = frozenset({"/healthz", "/readyz"})
"""What a load balancer asks; it says nothing but that the service is up."""
NEEDED: tuple[tuple[str, re.Pattern[str], Permission | None], ...] = (
    ("GET", re.compile(r"/cds-services"), None),
    ("GET", re.compile(r"/openapi\.json"), None),
    ("POST", re.compile(r"/cds-services/[^/]+"), "evaluate"),
    ("POST", re.compile(r"/cds-services/[^/]+/feedback"), "feedback"),
    ("POST", re.compile(r"/fhir/subscription"), "notify"),
)
"""The permission that an address needs; None: any known client may. What isn't named needs ``admin``."""


def needed(method: str, path: str) -> Permission | None:
    """The permission for a request."""
    for one, pattern, permission in NEEDED:
        if method == one and pattern.fullmatch(path):
            return permission
    return "admin"


class Authentication:
    """Lets known clients pass: by a token of their own, else by the certificate of their connection."""

    def __init__(self, app: ASGIApp, gate: Gate, settings: Settings) -> None:
        self._app, self._gate = app, gate
        self._public, self._trusted = settings.public_urls, settings.trusted_proxies or ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            sent = tuple(value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization")
            shown = Credentials(sent, _certificate(scope))
            client = await self._gate.admit(shown, self._audience(scope), needed(scope["method"], scope["path"]))
            set_current(client)
            call_of(scope).client = client.name
        await self._app(scope, receive, send)

    def _audience(self, scope: Scope) -> Audience:
        """The URL called, as the client wrote it."""
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        if self._public is not None:
            return Audience((path,), self._public)
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        peer = scope["client"][0] if scope.get("client") else None
        base = called_base(scope["scheme"], host, peer, scope["headers"], self._trusted)
        return Audience((path,), (base,) if base is not None else ())


def _certificate(scope: Scope) -> tuple[str, ...]:
    """The names of the caller's certificate, whose chain TLS has verified."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
    return names_of(chain[0].encode()) if chain else ()
