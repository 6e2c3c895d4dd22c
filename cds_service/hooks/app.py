"""The CDS Hooks app: addresses and what they answer. Further routes and middleware are mounted in ``assembly``."""

from __future__ import annotations

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

from cds_service import words
from cds_service.backend import Backend
from cds_service.hooks import answer, body, services
from cds_service.hooks import request as hook_request
from cds_service.hooks.ending import Failures, Requests, call_of, refused
from cds_service.pipeline import Evaluation
from fhir_adapter.errors import DataMissing, Draining, NotFound, Violation

JSON = "application/json"
PRIVATE = {"cache-control": "no-store"}
"""What is said of a patient is nobody's to keep on the way."""


def create_app(
    backend: Backend,
    *,
    routes: Sequence[BaseRoute] = (),
    around: Sequence[Middleware] = (),
    within: Sequence[Middleware] = (),
) -> Starlette:
    """The ASGI app over a backend. ``assembly`` says what ``routes``, ``around`` and ``within`` are for."""
    door = _Door(backend)
    return Starlette(
        routes=[
            Route("/cds-services", door.discovery, methods=["GET"]),
            Route("/cds-services/{id}", door.call, methods=["POST"]),
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

    def __init__(self, backend: Backend) -> None:
        self._backend, self._settings = backend, backend.settings
        self._discovery = orjson.dumps(services.discovery(_version()))

    async def discovery(self, request: Request) -> Response:
        return Response(self._discovery, media_type=JSON)

    async def health(self, request: Request) -> Response:
        """Alive: the event loop answers."""
        return Response(b'{"status":"alive"}', media_type=JSON, headers=PRIVATE)

    async def readiness(self, request: Request) -> Response:
        """Ready for work: warm, and not draining."""
        if not self._backend.ready:
            raise Draining("The service is not ready: it is starting or stopping.")
        return Response(b'{"status":"ready"}', media_type=JSON, headers=PRIVATE)

    async def call(self, request: Request) -> Response:
        """A CDS Hooks call."""
        known = services.found(request.path_params["id"])
        if not known:
            raise NotFound(violations=(Violation("id", "there is no service of this id; see /cds-services"),))
        deadline = self._backend.evaluator.deadline()
        self._backend.evaluator.check_open()
        sent = await body.read(
            request, max_bytes=self._settings.http_max_body_bytes, within_s=self._settings.http_body_timeout_s
        )
        asked = hook_request.read(
            sent,
            known,
            max_bytes=self._settings.http_max_body_bytes,
            max_depth=self._settings.max_depth + 8,
        )
        call = call_of(request.scope)
        bundle = asked.context.get("observations") or asked.prefetch.get(services.RESULTS)
        if bundle is None:
            raise DataMissing

        def write(evaluation: Evaluation) -> bytes:
            return answer.write(evaluation, trace_id=call.trace_id)

        written = await self._backend.evaluator.evaluate(
            bundle, language=_language(request), deadline=deadline, call=call, write=write
        )
        return Response(written, media_type=JSON, headers=PRIVATE)


def _language(request: Request) -> str | None:
    """The first language of ``Accept-Language`` that the cards are written in; None where there is none."""
    ranked = []
    for position, part in enumerate(request.headers.get("accept-language", "").split(",")[:20]):
        tag, _, quality = part.partition(";q=")
        base = tag.strip().split("-")[0].lower()
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if base in words.LANGUAGES and weight > 0:
            ranked.append((-weight, position, base))
    return min(ranked)[2] if ranked else None


@cache
def _version() -> str:
    return metadata.version("labcue")
