"""One CDS Hooks call, from its bytes to the bytes of its answer."""

from __future__ import annotations

import re
from typing import Any

import orjson
from starlette.requests import Request

from cds_service import words
from cds_service.backend import Backend
from cds_service.hooks import answer, body
from cds_service.hooks.ending import call_of
from cds_service.hooks.fhir_client import FhirClient
from cds_service.hooks.gathering import Gathered, gather
from cds_service.hooks.joining import Joined
from cds_service.hooks.request import HookCall, read
from cds_service.hooks.services import Service
from cds_service.pipeline import Evaluation, choose_language
from cds_service.telemetry import names
from fhir_adapter.errors import DataMissing, InvalidInput, LimitExceeded, MultiplePatients, Violation

_PATIENT = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
ADAPTER = "labcue-adapter"
"""Header of a call that names one of the settings' adapters."""
FETCHED = "fhirServer"
"""How paths begin that lead into what was fetched."""


class Calls:
    """Answers calls over one backend and one FHIR client."""

    def __init__(self, backend: Backend, client: FhirClient) -> None:
        self._settings, self._evaluator, self._telemetry = backend.settings, backend.evaluator, backend.telemetry
        self._client = client

    async def answer(self, request: Request, services: dict[str, Service]) -> bytes:
        """The CDS Hooks response.

        Raises:
            LabCueError: the call can't be answered; never an empty answer instead.
        """
        deadline = self._evaluator.deadline()
        self._evaluator.check_open()
        settings = self._settings
        sent = await body.read(request, max_bytes=settings.http_max_body_bytes, within_s=settings.http_body_timeout_s)
        # A call wraps a resource three deep: context, observations, the resource.
        asked = read(sent, services, max_bytes=settings.http_max_body_bytes, max_depth=settings.max_depth + 3)
        call = call_of(request.scope)
        call.span.set_attributes(self._telemetry.attributes({names.HOOK: asked.service.hook}))
        gathered = await gather(asked, self._client, deadline, call)
        listed = asked.listed or settings.answer_flags
        language = language_of(request.headers.get("accept-language", ""))
        joined = gathered.joined
        if joined is None:
            return orjson.dumps(nothing(gathered, choose_language(language, settings.language), call.trace_id))

        def write(evaluation: Evaluation) -> bytes:
            check_patient(evaluation.patient, asked)
            found = answer.response(evaluation, trace_id=call.trace_id, where=joined.where, listed=listed)
            found["extension"][answer.DATA] = parts(gathered)
            return answer.encoded(found)

        try:
            return await self._evaluator.evaluate(
                joined.bundle,
                language=language,
                deadline=deadline,
                call=call,
                write=write,
                user=asked.user,
                news=joined.is_news if joined.background else None,
                adapter=request.headers.get(ADAPTER),
            )
        except InvalidInput as error:
            failure = located(error, joined, fetched=_fetched(gathered))
        raise failure


def check_patient(reference: str | None, asked: HookCall) -> None:
    """Raises MultiplePatients where the results name another patient than the context: its chart isn't theirs."""
    named = _PATIENT.search(reference or "")
    if named is not None and named[1] != asked.patient_id:
        fault = Violation("context.patientId", "the results are of another patient than the context's")
        raise MultiplePatients("The results are not of the patient of the context.", violations=(fault,))


def located(error: InvalidInput, joined: Joined, *, fetched: bool) -> InvalidInput | DataMissing:
    """The error with its places as the caller knows them. What a FHIR server did wrong is no fault of the caller's."""
    violations = tuple(Violation(joined.where(fault.path), fault.description) for fault in error.violations)
    if fetched and (
        isinstance(error, LimitExceeded | MultiplePatients) or any(one.path.startswith(FETCHED) for one in violations)
    ):
        return DataMissing(violations=violations)
    return type(error)(str(error), violations=violations)


def _fetched(gathered: Gathered) -> bool:
    return any(part.state == "fetched" for part in gathered.parts.values())


def nothing(gathered: Gathered, language: str, trace_id: str) -> dict[str, Any]:
    """The answer where it is known that there is no result: the only way to no card without a judgement."""
    evaluation = {"language": language} | ({"traceId": trace_id} if trace_id else {})
    return {"cards": [], "extension": {answer.EVALUATION: evaluation, answer.DATA: parts(gathered)}}


def parts(gathered: Gathered) -> dict[str, Any]:
    """What became of each thing that was looked for."""
    return {
        key: {"state": part.state}
        | ({"reason": part.why} if part.why else {})
        | ({"olderResultsNotRead": True} if part.more else {})
        for key, part in gathered.parts.items()
    }


def language_of(accepted: str) -> str | None:
    """The first language of ``Accept-Language`` that the cards are written in; None where there is none."""
    ranked = []
    for position, part in enumerate(accepted.split(",")[:20]):
        tag, _, quality = part.replace(" ", "").partition(";q=")
        base = tag.split("-")[0].lower()
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        if base in words.LANGUAGES and weight > 0:
            ranked.append((-weight, position, base))
    return min(ranked)[2] if ranked else None
