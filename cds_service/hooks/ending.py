"""How a request ends: its span, its line in the log, and whatever went wrong as an OperationOutcome."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds_service.errors import known
from cds_service.hooks import outcome
from cds_service.telemetry.setup import Call, Telemetry
from fhir_adapter.errors import (
    InternalError,
    InvalidInput,
    LabCueError,
    MethodNotAllowed,
    NotFound,
)

log = logging.getLogger(__name__)
CALL = "labcue.call"
"""Where a request's Call stands in its scope."""
LEFT = "499"
"""What the log says of a request whose client had gone; never sent."""
NO_ROUTE, PREFLIGHT = "/{unknown}", "/{preflight}"
"""What stands for a path that no route has, and for any that a browser asks about first (CORS): those are answered before a route is looked for."""
_STATUSES: dict[int, type[LabCueError]] = {404: NotFound, 405: MethodNotAllowed}


def call_of(scope: Scope) -> Call:
    """The Call that :class:`Requests` opened."""
    found: Call = scope[CALL]
    return found


class Requests:
    """The outermost middleware: a span and a line in the log for each request, and nothing raised to the server.

    Neither holds the path, the query, a header or the client's address: the route's template, the status and the time.
    """

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status: list[int] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            await send(message)

        began = time.perf_counter()
        with self._telemetry.request(scope["method"], _traceparent(scope)) as call:
            scope[CALL] = call
            try:
                await self._app(scope, receive, watched)
            except asyncio.CancelledError:
                call.end("CANCELLED", "cancelled")
                raise
            except Exception as error:
                failure = known(error)
                if not status:
                    await outcome.answer(failure)(scope, receive, watched)
                call.error = failure.code
            route = route_of(scope)
            call.routed(route)
            said = str(status[0]) if status else LEFT
            call.end(said, _error(call, said))
        log.info("%s %s %s %.1f ms", call.method, route, said, (time.perf_counter() - began) * 1e3)


def _error(call: Call, status: str) -> str | None:
    """The stable code that a handler left, for a status that is an error; its bare status where none did."""
    if status < "400":
        return None
    return call.error if call.error not in (None, "cancelled") else status


def route_of(scope: Scope) -> str:
    """The template of the route that was taken."""
    route: Any = scope.get("route")
    path = getattr(route, "path", None)
    if isinstance(path, str) and path:
        return path
    return PREFLIGHT if scope["method"] == "OPTIONS" else NO_ROUTE


def _traceparent(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return str(value.decode("latin-1"))
    return None


class Failures:
    """Turns whatever is raised within into an OperationOutcome, so that middleware around it sees an answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
            return
        except Exception as error:
            failure = known(error)
        if begun:
            raise InternalError
        call_of(scope).error = failure.code
        await outcome.answer(failure)(scope, receive, send)


async def refused(request: Request, error: Exception) -> Response:
    """For Starlette: its own refusals (no such route, no such method) as an OperationOutcome."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    failure = _of_status(error.status_code)
    call_of(request.scope).error = failure.code
    response = outcome.answer(failure)
    response.headers.update(error.headers or {})
    return response


def _of_status(status: int) -> LabCueError:
    kind = _STATUSES.get(status)
    if kind is not None:
        return kind()
    return InvalidInput() if status < 500 else InternalError()
