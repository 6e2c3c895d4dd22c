"""What clinicians did with cards, kept in SQLite. Comments are the patient's data: stored, never logged."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fhir_adapter.errors import FeedbackError, Violation

OUTCOMES = ("accepted", "overridden")
MAX_COMMENT = 4000
MAX_KNOWN = 100_000
_RFC3339 = re.compile(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (
  id INTEGER PRIMARY KEY,
  card TEXT NOT NULL,
  outcome TEXT NOT NULL CHECK (outcome IN ('accepted', 'overridden')),
  suggestions TEXT NOT NULL,
  reason_code TEXT, reason_system TEXT, reason_display TEXT,
  comment TEXT,
  outcome_at TEXT NOT NULL,
  received_at TEXT NOT NULL,
  matched INTEGER NOT NULL
)
"""


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


class FeedbackStore:
    """Feedback in one SQLite file (in memory without one), and the cards that this replica has issued."""

    def __init__(self, path: Path | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False)
        self._database.execute(_SCHEMA)
        self._database.commit()
        self._lock = threading.Lock()
        self._now = now
        self._issued: OrderedDict[str, None] = OrderedDict()

    def issued(self, cards: Iterable[str]) -> None:
        """Remembers cards that went out, the oldest forgotten first."""
        with self._lock:
            for card in cards:
                self._issued[card] = None
            while len(self._issued) > MAX_KNOWN:
                self._issued.popitem(last=False)

    def add(self, entries: Sequence[Feedback]) -> list[str]:
        """Stores all entries or none; returns the cards that this replica doesn't know (stored as unmatched).

        Raises:
            FeedbackError: with one Violation per fault.
        """
        faults = [fault for index, entry in enumerate(entries) for fault in _faults(index, entry)]
        if not entries:
            faults.append(Violation("feedback", "at least one entry is required"))
        if faults:
            raise FeedbackError(violations=tuple(faults))
        received = self._now().isoformat()
        with self._lock, self._database:
            unmatched = list(dict.fromkeys(entry.card for entry in entries if entry.card not in self._issued))
            self._database.executemany(
                "INSERT INTO feedback (card, outcome, suggestions, reason_code, reason_system, reason_display, comment,"
                " outcome_at, received_at, matched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        entry.card,
                        entry.outcome,
                        json.dumps(entry.suggestions),
                        entry.reason_code or None,
                        entry.reason_system or None,
                        entry.reason_display or None,
                        entry.comment or None,
                        entry.outcome_at,
                        received,
                        entry.card in self._issued,
                    )
                    for entry in entries
                ],
            )
        return unmatched

    def count(self) -> int:
        """How many entries are stored."""
        with self._lock:
            (count,) = self._database.execute("SELECT count(*) FROM feedback").fetchone()
        return int(count)

    def close(self) -> None:
        with self._lock:
            self._database.close()


def _faults(index: int, entry: Feedback) -> Iterable[Violation]:
    at = f"feedback[{index}]"
    if not entry.card or len(entry.card) > 128:
        yield Violation(f"{at}.card", "the uuid of a card is required")
    if entry.outcome not in OUTCOMES:
        yield Violation(f"{at}.outcome", "must be accepted or overridden")
    if entry.outcome == "accepted" and not entry.suggestions:
        yield Violation(f"{at}.acceptedSuggestions", "required where the outcome is accepted")
    if not _RFC3339.match(entry.outcome_at):
        yield Violation(f"{at}.outcomeTimestamp", "must be an RFC 3339 time")
    if len(entry.comment) > MAX_COMMENT:
        yield Violation(f"{at}.overrideReason.userComment", f"at most {MAX_COMMENT} characters")
