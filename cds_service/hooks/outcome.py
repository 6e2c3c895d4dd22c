"""Our errors as HTTP answers: a FHIR OperationOutcome that says where and what, never a value of the patient's."""

from __future__ import annotations

import math
from typing import Any

import orjson
from starlette.responses import Response

from cds_service.errors import mapping
from fhir_adapter.errors import LabCueError, Overloaded, Unauthenticated

MEDIA_TYPE = "application/fhir+json"
SYSTEM = "https://labcue.org/CodeSystem/error"
MAX_ISSUES = 50


def outcome(error: LabCueError) -> dict[str, Any]:
    """The OperationOutcome (R4): one issue for each violation, with its place in ``expression``; else one for the whole."""
    issue_type = mapping(error).issue
    severity = "fatal" if mapping(error).http >= 500 else "error"
    base = {
        "severity": severity,
        "code": issue_type,
        "details": {"coding": [{"system": SYSTEM, "code": error.code}], "text": str(error)},
    }
    issues = [
        {**base, "diagnostics": f"{violation.path}: {violation.description}", "expression": [violation.path]}
        for violation in error.violations[:MAX_ISSUES]
    ]
    return {"resourceType": "OperationOutcome", "issue": issues or [base]}


def answer(error: LabCueError) -> Response:
    """The HTTP answer to a failure: the status of its class, Retry-After where coming back helps, and the way to
    authenticate where that was missing."""
    headers = {"cache-control": "no-store"}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return Response(orjson.dumps(outcome(error)), mapping(error).http, headers, MEDIA_TYPE)
