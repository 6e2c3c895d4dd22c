"""A FHIR server on loopback: it holds one patient's results, pages them, and misbehaves as a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MEDIA = "application/fhir+json"
Handler = Callable[[Request], Awaitable[Response]]


def fhir(content: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(content), status, headers, MEDIA)


def searchset(resources: list[dict[str, Any]], base: str = "", following: str | None = None) -> dict[str, Any]:
    """A page of a search, as servers send them: with a fullUrl for each entry."""
    links = [{"relation": "next", "url": following}] if following else []
    entries = [
        {"fullUrl": f"{base}/{one['resourceType']}/{one['id']}", "resource": one, "search": {"mode": "match"}}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "searchset", "link": links} | ({"entry": entries} if entries else {})


NOT_FOUND = fhir({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}, 404)


@dataclass
class FhirServer:
    """Its data, its faults (a handler by path, in place of its own), and what it was asked."""

    port: int = 0
    patient: dict[str, Any] = field(default_factory=lambda: {"resourceType": "Patient", "id": "p", "gender": "male"})
    observations: list[dict[str, Any]] = field(default_factory=list)
    page: int = 1000
    faults: dict[str, Handler] = field(default_factory=dict)
    search_by_post: bool = True
    asked: list[Request] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    @property
    def paths(self) -> list[str]:
        return sorted(request.url.path for request in self.asked)

    async def _answer(self, request: Request) -> Response:
        self.asked.append(request)
        path = request.url.path.removeprefix("/fhir/")
        fault = self.faults.get(path.partition("/")[0])
        if fault is not None:
            return await fault(request)
        if path == f"Patient/{self.patient['id']}":
            return fhir(self.patient)
        if request.method == "POST" and not self.search_by_post:
            return NOT_FOUND
        if path in ("Observation", "Observation/_search"):
            start = int(request.query_params.get("_page", 0)) * self.page
            following = None
            if start + self.page < len(self.observations):
                following = f"{self.base}/Observation?patient=p&_page={start // self.page + 1}"
            return fhir(searchset(self.observations[start : start + self.page], self.base, following))
        return NOT_FOUND


@asynccontextmanager
async def fhir_server(tls: tuple[Path, Path] | None = None, **given: Any) -> AsyncIterator[FhirServer]:
    """Runs one for the length of the block."""
    server = FhirServer(**given)
    scheme = {} if tls is None else {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]}
    app = Starlette(routes=[Route("/{path:path}", server._answer, methods=["GET", "POST"])])
    config = uvicorn.Config(app, port=0, log_level="critical", access_log=False, lifespan="off", ws="none", **scheme)
    running = uvicorn.Server(config)
    task = asyncio.create_task(running._serve())
    while not running.started:
        await asyncio.sleep(0.005)
    server.port = running.servers[0].sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        running.should_exit = running.force_exit = True
        await task
