"""The real HTTP door on loopback, and a client to it."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cds_service.config import Settings
from cds_service.hooks import openapi
from cds_service.hooks.services import ID, RESULT_ARRIVED
from cds_service.pipeline import Pipeline
from cds_service.serving import Running, running
from cds_service.telemetry.setup import setup
from fhir_adapter import catalog

CALL = f"/cds-services/{ID}"
SCHEMAS = {name: Draft202012Validator(openapi.schema(name)) for name in openapi.NAMES}
ANSWERS = (
    (re.compile(r"/cds-services"), "discovery"),
    (re.compile(r"/cds-services/[^/]+"), "response"),
    (re.compile(r"/cds-services/[^/]+/feedback"), "feedback-answer"),
    (re.compile(r"/healthz|/readyz"), "status"),
)


async def holds(response: httpx2.Response) -> None:
    """Every answer that any test gets is what its JSON Schema says; every failure an OperationOutcome."""
    await response.aread()
    if response.request.method in ("HEAD", "OPTIONS") or response.headers.get("content-type", "").startswith("text/"):
        return
    named = (name for pattern, name in ANSWERS if pattern.fullmatch(response.url.path))
    name = "outcome" if response.status_code >= 400 else next(named, None)
    if name is not None:
        SCHEMAS[name].validate(response.json())


@dataclass
class Door:
    """A running service, a client to its HTTP door, and what it exports."""

    server: Running
    client: httpx2.AsyncClient
    spans: InMemorySpanExporter
    metrics: InMemoryMetricReader

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.http_port}"

    async def call(self, body: Any, path: str = CALL, **headers: str) -> httpx2.Response:
        """POSTs JSON (or bytes as they are)."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path, content=sent, headers={"content-type": "application/json"} | named)


Open = Callable[..., AbstractAsyncContextManager[Door]]


def request(observations: Any = None, *, hook: str = RESULT_ARRIVED, patient: str = "p", **more: Any) -> dict[str, Any]:
    """A call with results in its context."""
    context: dict[str, Any] = {"patientId": patient}
    if hook != RESULT_ARRIVED:
        context |= {"userId": "Practitioner/1", "encounterId": "e", "draftOrders": {"resourceType": "Bundle"}}
    if observations is not None:
        context["observations"] = json.loads(observations) if isinstance(observations, bytes) else observations
    return {"hook": hook, "hookInstance": str(uuid.uuid4()), "context": context} | more


def issues(response: httpx2.Response) -> list[tuple[str, str | None]]:
    """(our code, place) of each issue of an OperationOutcome."""
    assert response.headers["content-type"] == "application/fhir+json"
    shown = response.json()
    assert shown["resourceType"] == "OperationOutcome"
    return [
        (issue["details"]["coding"][0]["code"], *(issue.get("expression") or [None]))  # type: ignore[misc]
        for issue in shown["issue"]
    ]


@pytest.fixture(scope="session")
def known_analytes() -> catalog.Catalog:
    return catalog.load()


@pytest.fixture
def open_door(known_analytes: catalog.Catalog) -> Open:
    """Starts the HTTP door with given settings, and a pipeline (default: the real one, rules only)."""

    @asynccontextmanager
    async def start(pipeline: Any = None, **given: Any) -> AsyncIterator[Door]:
        settings = Settings(**({"doors": "http", "http_port": 0, "engine": "none", "drain_grace_s": 2.0} | given))
        spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
        telemetry = setup(settings, processors=[SimpleSpanProcessor(spans)], readers=[metrics])
        pipeline = pipeline or Pipeline(settings, known_analytes)
        async with (
            running(settings, pipeline, telemetry=telemetry) as server,
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{server.http_port}",
                timeout=30,
                trust_env=False,
                event_hooks={"response": [holds]},
            ) as client,
        ):
            yield Door(server, client, spans, metrics)

    return start
