"""FHIR's dates. Nothing here raises: a date that can't be read is None, it never costs the result its judgement."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from fhir_adapter import wire

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?\Z", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:[Zz]|[+-]\d{2}:?\d{2})?\Z", re.ASCII)
_LEAP_SECOND = re.compile(r"(T\d{2}:\d{2}:)60")


def moment(text: str | None) -> datetime | None:
    """A FHIR dateTime or instant as an aware datetime: partial dates at their first midnight UTC, no zone is UTC."""
    if not text:
        return None
    text = text.strip()
    try:
        if _DATE_TIME.match(text):
            if ":60" in text:
                text = _LEAP_SECOND.sub(r"\g<1>59", text)
            at = datetime.fromisoformat(text.upper())
            return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        found = _DATE.match(text)
        if found is None:
            return None
        year, month, day = found.groups()
        return datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    except ValueError:
        return None


def effective(observation: wire.Observation) -> datetime | None:
    """When the result was true of the patient: dateTime, instant, the end of a period (else its start), the last of a
    timing's events."""
    if observation.effectiveDateTime is not None:
        return moment(observation.effectiveDateTime)
    if observation.effectiveInstant is not None:
        return moment(observation.effectiveInstant)
    period = observation.effectivePeriod
    if period is not None:
        return moment(period.end) or moment(period.start)
    timing = observation.effectiveTiming
    if timing is not None and timing.event:
        return max((at for at in map(moment, timing.event) if at is not None), default=None)
    return None


def birth(text: str | None) -> date | None:
    """A birth date; where only the year or the month is known, the middle of it."""
    if not text:
        return None
    found = _DATE.match(text.strip()[:10])
    if found is None:
        return None
    year, month, day = found.groups()
    try:
        if month is None:
            return date(int(year), 7, 1)
        return date(int(year), int(month), 15 if day is None else int(day))
    except ValueError:
        return None
