"""What is mounted on the HTTP door besides CDS Hooks: one line here for each further part.

Routes come after those of CDS Hooks and before the 404. Middleware is listed from the outside in; the request passes them
in this order, then :class:`cds_service.hooks.ending.Failures` turns whatever they or a handler raise into an OperationOutcome::

    Requests (span, access log)  >  around(backend)  >  Failures  >  within(backend)  >  routes

Put into ``around`` what must see every answer, errors included (CORS, HSTS): it may not raise. Put into ``within`` what may
refuse a request by raising a LabCueError (authentication, rate limits).
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from cds_service import workbench
from cds_service.backend import Backend
from cds_service.hooks import headers, subscription
from cds_service.hooks.authentication import Authentication


def routes(backend: Backend) -> list[BaseRoute]:
    """Further routes."""
    return [*workbench.routes(backend), *subscription.routes(backend)]


def around(backend: Backend) -> list[Middleware]:
    """Middleware that sees every answer, errors included."""
    return headers.middleware(backend.settings)


def within(backend: Backend) -> list[Middleware]:
    """Middleware that may refuse a request by raising a LabCueError."""
    if backend.gate is None:
        return []
    return [Middleware(Authentication, gate=backend.gate, settings=backend.settings)]
