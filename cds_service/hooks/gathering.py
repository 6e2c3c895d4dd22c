"""Where a call's results come from: its context, its prefetch, or its FHIR server, in that order.

The results are required: where they can't be had the call fails with DataMissing (412). The Patient, and the earlier
results beside those of ``context.observations``, help; what became of them is said in the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from cds_service.hooks.allowed import Base
from cds_service.hooks.fhir_client import FetchError, FhirClient, Page, page_of
from cds_service.hooks.joining import Joined, Source, join
from cds_service.hooks.request import HookCall
from cds_service.hooks.services import PATIENT, PREFETCH, RECENT, RESULT_ARRIVED, RESULTS
from cds_service.telemetry.setup import Call
from fhir_adapter import dates, wire
from fhir_adapter.errors import DataMissing, InvalidInput, Violation

State = Literal["sent", "fetched", "none", "not-sent", "failed"]
"""sent and fetched: it is there; none: the client says that there is none; failed: it was to be had and wasn't."""
Prefetched = Literal["absent", "null", "failed", "partial", "whole"]


@dataclass(slots=True)
class Part:
    """What became of one of the things that a service looks at. ``why`` is in fixed words; ``more`` says that there are
    older results than those read."""

    state: State
    sources: list[Source] = field(default_factory=list)
    why: str | None = None
    more: bool = False


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that a call is judged on. ``joined`` is None where there is no result at all, and that is known."""

    joined: Joined | None
    parts: dict[str, Part]


async def gather(asked: HookCall, client: FhirClient, deadline: float, call: Call) -> Gathered:
    """Brings together what the call is judged on.

    Args:
        deadline: ``time.monotonic`` at which the call must be answered; what is fetched has ``fhir_budget_s`` of it at most.

    Raises:
        InvalidInput: what was sent isn't what its place says.
        DataMissing: there are no results, and they can't be had.
    """
    return await _Gathering(asked, client, deadline, call).all()


class _Gathering:
    """One call's."""

    def __init__(self, asked: HookCall, client: FhirClient, deadline: float, call: Call) -> None:
        self._asked, self._client, self._deadline, self._call = asked, client, deadline, call

    async def all(self) -> Gathered:
        arrived = self._arrived()
        jobs: dict[str, Coroutine[Any, Any, Part]] = {}
        parts: dict[str, Part] = {}
        for key, sent, fetch in (
            (PATIENT, self._patient_sent(), self._fetch_patient),
            (RESULTS, self._results_sent(), self._fetch_results),
        ):
            if sent is not None:
                parts[key] = sent
            elif self._asked.fhir_server is None:
                parts[key] = Part("not-sent")
            else:
                jobs[key] = self._guarded(fetch)
        parts |= await self._in_time(jobs)
        results = parts[RESULTS]
        if arrived is None and results.state in ("not-sent", "failed"):
            raise self._missing(results)
        if arrived is not None:
            results.sources = [Source(source.name, source.raw, news=False) for source in results.sources]
        sources = [*parts[PATIENT].sources, *([arrived] if arrived is not None else []), *results.sources]
        has_results = arrived is not None or any(_holds_results(source.raw) for source in results.sources)
        return Gathered(join(sources) if has_results else None, parts)

    def _missing(self, results: Part) -> DataMissing:
        place = f"prefetch.{RESULTS}"
        if results.state == "not-sent":
            return DataMissing(violations=(Violation(place, "not in the request, and no fhirServer to ask"),))
        return DataMissing(violations=(Violation(place, results.why or "could not be had"),))

    def _arrived(self) -> Source | None:
        raw = self._asked.context.get("observations")
        if self._asked.service.hook != RESULT_ARRIVED or raw is None or raw == b"null":
            return None
        if page_of(raw) is None:
            raise InvalidInput(violations=(Violation("context.observations", "must be a Bundle"),))
        return Source("context.observations", raw)

    # What the request brings

    def _prefetched(self, key: str, expected: str) -> tuple[Prefetched, bytes]:
        """How a prefetch key stands, and its JSON.

        Raises:
            InvalidInput: it holds something else than its template asks for.
        """
        raw = self._asked.prefetch.get(key)
        if raw is None:
            return "absent", b""
        if raw == b"null":
            return "null", b""
        kind = _kind(raw)
        if kind == "OperationOutcome":
            return "failed", raw
        if kind != expected:
            raise InvalidInput(
                violations=(Violation(f"prefetch.{key}", f"must be a {expected}, null, or an OperationOutcome"),)
            )
        return "whole", raw

    def _patient_sent(self) -> Part | None:
        """None where it has to be fetched."""
        state, raw = self._prefetched(PATIENT, "Patient")
        if state == "absent":
            return None
        if state == "null":
            return Part("none")
        if state == "failed":
            return Part("failed", why="the client could not read it")
        if _id(raw) not in (None, self._asked.patient_id):
            raise InvalidInput(violations=(Violation(f"prefetch.{PATIENT}.id", "must be the patient of the context"),))
        return Part("sent", [Source(f"prefetch.{PATIENT}", raw)])

    def _results_sent(self) -> Part | None:
        """None where they have to be fetched, the first page included."""
        state, raw = self._prefetched(RESULTS, "Bundle")
        if state == "absent":
            return None
        if state == "null":
            return Part("none")
        if state == "failed":
            # The client tried; asking again is what it wants to spare (CDS Hooks, "Prefetch Template").
            return Part("failed", why="the client could not read them (OperationOutcome)")
        page = page_of(raw)
        if page is None:
            raise InvalidInput(violations=(Violation(f"prefetch.{RESULTS}", "must be a Bundle"),))
        if _tells_of_failure(page):
            return Part("failed", why="the client could not read all of them (OperationOutcome in the Bundle)")
        source = Source(f"prefetch.{RESULTS}", raw)
        if _next(page) is None:
            entries = page.entry or []
            if page.type == "searchset" and page.total is not None and not entries and page.total > 0:
                return Part("failed", why="the Bundle says that there are results, and holds none")
            return Part("sent", [source])
        if _enough([page]):
            return Part("sent", [source], more=True)
        if self._asked.fhir_server is None:
            return Part(
                "failed", why="the Bundle is one page of several, and there is no fhirServer to ask for the others"
            )
        return None

    # What the FHIR server has

    async def _in_time(self, jobs: dict[str, Coroutine[Any, Any, Part]]) -> dict[str, Part]:
        """All at once, as long as the budget lasts."""
        if not jobs:
            return {}
        tasks = {key: asyncio.create_task(job) for key, job in jobs.items()}
        budget = min(self._client.budget_s, self._deadline - time.monotonic())
        try:
            await asyncio.wait(tasks.values(), timeout=max(0.0, budget))
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        late = Part("failed", why="the FHIR server didn't answer in time (fhir_budget_s)")
        return {key: late if task.cancelled() else task.result() for key, task in tasks.items()}

    async def _guarded(self, fetch: Callable[[Base], Coroutine[Any, Any, Part]]) -> Part:
        try:
            return await fetch(self._client.base(self._asked.fhir_server or ""))
        except FetchError as error:
            return Part("failed", why=str(error))

    async def _fetch_patient(self, base: Base) -> Part:
        raw = await self._client.read(base, "Patient", self._asked.patient_id, self._asked.token, self._call)
        if _kind(raw) != "Patient" or _id(raw) != self._asked.patient_id:
            raise FetchError("the FHIR server sent something else than the patient")
        return Part("fetched", [Source("fhirServer.patient", raw)])

    async def _fetch_results(self, base: Base) -> Part:
        """The newest RECENT results: as many pages as it takes to have them."""
        first = self._asked.prefetch.get(RESULTS)
        sources: list[Source] = []
        pages: list[Page] = []
        if first is not None and (page := page_of(first)) is not None and (following := _next(page)) is not None:
            sources.append(Source(f"prefetch.{RESULTS}", first))
            pages.append(page)
            coming = self._client.pages(base, following, self._asked.token, self._call)
        else:
            kind, _, query = PREFETCH[RESULTS].partition("?")
            query = query.replace("{{context.patientId}}", self._asked.patient_id)
            coming = self._client.search(base, kind, parse_qsl(query), self._asked.token, self._call)
        async for raw in coming:
            page = page_of(raw)
            if page is None:
                raise FetchError("the FHIR server didn't answer a search by a Bundle")
            if _tells_of_failure(page):
                raise FetchError("the FHIR server could not answer the whole search (OperationOutcome)")
            sources.append(Source(f"fhirServer.{RESULTS}[{len(sources)}]", raw))
            pages.append(page)
            if _next(page) is not None and _enough(pages):
                return Part("fetched", sources, more=True)
        if pages[0].total and not any(page.entry for page in pages):
            raise FetchError("the FHIR server says that there are results, and sent none")
        return Part("fetched", sources)


class _Kind(msgspec.Struct):
    resourceType: str
    id: str | None = None


class _Issue(msgspec.Struct):
    severity: str | None = None


class _Resource(msgspec.Struct):
    resourceType: str | None = None
    issue: list[_Issue] | None = None


class _Entry(msgspec.Struct):
    resource: _Resource | None = None


class _Dated(msgspec.Struct):
    resource: wire.Observation


_KINDS = msgspec.json.Decoder(_Kind)
_ENTRIES = msgspec.json.Decoder(_Entry)
_DATED = msgspec.json.Decoder(_Dated)


def _kind(raw: bytes) -> str | None:
    try:
        return _KINDS.decode(raw).resourceType
    except wire.FAULTS:
        return None


def _id(raw: bytes) -> str | None:
    try:
        return _KINDS.decode(raw).id
    except wire.FAULTS:
        return None


def _type(entry: msgspec.Raw) -> _Resource:
    try:
        return _ENTRIES.decode(entry).resource or _Resource()
    except wire.FAULTS:
        return _Resource("unreadable")


def _holds_results(raw: bytes) -> bool:
    """Whether anything in a Bundle may be a result; what can't be read may be one."""
    page = page_of(raw)
    return page is None or any(
        _type(entry).resourceType not in ("OperationOutcome", "Patient") for entry in page.entry or ()
    )


def _tells_of_failure(page: Page) -> bool:
    """Whether an OperationOutcome in it says that the search didn't go well; a mere warning doesn't."""
    for entry in page.entry or ():
        resource = _type(entry)
        if resource.resourceType == "OperationOutcome" and any(
            issue.severity in ("error", "fatal") for issue in resource.issue or ()
        ):
            return True
    return False


def _next(page: Page) -> str | None:
    return next((link.url for link in page.link or () if link.relation == "next" and link.url), None)


def _enough(pages: list[Page]) -> bool:
    """Whether these are the RECENT newest results, although more follow: enough of them, and newest first as was asked.
    A server that doesn't sort may have the newest on its last page."""
    seen: list[datetime] = []
    count = 0
    for page in pages:
        for entry in page.entry or ():
            try:
                observation = _DATED.decode(entry).resource
            except wire.FAULTS:
                continue
            count += 1
            at = dates.effective(observation)
            if at is not None:
                seen.append(at)
    return count >= RECENT and all(earlier >= later for earlier, later in pairwise(seen))
