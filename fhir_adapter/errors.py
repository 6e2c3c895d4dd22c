"""Every error LabCue raises, and every reason for which a result is not assessed.

The tree::

    LabCueError
    ├── InvalidInput            the caller's request can't be read; carries FHIRPaths
    │   ├── NotJson             not UTF-8, not JSON, truncated
    │   ├── UnsupportedResource neither Bundle, Observation nor DiagnosticReport
    │   ├── InvalidResource     strict validation found faults
    │   ├── NoObservations      nothing to judge
    │   ├── MultiplePatients    results of two patients in one bundle
    │   ├── LimitExceeded       too large, too many Observations, too deeply nested
    │   ├── UnsupportedMediaType  a content type or encoding that isn't read
    │   └── RequestIdReused     the same request id with another content
    ├── NotFound                no such address
    ├── MethodNotAllowed        the address has no such method
    ├── DataMissing             the results aren't in the request, and can't be fetched
    ├── RequestTimeout          the request's body came too slowly
    ├── Unauthenticated         nobody the service knows
    ├── PermissionDenied        a known client that may not do this
    ├── Overloaded              no room now; retry later
    │   └── RateLimited         this client sends more than it may
    ├── DeadlineTooShort        the work can't end (or did not end) inside the deadline
    ├── Cancelled               the caller went away
    ├── Draining                the service is stopping
    ├── EngineError             the model failed (answered by rules, unless told otherwise)
    │   ├── EngineNotLoaded     there is no model
    │   ├── EngineLate          no answer in the time that was left
    │   ├── EngineStopped       it died, or hangs
    │   ├── EngineMemory        out of memory, even for this panel alone
    │   ├── EngineAnswer        not one probability per label for each result asked about
    │   ├── EngineUnreachable   the model's server can't be reached or fails
    │   ├── EngineRefused       the model's server doesn't take our requests
    │   └── PromptTooLong       one result alone is beyond the model's context window
    ├── RecordsUnavailable      the database of records doesn't answer
    ├── FeedbackError           feedback that can't be stored as sent
    ├── ConfigError             settings that don't hold, all of them at once
    ├── CatalogError            catalog data that doesn't hold
    └── InternalError           a fault of ours

``code`` is stable and stands in docs/errors.md; the mapping to gRPC, HTTP and OperationOutcome is
``cds_service.errors``. Messages are fixed text: no value, text or identifier of a patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault of the input: a FHIRPath (or setting name) and what is wrong with it."""

    path: str
    description: str


class LabCueError(Exception):
    """Root of the tree. ``code`` is stable; ``str()`` is safe to show and to log."""

    code: ClassVar[str] = "internal"
    message: ClassVar[str] = "An internal error occurred."

    def __init__(self, message: str | None = None, *, violations: tuple[Violation, ...] = ()) -> None:
        super().__init__(message or self.message)
        self.violations = violations


class InvalidInput(LabCueError):
    """The request can't be read."""

    code = "invalid-input"
    message = "The request can't be read."


class NotJson(InvalidInput):
    """Not UTF-8, not JSON, or truncated."""

    code = "not-json"
    message = "The bundle is not valid UTF-8 JSON."


class UnsupportedResource(InvalidInput):
    """Neither Bundle, Observation nor DiagnosticReport."""

    code = "unsupported-resource"
    message = "Expected a FHIR Bundle, Observation or DiagnosticReport."


class InvalidResource(InvalidInput):
    """Full validation found faults (``validation=strict``)."""

    code = "invalid-resource"
    message = "The resource doesn't conform to FHIR."


class NoObservations(InvalidInput):
    """The input holds no Observation."""

    code = "no-observations"
    message = "The bundle holds no Observation."


class MultiplePatients(InvalidInput):
    """Results of more than one patient; they are never mixed."""

    code = "multiple-patients"
    message = "The bundle holds results of more than one patient; send one bundle for each."


class LimitExceeded(InvalidInput):
    """Too large, too many Observations, or too deeply nested."""

    code = "limit-exceeded"
    message = "The bundle exceeds a limit of this service."


class UnsupportedMediaType(InvalidInput):
    """A content type or encoding that isn't read."""

    code = "unsupported-media-type"
    message = "Send application/json in UTF-8, without a content encoding."


class RequestIdReused(InvalidInput):
    """The same request id came with another content."""

    code = "request-id-reused"
    message = "This request id was used for another request; ids are unique per content."


class NotFound(LabCueError):
    """There is nothing at this address."""

    code = "not-found"
    message = "There is nothing at this address."


class MethodNotAllowed(LabCueError):
    """The address is there, the method isn't."""

    code = "method-not-allowed"
    message = "This address doesn't answer to this method."


class DataMissing(LabCueError):
    """The FHIR data isn't in the request and can't be had from the FHIR server either; ``violations`` say why."""

    code = "data-missing"
    message = "The results to judge are not in the request and could not be fetched."


class RequestTimeout(LabCueError):
    """The body of the request came too slowly."""

    code = "request-timeout"
    message = "The body of the request did not arrive in time."


class Unauthenticated(LabCueError):
    """Nobody the service knows. Why is for the service's log alone: it would help whoever tries tokens."""

    code = "unauthenticated"
    message = "Authentication is required."


class PermissionDenied(LabCueError):
    """A known client that may not do this."""

    code = "permission-denied"
    message = "This client has no permission for this."


class Overloaded(LabCueError):
    """No room for more work now. ``retry_after_s`` says when to come back."""

    code = "overloaded"
    message = "The service is at capacity; retry later."

    def __init__(self, message: str | None = None, *, retry_after_s: float = 0.5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(Overloaded):
    """This client sends more than it may."""

    code = "rate-limited"
    message = "This client sends more than it may; retry later."


class DeadlineTooShort(LabCueError):
    """The deadline passed, or the work can't end before it."""

    code = "deadline-exceeded"
    message = "The deadline passed before the answer was ready."


class Cancelled(LabCueError):
    """The caller went away."""

    code = "cancelled"
    message = "The call was cancelled."


class Draining(LabCueError):
    """The service is stopping and takes no new work."""

    code = "draining"
    message = "The service is shutting down; send the request to another replica."


class EngineError(LabCueError):
    """The model failed."""

    code = "engine-failed"
    message = "model failed"


class EngineNotLoaded(EngineError):
    """There is no model to ask."""

    code = "engine-not-loaded"
    message = "model not loaded"


class EngineLate(EngineError):
    """The model had no answer in the time that was left."""

    code = "engine-late"
    message = "model too late"


class EngineStopped(EngineError):
    """The model died or hangs; nothing more is asked of it."""

    code = "engine-stopped"
    message = "model stopped"


class EngineMemory(EngineError):
    """Out of memory; said to a caller where its panel alone is too much."""

    code = "engine-memory"
    message = "model out of memory"


class EngineAnswer(EngineError):
    """The answer isn't one probability per label for each result that was asked about."""

    code = "engine-bad-answer"
    message = "model answered badly"


class PromptTooLong(EngineError):
    """Beyond the model's context window; nothing is cut off."""

    code = "engine-prompt-too-long"
    message = "prompt too long"


class EngineUnreachable(EngineError):
    """The model's server can't be reached, breaks off, or answers with server errors."""

    code = "engine-unreachable"
    message = "model unreachable"


class EngineRefused(EngineError):
    """The model's server refuses our requests: another key, model or API than set."""

    code = "engine-refused"
    message = "model refused the request"


DEGRADED_REASONS: dict[str, str] = {
    kind.message: kind.code
    for kind in (
        EngineError,
        EngineNotLoaded,
        EngineLate,
        EngineStopped,
        EngineMemory,
        EngineAnswer,
        EngineUnreachable,
        EngineRefused,
        PromptTooLong,
    )
}
"""Why an answer is degraded: the text that answers carry → the stable code that metrics carry. Another text counts as
``engine-failed``."""


class FeedbackError(InvalidInput):
    """Feedback that can't be stored as sent."""

    code = "invalid-feedback"
    message = "The feedback can't be stored as sent."


class RecordsUnavailable(LabCueError):
    """The database of records doesn't answer, or can't write."""

    code = "records-unavailable"
    message = "The records can't be reached now; nothing was stored. Try again."


class ConfigError(LabCueError):
    """Settings that don't hold; ``violations`` lists all of them."""

    code = "invalid-settings"
    message = "The settings don't hold."


class CatalogError(LabCueError):
    """Catalog data that doesn't hold."""

    code = "invalid-catalog"
    message = "The catalog doesn't hold."


class InternalError(LabCueError):
    """A fault of ours; the text says nothing of the cause, the log has its type and place."""


NOT_ASSESSED_CODES: dict[str, str] = {
    "entered-in-error": "The result was entered in error.",
    "cancelled": "The test was cancelled.",
    "no-final-value": "The status says that there is no result yet.",
    "status-unknown": "The status is not one that FHIR defines.",
    "superseded": "A corrected version of this result stands in the same bundle.",
    "data-absent": "The laboratory says that the value is absent.",
    "no-value": "There is no value to judge.",
    "group": "A group: its members or components are judged on their own.",
    "not-laboratory": "Not a laboratory result.",
    "not-the-patient": "The result is not about the patient (another subject or focus).",
    "modifier-extension": "It carries a modifier extension that this service doesn't know.",
    "malformed": "The element can't be read.",
    "not-finite": "The number is not finite.",
    "unsupported-value": "A value of this type isn't judged.",
    "no-interval": "Neither the laboratory nor the catalog gives an interval for it.",
    "unit-unknown": "The unit is missing or not known, and the laboratory gives no interval in it.",
    "unit-mismatch": "The unit can't be converted into that of the interval.",
    "implausible": "The number is beyond what a living patient can have: probably a wrong unit or an error.",
    "indeterminate": "The value is a bound or a range that reaches across a limit of its interval.",
    "unknown-answer": "The answer in words is neither in the catalog nor in the laboratory's interval.",
    "inconclusive": "The answer says neither normal nor abnormal: pending, indeterminate, spoiled or descriptive.",
    "not-interpretable": "A descriptive result that is neither normal nor abnormal.",
}
"""Reasons for which something that came in is not judged: code → fixed sentence (English)."""

BENIGN_NOT_ASSESSED = frozenset(
    {"entered-in-error", "cancelled", "superseded", "group", "not-laboratory", "not-interpretable"}
)
"""Reasons that don't mean "could not be assessed": nothing is missing from the answer."""
