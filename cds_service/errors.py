"""The one place where LabCue's errors become gRPC, HTTP and FHIR.

``TABLE`` maps each stable code to a gRPC status name, an HTTP status and an OperationOutcome issue type
(http://hl7.org/fhir/issue-type).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from fhir_adapter import errors

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mapping:
    """``grpc`` is the name of a grpc.StatusCode, ``http`` a status, ``issue`` an OperationOutcome issue type."""

    grpc: str
    http: int
    issue: str


TABLE: dict[type[errors.LabCueError], Mapping] = {
    errors.InvalidInput: Mapping("INVALID_ARGUMENT", 400, "invalid"),
    errors.NotJson: Mapping("INVALID_ARGUMENT", 400, "structure"),
    errors.UnsupportedResource: Mapping("INVALID_ARGUMENT", 400, "not-supported"),
    errors.InvalidResource: Mapping("INVALID_ARGUMENT", 400, "invalid"),
    errors.NoObservations: Mapping("INVALID_ARGUMENT", 400, "required"),
    errors.MultiplePatients: Mapping("INVALID_ARGUMENT", 400, "business-rule"),
    errors.LimitExceeded: Mapping("INVALID_ARGUMENT", 413, "too-costly"),
    errors.UnsupportedMediaType: Mapping("INVALID_ARGUMENT", 415, "not-supported"),
    errors.RequestIdReused: Mapping("INVALID_ARGUMENT", 409, "duplicate"),
    errors.FeedbackError: Mapping("INVALID_ARGUMENT", 400, "invalid"),
    errors.NotFound: Mapping("NOT_FOUND", 404, "not-found"),
    errors.MethodNotAllowed: Mapping("UNIMPLEMENTED", 405, "not-supported"),
    errors.DataMissing: Mapping("FAILED_PRECONDITION", 412, "incomplete"),
    errors.RequestTimeout: Mapping("DEADLINE_EXCEEDED", 408, "timeout"),
    errors.Unauthenticated: Mapping("UNAUTHENTICATED", 401, "login"),
    errors.PermissionDenied: Mapping("PERMISSION_DENIED", 403, "forbidden"),
    errors.RateLimited: Mapping("RESOURCE_EXHAUSTED", 429, "throttled"),
    errors.Overloaded: Mapping("RESOURCE_EXHAUSTED", 429, "throttled"),
    errors.DeadlineTooShort: Mapping("DEADLINE_EXCEEDED", 504, "timeout"),
    errors.Cancelled: Mapping("CANCELLED", 499, "transient"),
    errors.Draining: Mapping("UNAVAILABLE", 503, "transient"),
    errors.EngineError: Mapping("UNAVAILABLE", 503, "transient"),
    errors.EngineNotLoaded: Mapping("UNAVAILABLE", 503, "transient"),
    errors.EngineLate: Mapping("UNAVAILABLE", 503, "timeout"),
    errors.EngineStopped: Mapping("UNAVAILABLE", 503, "transient"),
    errors.EngineMemory: Mapping("UNAVAILABLE", 503, "too-costly"),
    errors.EngineAnswer: Mapping("UNAVAILABLE", 503, "exception"),
    errors.EngineUnreachable: Mapping("UNAVAILABLE", 503, "transient"),
    errors.EngineRefused: Mapping("UNAVAILABLE", 503, "security"),
    errors.PromptTooLong: Mapping("UNAVAILABLE", 503, "too-long"),
    errors.RecordsUnavailable: Mapping("UNAVAILABLE", 503, "transient"),
    errors.ConfigError: Mapping("FAILED_PRECONDITION", 500, "processing"),
    errors.CatalogError: Mapping("FAILED_PRECONDITION", 500, "processing"),
    errors.InternalError: Mapping("INTERNAL", 500, "exception"),
    errors.LabCueError: Mapping("INTERNAL", 500, "exception"),
}


def mapping(error: errors.LabCueError) -> Mapping:
    """The mapping of ``error``'s class, or of its nearest mapped ancestor."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return TABLE[errors.LabCueError]


def known(error: Exception) -> errors.LabCueError:
    """The error as one of ours. A fault of ours is logged by type and place, never by its text: that may hold data."""
    if isinstance(error, errors.LabCueError):
        return error
    if isinstance(error, ExceptionGroup):
        return known(error.exceptions[0])
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "unknown"
    log.error("internal error: %s at %s", type(error).__name__, place)
    return errors.InternalError()
