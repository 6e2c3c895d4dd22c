"""What the page asks for: itself, the examples, what is in force, and the way of one bundle."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cds_service.backend import Backend
from cds_service.config import Settings
from cds_service.example_bundles import examples
from cds_service.explanation import described
from cds_service.hooks import answer, body
from cds_service.hooks.ending import call_of
from cds_service.hooks.services import ID
from cds_service.pipeline import Trace
from cds_service.trust.exposure import is_open_to_others
from cds_service.workbench import assets
from fhir_adapter.errors import NotFound, Violation

JSON = "application/json"
FHIR = "application/fhir+json"
PRIVATE = {**assets.STRICT, "cache-control": "no-store"}


def is_on(settings: Settings) -> bool:
    """Whether the workbench is served: as set, else only where nobody but this machine calls, and needs no token."""
    for_this_machine = not is_open_to_others(settings) and settings.clients is None
    return settings.workbench == "on" or (settings.workbench == "auto" and for_this_machine)


def routes(backend: Backend) -> list[BaseRoute]:
    """The workbench's routes; none where it is off."""
    if not is_on(backend.settings):
        return []
    bench = _Workbench(backend)
    return [
        Route("/", bench.page, methods=["GET"]),
        Route("/workbench/static/{name}", bench.static, methods=["GET"]),
        Route("/workbench/about", bench.about, methods=["GET"]),
        Route("/workbench/examples", bench.examples, methods=["GET"]),
        Route("/workbench/examples/{name}", bench.example, methods=["GET"]),
        Route("/workbench/explain", bench.explain, methods=["POST"]),
    ]


class _Workbench:
    """The handlers."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self._settings = backend, backend.settings
        self._assets = assets.load()
        self._examples = {file.stem: file for file in examples()}

    async def page(self, request: Request) -> Response:
        return self._assets[assets.PAGE].answer(request)

    async def static(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise NotFound
        return asset.answer(request)

    async def about(self, request: Request) -> Response:
        """What is in force, for the foot of the page and its limits."""
        pipeline = self._backend.pipeline
        engine = getattr(pipeline, "engine", None)
        facts = {
            "version": metadata.version("labcue"),
            "model": None if engine is None else answer.model(engine.info),
            "degraded": getattr(pipeline, "degraded", None),
            "language": self._settings.language,
            "maxBundleBytes": self._settings.max_bundle_bytes,
            "feedback": f"cds-services/{ID}/feedback",
        }
        return _json(facts)

    async def examples(self, request: Request) -> Response:
        return _json(list(self._examples))

    async def example(self, request: Request) -> Response:
        file = self._examples.get(request.path_params["name"])
        if file is None:
            raise NotFound(violations=(Violation("name", "there is no example of this name"),))
        return Response(file.read_bytes(), media_type=FHIR, headers=PRIVATE)

    async def explain(self, request: Request) -> Response:
        """The CDS Hooks response to the bundle in the body, and everything that led to it."""
        evaluator, call = self._backend.evaluator, call_of(request.scope)
        deadline = evaluator.deadline()
        evaluator.check_open()
        sent = await body.read(
            request, max_bytes=self._settings.http_max_body_bytes, within_s=self._settings.http_body_timeout_s
        )

        def write(trace: Trace) -> bytes:
            shown = {
                "response": answer.response(trace.evaluation, trace_id=call.trace_id),
                "explanation": described(trace),
            }
            return answer.encoded(shown)

        language = request.query_params.get("language")
        written = await evaluator.trace(sent, language=language, deadline=deadline, call=call, write=write)
        return Response(written, media_type=JSON, headers=PRIVATE)


def _json(content: Any) -> Response:
    return Response(orjson.dumps(content), media_type=JSON, headers=PRIVATE)
