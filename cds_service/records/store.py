"""The records as the rest of the service sees them: what goes out is settled and remembered, feedback is stored."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from cds_service import cards, fatigue
from cds_service.acknowledge import acceptable
from cds_service.config import Settings
from cds_service.domain import Held
from cds_service.fatigue import Alert, Met, Whose
from cds_service.pipeline import Evaluation
from cds_service.pseudonym import Pseudonyms, load_key
from cds_service.records import feedback as entries_
from cds_service.records import issued, memory, retention, schema
from cds_service.records.database import open_database
from cds_service.records.feedback import Feedback
from cds_service.records.issued import Issue
from cds_service.records.writer import Writer
from fhir_adapter.errors import RecordsUnavailable

log = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


class Records:
    """One database of records. Safe to use from several threads.

    Raises:
        ConfigError: the database can't be opened or is behind this version, or the key doesn't hold.
    """

    def __init__(self, settings: Settings, now: Callable[[], datetime] = _now) -> None:
        self._settings, self._now = settings, now
        self.database = open_database(settings)
        try:
            self.names = Pseudonyms(load_key(settings))
        except BaseException:
            self.database.close()
            raise
        self._writer: Writer[Issue] = Writer(self._write, self.tend)

    def settle(self, evaluation: Evaluation, *, user: str | None = None) -> tuple[Evaluation, Issue]:
        """The evaluation as it goes out to ``user``: without the cards that say nothing new, and with at most ``max_cards``; and
        what to :meth:`remember` once it does. Records that can't be read hold nothing back.

        Each card has something that can be accepted (``acknowledge``). Where records outlast the process, each answer gets the id under which it is remembered.
        """
        whose = Whose(self.names.patient(evaluation.patient), self.names.of("requester", user) if user else None)
        alerts = {card.uuid: fatigue.alert(card, evaluation.verdict, known=whose.known) for card in evaluation.cards}
        settled = self._gathered(self._held_back(evaluation, alerts, whose), alerts)
        if self._settings.acknowledge:
            settled = replace(settled, cards=acceptable(settled.cards, settled.language))
        if self._settings.records is not None:
            settled = replace(settled, audit_id=uuid.uuid4().hex)
        return settled, issued.rows(settled, alerts, whose, self.names, self._now())

    def remember(self, issue: Issue) -> None:
        """Stores, in the background, what went out."""
        if issue:
            self._writer.put(issue)

    def _held_back(self, evaluation: Evaluation, alerts: dict[str, Alert], whose: Whose) -> Evaluation:
        if not whose.known or self._settings.fatigue == "off":
            return evaluation
        met = self._met([alert for alert in alerts.values() if not alert.lasting], whose)
        held = fatigue.hold_back(evaluation.cards, [alerts[card.uuid] for card in evaluation.cards], met)
        gone = {one.card.uuid for one in held}
        left = tuple(card for card in evaluation.cards if card.uuid not in gone)
        return replace(evaluation, cards=left, held_back=held)

    def _met(self, alerts: Sequence[Alert], whose: Whose) -> dict[tuple[str, ...], Met]:
        keys = {
            finding.about: key
            for alert in alerts
            for finding in alert.findings
            if (key := fatigue.key(finding, whose, self.names)) is not None
        }
        if not keys or self._settings.fatigue == "off":
            return {}
        since = self._now() - timedelta(hours=self._settings.fatigue_window_h)
        try:
            with self.database.reading() as connection:
                found = memory.met(connection, list(keys.values()), since, self._settings.fatigue)
        except SQLAlchemyError as error:
            log.error("what was shown before can't be read: %s", type(error).__name__)
            return {}
        return {about: found[key] for about, key in keys.items() if key in found}

    def _gathered(self, evaluation: Evaluation, alerts: dict[str, Alert]) -> Evaluation:
        """``alerts`` gains that of the card that gathers."""
        rest = fatigue.to_gather(
            evaluation.cards, [alerts[card.uuid] for card in evaluation.cards], self._settings.max_cards
        )
        if not rest:
            return evaluation
        one = cards.gather(rest, language=evaluation.language)
        alerts[one.uuid] = fatigue.together([alerts[card.uuid] for card in rest])
        gone = {card.uuid for card in rest}
        left = [
            one if card is rest[0] else card for card in evaluation.cards if card is rest[0] or card.uuid not in gone
        ]
        held = (*evaluation.held_back, *(Held(card, "gathered", one.uuid) for card in rest))
        return replace(evaluation, cards=tuple(left), held_back=held)

    def add_feedback(self, entries: Sequence[Feedback]) -> list[str]:
        """Stores all entries or none, for good; returns the cards that aren't known (their feedback is stored as unmatched).

        Raises:
            FeedbackError: with one Violation per fault.
            RecordsUnavailable: the database doesn't take them now.
        """
        entries_.check(entries)
        self._writer.flush()
        try:
            with self.database.writing() as connection:
                return entries_.add(connection, entries, self._now())
        except SQLAlchemyError as error:
            log.error("feedback can't be stored: %s", type(error).__name__)
            raise RecordsUnavailable from None

    def count(self) -> int:
        """How many entries of feedback are stored."""
        with self.database.reading() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(schema.feedback)).scalar_one()

    def first(self, token: str, expires_at: float) -> bool:
        """As :class:`cds_service.trust.replay.Replays`: whether this token is new to all replicas that share the records.

        Raises:
            RecordsUnavailable: the database can't say.
        """
        row = {"token": token, "expires_at": datetime.fromtimestamp(expires_at, UTC)}
        try:
            with self.database.writing() as connection:
                connection.execute(sa.insert(schema.replay).values(row))
        except IntegrityError:
            return False
        except SQLAlchemyError as error:
            log.error("tokens can't be checked: %s", type(error).__name__)
            raise RecordsUnavailable from None
        return True

    @property
    def lost(self) -> int:
        """Answers whose cards could not be recorded since the start."""
        return self._writer.lost

    def flush(self) -> None:
        """Waits until the cards that went out are stored."""
        self._writer.flush()

    def close(self) -> None:
        """Stores what waits, and closes."""
        self._writer.close()
        self.database.close()

    def _write(self, issues: Sequence[Issue]) -> None:
        with self.database.writing() as connection:
            issued.write(connection, issues)

    def tend(self) -> None:
        """Deletes what is older than it may be; done by itself at the start and every hour."""
        settings = self._settings
        retention.purge(self.database, self._now(), settings.records_keep_days, in_memory=settings.records is None)
