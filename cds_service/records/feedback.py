"""What clinicians did with cards: checked whole, then stored whole or not at all.

Comments are the patient's data: stored apart, never logged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from cds_service.records.schema import cards, comments, feedback
from fhir_adapter.errors import FeedbackError, Violation

OUTCOMES = ("accepted", "overridden")
MAX_ENTRIES = 1000
MAX_COMMENT = 4000
MAX_TEXT = 256
MAX_SUGGESTIONS = 50
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True, slots=True)
class Feedback:
    """One clinician's answer to one card. ``outcome_at`` is RFC 3339."""

    card: str
    outcome: str
    suggestions: tuple[str, ...] = ()
    reason_code: str = ""
    reason_system: str = ""
    reason_display: str = ""
    comment: str = ""
    outcome_at: str = ""


def check(entries: Sequence[Feedback]) -> None:
    """Raises FeedbackError with one Violation per fault."""
    if not 0 < len(entries) <= MAX_ENTRIES:
        raise FeedbackError(violations=(Violation("feedback", f"1 to {MAX_ENTRIES} entries are required"),))
    faults = [fault for index, entry in enumerate(entries) for fault in _faults(index, entry)]
    if faults:
        raise FeedbackError(violations=tuple(faults))


def add(connection: sa.Connection, entries: Sequence[Feedback], received_at: datetime) -> list[str]:
    """Stores checked entries; returns the cards that aren't known, whose feedback stays unmatched.

    The same card, outcome and time again is a repeat of a call, and is stored once.
    """
    named = list(dict.fromkeys(entry.card for entry in entries))
    known = set(connection.scalars(sa.select(cards.c.uuid).where(cards.c.uuid.in_(named))))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    for entry in entries:
        statement = insert(feedback).values(_row(entry, received_at)).on_conflict_do_nothing().returning(feedback.c.id)
        made = connection.execute(statement).scalar_one_or_none()
        if made is not None and entry.comment:
            connection.execute(sa.insert(comments).values(feedback=made, text=entry.comment))
    return [card for card in named if card not in known]


def _row(entry: Feedback, received_at: datetime) -> dict[str, Any]:
    return {
        "card": entry.card,
        "outcome": entry.outcome,
        "suggestions": list(entry.suggestions),
        "reason_code": entry.reason_code or None,
        "reason_system": entry.reason_system or None,
        "reason_display": entry.reason_display or None,
        "outcome_at": entry.outcome_at,
        "received_at": received_at,
    }


def _faults(index: int, entry: Feedback) -> Iterator[Violation]:
    at = f"feedback[{index}]"
    if not entry.card or len(entry.card) > MAX_TEXT:
        yield Violation(f"{at}.card", "the uuid of a card is required")
    if entry.outcome not in OUTCOMES:
        yield Violation(f"{at}.outcome", "must be accepted or overridden")
    if entry.outcome == "accepted" and not entry.suggestions:
        yield Violation(f"{at}.acceptedSuggestions", "required where the outcome is accepted")
    if len(entry.suggestions) > MAX_SUGGESTIONS or any(not 0 < len(id) <= MAX_TEXT for id in entry.suggestions):
        yield Violation(f"{at}.acceptedSuggestions", f"at most {MAX_SUGGESTIONS}, each with the id of a suggestion")
    if "\0" in f"{entry.card}{entry.reason_code}{entry.reason_system}{entry.reason_display}{entry.comment}" or any(
        "\0" in id for id in entry.suggestions
    ):
        yield Violation(at, "no text may hold the character U+0000")
    if not _is_time(entry.outcome_at):
        yield Violation(f"{at}.outcomeTimestamp", "must be an RFC 3339 time")
    if any(len(part) > MAX_TEXT for part in (entry.reason_code, entry.reason_system, entry.reason_display)):
        yield Violation(f"{at}.overrideReason.reason", f"at most {MAX_TEXT} characters in each part")
    if len(entry.comment) > MAX_COMMENT:
        yield Violation(f"{at}.overrideReason.userComment", f"at most {MAX_COMMENT} characters")


def _is_time(text: str) -> bool:
    if not _RFC3339.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
