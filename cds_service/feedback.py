"""What clinicians did with cards, kept in SQLite. Comments are the patient's data: stored, never logged."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fhir_adapter.errors import ConfigError, FeedbackError, Violation

log = logging.getLogger(__name__)
OUTCOMES = ("accepted", "overridden")
MAX_ENTRIES = 1000
MAX_COMMENT = 4000
MAX_TEXT = 256
MAX_SUGGESTIONS = 50
MAX_KNOWN = 100_000
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
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
);
CREATE UNIQUE INDEX IF NOT EXISTS feedback_once ON feedback (card, outcome, outcome_at);
CREATE TABLE IF NOT EXISTS issued (id INTEGER PRIMARY KEY AUTOINCREMENT, card TEXT NOT NULL UNIQUE);
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
    """Feedback and the cards that went out, in one SQLite file (in memory without one). Safe to use from several threads.

    Raises:
        ConfigError: the file can't be opened as a database.
    """

    def __init__(
        self, path: Path | None, now: Callable[[], datetime] = lambda: datetime.now(UTC), *, known: int = MAX_KNOWN
    ) -> None:
        self._lock = threading.Lock()
        self._now, self._known = now, known
        try:
            self._database = sqlite3.connect(path or ":memory:", check_same_thread=False)
            try:
                self._database.executescript(_SCHEMA)
            except sqlite3.Error:
                self._database.close()
                raise
        except sqlite3.Error as error:
            fault = Violation("feedback_path", f"can't be used as a database: {error}")
            raise ConfigError(violations=(fault,)) from None

    def issued(self, cards: Sequence[str]) -> None:
        """Remembers cards that went out, the oldest forgotten first. A full disk costs the match, never the answer."""
        if not cards:
            return
        try:
            with self._lock, self._database:
                self._database.executemany(
                    "INSERT OR IGNORE INTO issued (card) VALUES (?)", [(card,) for card in cards]
                )
                self._database.execute(
                    "DELETE FROM issued WHERE id <= (SELECT max(id) FROM issued) - ?", (self._known,)
                )
        except sqlite3.Error as error:
            log.error("issued cards can't be remembered: %s", type(error).__name__)

    def add(self, entries: Sequence[Feedback]) -> list[str]:
        """Stores all entries or none; returns the cards that aren't known here (stored as unmatched).

        The same card, outcome and time again is a repeat of a call, and is stored once.

        Raises:
            FeedbackError: with one Violation per fault.
        """
        if not 0 < len(entries) <= MAX_ENTRIES:
            raise FeedbackError(violations=(Violation("feedback", f"1 to {MAX_ENTRIES} entries are required"),))
        faults = [fault for index, entry in enumerate(entries) for fault in _faults(index, entry)]
        if faults:
            raise FeedbackError(violations=tuple(faults))
        received = self._now().isoformat()
        with self._lock, self._database:
            unmatched = list(dict.fromkeys(entry.card for entry in entries if not self._is_known(entry.card)))
            self._database.executemany(
                "INSERT OR IGNORE INTO feedback (card, outcome, suggestions, reason_code, reason_system, reason_display,"
                " comment, outcome_at, received_at, matched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                        entry.card not in unmatched,
                    )
                    for entry in entries
                ],
            )
        return unmatched

    def _is_known(self, card: str) -> bool:
        return self._database.execute("SELECT 1 FROM issued WHERE card = ?", (card,)).fetchone() is not None

    def count(self) -> int:
        """How many entries are stored."""
        with self._lock:
            (count,) = self._database.execute("SELECT count(*) FROM feedback").fetchone()
        return int(count)

    def close(self) -> None:
        with self._lock:
            self._database.close()


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
