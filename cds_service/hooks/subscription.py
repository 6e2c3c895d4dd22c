"""Where a FHIR server sends its notifications: stored first, then acknowledged."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cds_service.backend import Backend
from cds_service.hooks import body
from cds_service.hooks.openapi import SUBSCRIPTION
from cds_service.subscription import notification


def routes(backend: Backend) -> list[BaseRoute]:
    """The route, where notifications are taken."""
    receiver, settings = backend.receiver, backend.settings
    if receiver is None:
        return []

    async def take(request: Request) -> Response:
        sent = await body.read(request, max_bytes=settings.http_max_body_bytes, within_s=settings.http_body_timeout_s)
        # A notification wraps a resource three deep: entry, its element, the resource.
        read = notification.read(sent, max_bytes=settings.http_max_body_bytes, max_depth=settings.max_depth + 3)
        await receiver.receive(read)
        return Response(status_code=200, headers={"cache-control": "no-store"})

    return [Route(SUBSCRIPTION, take, methods=["POST"])]
