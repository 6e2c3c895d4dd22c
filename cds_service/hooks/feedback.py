"""What clinicians did with cards, as CDS Hooks clients send it."""

from __future__ import annotations

import msgspec

from cds_service.hooks.request import placed
from cds_service.records.feedback import Feedback
from fhir_adapter.errors import FeedbackError, NotJson, Violation
from fhir_adapter.guard import checked

MAX_DEPTH = 16


class _Coding(msgspec.Struct):
    code: str
    system: str = ""
    display: str = ""


class _Reason(msgspec.Struct):
    reason: _Coding | None = None
    userComment: str = ""


class _Suggestion(msgspec.Struct):
    id: str


class _Entry(msgspec.Struct):
    card: str
    outcome: str
    outcomeTimestamp: str
    acceptedSuggestions: list[_Suggestion] = []
    overrideReason: _Reason | None = None


class _Body(msgspec.Struct):
    feedback: list[_Entry]


_BODY = msgspec.json.Decoder(_Body)


def read(body: bytes, *, max_bytes: int) -> list[Feedback]:
    """The entries of a feedback call; the store says which of them don't hold.

    Raises:
        NotJson, LimitExceeded: the body can't be read at all.
        FeedbackError: a field is missing or ill-typed, named by its path.
    """
    whole = checked(body, max_bytes=max_bytes, max_depth=MAX_DEPTH)
    try:
        sent = _BODY.decode(whole)
    except msgspec.ValidationError as error:
        raise FeedbackError(violations=(Violation(*placed("", error)),)) from None
    except (msgspec.DecodeError, RecursionError):
        raise NotJson("The body is not valid JSON.") from None
    return [_entry(entry) for entry in sent.feedback]


def _entry(sent: _Entry) -> Feedback:
    reason = sent.overrideReason or _Reason()
    coding = reason.reason or _Coding("")
    return Feedback(
        card=sent.card,
        outcome=sent.outcome,
        suggestions=tuple(suggestion.id for suggestion in sent.acceptedSuggestions),
        reason_code=coding.code,
        reason_system=coding.system,
        reason_display=coding.display,
        comment=reason.userComment,
        outcome_at=sent.outcomeTimestamp,
    )
