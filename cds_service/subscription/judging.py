"""One event: what it is about is fetched, judged with the patient's other results beside it, and put as what goes out."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from cds_service.config import Settings
from cds_service.evaluator import Evaluator
from cds_service.hooks import answer
from cds_service.hooks.allowed import Base
from cds_service.hooks.fhir_client import FetchError, FhirClient
from cds_service.hooks.gathering import gather
from cds_service.hooks.request import HookCall, Token
from cds_service.hooks.services import ID, RESULT_ARRIVED, found
from cds_service.pipeline import Evaluation
from cds_service.subscription import notification, resource
from cds_service.subscription.queue import Waiting
from cds_service.subscription.tokens import Tokens
from cds_service.telemetry.setup import Call, Telemetry
from fhir_adapter.errors import InvalidInput, LabCueError

_PLACE = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


class NotJudged(Exception):
    """Why an event could not be judged, in fixed words; ``again`` says whether another try may help."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


@dataclass(frozen=True, slots=True)
class Judged:
    """What goes out; ``body`` is None where there is nothing to say. The receiver knows a repeat by ``key``."""

    key: str
    body: bytes | None = field(repr=False)


class _Subject(msgspec.Struct):
    reference: str | None = None


class _Head(msgspec.Struct):
    resourceType: str
    id: str | None = None
    subject: _Subject | None = None


_HEAD = msgspec.json.Decoder(_Head)


class Judge:
    """Judges events of ``subscription_server`` by the evaluator that all doors share."""

    def __init__(
        self,
        settings: Settings,
        client: FhirClient,
        evaluator: Evaluator,
        telemetry: Telemetry,
        now: Callable[[], datetime],
        tokens: Tokens | None = None,
    ) -> None:
        self._settings, self._client, self._evaluator = settings, client, evaluator
        self._telemetry, self._now = telemetry, now
        self._server = settings.subscription_server or ""
        self._tokens = tokens or Tokens(settings)

    @property
    def _token(self) -> Token | None:
        secret = self._tokens.fetch
        return None if secret is None else Token(secret.get_secret_value())

    async def judge(self, event: Waiting) -> Judged:
        """What goes out for an event.

        Raises:
            NotJudged: it can't be had, read or judged.
        """
        with self._telemetry.request("_OTHER", None) as call:
            call.routed("subscription-event")
            try:
                judged = await self._judged(event, call)
            except FetchError as error:
                failure = NotJudged(str(error), again=True)
            except TimeoutError:
                failure = NotJudged("the FHIR server didn't answer in time (fhir_budget_s)", again=True)
            except LabCueError as error:
                failure = NotJudged(error.code, again=not isinstance(error, InvalidInput))
            except NotJudged as error:
                failure = error
            else:
                call.end("200")
                return judged
            call.end("500", "data_missing")
            raise failure

    async def _judged(self, event: Waiting, call: Call) -> Judged:
        base = self._client.base(self._server)
        async with asyncio.timeout(self._client.budget_s):
            raw = await self._focus(event, base, call)
        patient = self._patient(raw)
        asked = HookCall(
            found(ID)[RESULT_ARRIVED],
            patient,
            context={
                "observations": b'{"resourceType":"Bundle","type":"collection","entry":[{"resource":' + raw + b"}]}"
            },
            prefetch={},
            fhir_server=self._server,
            token=self._token,
        )
        gathered = await gather(asked, self._client, self._evaluator.deadline(), call)
        for part in gathered.parts.values():
            if part.state == "failed":  # nobody looks on who could see that it was judged without
                raise NotJudged(part.why or "the patient's data can't be had", again=True)
        joined = gathered.joined
        if joined is None:
            raise NotJudged("there is no result", again=False)
        key = uuid.uuid4().hex

        def write(evaluation: Evaluation) -> bytes | None:
            if not evaluation.cards:
                return None
            about, at, output = f"Patient/{patient}", self._now(), self._settings.subscription_output
            if output == "webhook":
                listed = self._settings.answer_flags
                response = answer.response(evaluation, trace_id=call.trace_id, where=joined.where, listed=listed)
                return resource.webhook(response, patient=about, key=key, at=at)
            return resource.body(output, evaluation, patient=about, key=key, at=at)

        async with self._evaluator.stream_turn():
            body = await self._evaluator.evaluate(
                joined.bundle,
                language=None,
                deadline=self._evaluator.deadline(),
                call=call,
                write=write,
                news=joined.is_news if joined.background else None,
                refuse=False,
            )
        return Judged(key, body)

    async def _focus(self, event: Waiting, base: Base, call: Call) -> bytes:
        focus, raw = event.focus, event.resource
        if focus is None:
            focus, raw = await self._asked(event, base, call)
        place = _PLACE.fullmatch(focus.removeprefix(self._server + "/"))
        if place is None or place[1] != "Observation":
            raise NotJudged("the event is about no Observation of subscription_server", again=False)
        if raw is None:
            raw = await self._client.read(base, place[1], place[2], self._token, call)
        head = _head(raw)
        if head.resourceType != place[1] or head.id not in (None, place[2]):
            raise NotJudged("something else came than the event is about", again=False)
        return raw

    async def _asked(self, event: Waiting, base: Base, call: Call) -> tuple[str, bytes | None]:
        """What an event is about that came without saying, or never came."""
        number = str(event.number)
        between = [("eventsSinceNumber", number), ("eventsUntilNumber", number), ("content", "id-only")]
        raw = await self._client.ask(base, f"{event.subscription}/$events", between, self._token, call)
        told = notification.read(
            raw,
            max_bytes=self._settings.max_bundle_bytes,
            max_depth=self._settings.max_depth,
            kinds=("query-event",),
        )
        same = next((one for one in told.events if one.number == event.number), None)
        if same is None:
            raise NotJudged("the FHIR server doesn't have this event", again=True)
        if same.focus is None:
            raise NotJudged("the FHIR server doesn't say what this event is about", again=False)
        return same.focus, same.resource

    def _patient(self, raw: bytes) -> str:
        subject = _head(raw).subject
        reference = (subject.reference if subject is not None else None) or ""
        place = _PLACE.fullmatch(reference.removeprefix(self._server + "/"))
        if place is None or place[1] != "Patient":
            raise NotJudged("the result names no patient of subscription_server", again=False)
        return place[2]


def _head(raw: bytes) -> _Head:
    try:
        return _HEAD.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise NotJudged("the event's resource can't be read", again=False) from None
