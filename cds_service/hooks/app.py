"""The CDS Hooks app: addresses and what they answer. Further routes and middleware are mounted in ``assembly``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache
from importlib import metadata

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cds_service.backend import Backend
from cds_service.hooks import body, feedback, openapi, services
from cds_service.hooks.calls import Calls
from cds_service.hooks.ending import Failures, Requests, refused
from cds_service.hooks.fhir_client import FhirClient
from fhir_adapter.errors import Draining, NotFound, Violation

JSON = "application/json"
PRIVATE = {"cache-control": "no-store"}
"""What is said of a patient is nobody's to keep on the way."""
FEEDBACK = "org.labcue.feedback"


def create_app(
    backend: Backend,
    client: FhirClient,
    *,
    routes: Sequence[BaseRoute] = (),
    around: Sequence[Middleware] = (),
    within: Sequence[Middleware] = (),
) -> Starlette:
    """The ASGI app over a backend. ``assembly`` says what ``routes``, ``around`` and ``within`` are for."""
    door = _Door(backend, client)
    return Starlette(
        routes=[
            Route("/cds-services", door.discovery, methods=["GET"]),
            Route("/cds-services/{id}", door.call, methods=["POST"]),
            Route("/cds-services/{id}/feedback", door.feedback, methods=["POST"]),
            Route("/openapi.json", door.openapi, methods=["GET"]),
            Route("/healthz", door.health, methods=["GET"]),
            Route("/readyz", door.readiness, methods=["GET"]),
            *routes,
        ],
        middleware=[
            Middleware(Requests, telemetry=backend.telemetry),
            *around,
            Middleware(Failures),
            *within,
        ],
        exception_handlers={HTTPException: refused},
    )


class _Door:
    """The handlers."""

    def __init__(self, backend: Backend, client: FhirClient) -> None:
        self._backend, self._settings = backend, backend.settings
        self._calls = Calls(backend, client)
        self._discovery = orjson.dumps(services.discovery(_version()))
        self._openapi = orjson.dumps(openapi.document(_version(), subscriptions=backend.receiver is not None))

    async def discovery(self, request: Request) -> Response:
        return Response(self._discovery, media_type=JSON)

    async def openapi(self, request: Request) -> Response:
        return Response(self._openapi, media_type=JSON)

    async def health(self, request: Request) -> Response:
        """Alive: the event loop answers."""
        return _json(b'{"status":"alive"}')

    async def readiness(self, request: Request) -> Response:
        """Ready for work: warm, and not draining."""
        if not self._backend.ready:
            raise Draining("The service is not ready: it is starting or stopping.")
        return _json(b'{"status":"ready"}')

    async def call(self, request: Request) -> Response:
        """A CDS Hooks call."""
        return _json(await self._calls.answer(request, _known(request)))

    async def feedback(self, request: Request) -> Response:
        """What clinicians did with cards. A card that isn't known here is stored as unmatched, and named."""
        _known(request)
        sent = await body.read(
            request, max_bytes=self._settings.http_max_body_bytes, within_s=self._settings.http_body_timeout_s
        )
        entries = feedback.read(sent, max_bytes=self._settings.http_max_body_bytes)
        unmatched = await asyncio.to_thread(self._backend.records.add_feedback, entries)
        said = {"stored": len(entries)} | ({"unmatchedCards": unmatched} if unmatched else {})
        return _json(orjson.dumps({"extension": {FEEDBACK: said}}))


def _known(request: Request) -> dict[str, services.Service]:
    found = services.found(request.path_params["id"])
    if not found:
        raise NotFound(violations=(Violation("id", "there is no service of this id; see /cds-services"),))
    return found


def _json(content: bytes) -> Response:
    return Response(content, media_type=JSON, headers=PRIVATE)


@cache
def _version() -> str:
    return metadata.version("labcue")
