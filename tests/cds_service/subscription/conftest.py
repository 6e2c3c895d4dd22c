"""A FHIR server on loopback that is subscribed to and takes what comes of it, and the parts of the receiver over it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cds_service.config import Settings
from cds_service.evaluator import Evaluator
from cds_service.hooks.fhir_client import FhirClient
from cds_service.pipeline import Pipeline
from cds_service.records.store import Records
from cds_service.subscription.judging import Judge
from cds_service.subscription.queue import Queue
from cds_service.subscription.sending import Sender
from cds_service.subscription.worker import Worker
from cds_service.telemetry.setup import setup
from fhir_adapter import catalog
from tests.bundles import observation
from tests.cds_service.hooks.fhir_server import fhir, searchset
from tests.cds_service.records.conftest import Clock, clock, lasting, postgresql, where  # noqa: F401 (fixtures)

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1950-01-01"}


def result(id: str, value: float) -> dict[str, Any]:
    """A potassium of patient p."""
    return observation(id, "2823-3", value, "mmol/L", 3.5, 5.1) | {"subject": {"reference": "Patient/p"}}


def status(kind: str, form: str, numbers: dict[int, str | None], count: int | None, of: str) -> dict[str, Any]:
    """The status of a notification in the form of "R4", "R4B" or "R5"."""
    if form == "R4":
        listed: list[dict[str, Any]] = [
            {"name": "subscription", "valueReference": {"reference": of}},
            {"name": "type", "valueCode": kind},
        ]
        if count is not None:
            listed.append({"name": "events-since-subscription-start", "valueString": str(count)})
        for number, focus in numbers.items():
            part = [{"name": "event-number", "valueString": str(number)}]
            part += [{"name": "focus", "valueReference": {"reference": focus}}] if focus else []  # type: ignore[dict-item]
            listed.append({"name": "notification-event", "part": part})
        return {"resourceType": "Parameters", "parameter": listed}
    found: dict[str, Any] = {"resourceType": "SubscriptionStatus", "type": kind, "subscription": {"reference": of}}
    if count is not None:
        found["eventsSinceSubscriptionStart"] = str(count)
    if numbers:
        found["notificationEvent"] = [
            {"eventNumber": str(number)} | ({"focus": {"reference": focus}} if focus else {})
            for number, focus in numbers.items()
        ]
    return found


def notify(
    kind: str = "event-notification",
    numbers: dict[int, str | None] | None = None,
    *resources: dict[str, Any],
    form: str = "R5",
    count: int | None = None,
    of: str = "Subscription/s",
) -> bytes:
    """A notification: events by number with what they are about, and the resources that are sent along."""
    entries: list[dict[str, Any]] = [{"resource": status(kind, form, numbers or {}, count, of)}]
    entries += [{"fullUrl": f"urn:x:{one['id']}", "resource": one} for one in resources]
    bundle_type = "subscription-notification" if form == "R5" else "history"
    return json.dumps({"resourceType": "Bundle", "type": bundle_type, "entry": entries}).encode()


DROP, STALL, HOLD = 0, -1, -2
"""Faults of an :class:`Ehr`: it takes what was sent and breaks off before it says so; it takes nothing and says nothing;
it takes it and says nothing."""


@dataclass
class Ehr:
    """Its results, its events by number, what was created in it (once for each key), and its faults at the next POSTs:
    statuses, whole answers, or one of the above."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[int, str] = field(default_factory=dict)
    faults: list[int | Response] = field(default_factory=list)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    asked_with: set[str | None] = field(default_factory=set)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    patient_status: int = 200

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    async def answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/fhir/")
        if request.method == "POST":
            return await self._create(path, request)
        self.asked.append(path)
        self.asked_with.add(request.headers.get("authorization"))
        kind, _, id = path.partition("/")
        if path == "Patient/p":
            return fhir(PATIENT, self.patient_status)
        if path == "Observation":
            return fhir(searchset(list(self.results.values()), self.base))
        if kind == "Observation" and id in self.results:
            return fhir(self.results[id])
        if path == "Subscription/s/$events":
            number = int(request.query_params["eventsSinceNumber"])
            return (
                Response(
                    notify("query-event", {number: self.events.get(number)} if number in self.events else {}),
                    media_type="application/fhir+json",
                )
                if number in self.events
                else fhir({"resourceType": "OperationOutcome", "issue": []}, 404)
            )
        return fhir({"resourceType": "OperationOutcome", "issue": []}, 404)

    async def _create(self, path: str, request: Request) -> Response:
        self.posts.append((path, dict(request.headers)))
        fault = self.faults.pop(0) if self.faults else 201
        if isinstance(fault, Response):
            return fault
        if fault in (DROP, HOLD, 201):
            key = request.headers.get("if-none-exist") or request.headers["idempotency-key"]
            self.made.setdefault(key, json.loads(await request.body()))
            self.arrived.set()
        if fault == DROP:
            raise ConnectionAbortedError
        if fault in (STALL, HOLD):
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
        return Response(status_code=max(fault, 201))


@asynccontextmanager
async def ehr_server(**given: Any) -> AsyncIterator[Ehr]:
    """Runs one for the length of the block."""
    ehr = Ehr(**given)
    app = Starlette(routes=[Route("/{path:path}", ehr.answer, methods=["GET", "POST"])])
    running = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", access_log=False, lifespan="off", ws="none")
    )
    task = asyncio.create_task(running._serve())
    while not running.started:
        await asyncio.sleep(0.005)
    ehr.port = running.servers[0].sockets[0].getsockname()[1]
    try:
        yield ehr
    finally:
        running.should_exit = running.force_exit = True
        await task


def settings_for(ehr: Ehr, **given: Any) -> dict[str, Any]:
    return {
        "engine": "none",
        "fhir_servers": ehr.base,
        "fhir_plain_http": True,
        "fhir_private_addresses": True,
        "fhir_budget_s": 20.0,
        "subscription_server": ehr.base,
    } | given


@dataclass
class Process:
    """One process's parts of the receiver."""

    queue: Queue
    judge: Judge
    sender: Sender
    worker: Worker
    records: Records


Begin = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def begin(clock: Clock, tmp_path: Path) -> Begin:  # noqa: F811
    """Starts a process over the same database file, with a clock that stands."""

    @asynccontextmanager
    async def start(ehr: Ehr, **given: Any) -> AsyncIterator[Process]:
        settings = Settings(**settings_for(ehr, **({"records": str(tmp_path / "r.sqlite3")} | given)))
        async with AsyncExitStack() as ending:
            telemetry, records = setup(settings), Records(settings, clock)
            ending.callback(telemetry.shutdown)
            ending.callback(records.close)
            evaluator = Evaluator(settings, Pipeline(settings, catalog.load()), telemetry, records)
            ending.callback(evaluator.close)
            client, sender = FhirClient(settings), Sender(settings)
            ending.push_async_callback(client.close)
            ending.push_async_callback(sender.close)
            queue = Queue(records.database, clock, settings.outbox_attempts)
            judge = Judge(settings, client, evaluator, telemetry, clock)
            yield Process(queue, judge, sender, Worker(queue, judge, sender, clock), records)

    return start
