"""How far a pregnancy is: gestational age, an expected date of delivery or the last period, as the bundle says them.

Each is kept as the first day of week zero, so that every result is placed by its own date. The onset of a pregnancy as a
Condition says when it was recorded, so it dates nothing; ICD-10-CM's Z3A, which codes the week, does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import msgspec

from fhir_adapter import dates, elements, units, wire
from fhir_adapter.subjects import Key

_AGE = frozenset({"18185-9", "11884-4", "11885-1", "11886-9", "11887-7", "11888-5", "49051-6"})
"""LOINC: gestational age, estimated, from the last period, ovulation, delivery date, ultrasound; in weeks."""
_DELIVERY = frozenset({"11778-8", "11779-6", "11780-4", "11781-2"})
"""LOINC: estimated date of delivery, from the last period, ovulation, ultrasound."""
_LAST_PERIOD = "8665-2"
"""LOINC: start of the last menstrual period."""
CODES = _AGE | _DELIVERY | {_LAST_PERIOD}
TERM = timedelta(days=280)
LAST_WEEK = 44
"""No pregnancy lasts longer: what would, is another or an error."""
_WEEKS = frozenset({"week", "weeks", "wks", "w", "sa", "sem", "semaine", "semaines"})
_DAYS = frozenset({"days", "jours"})
_CODED_WEEK = re.compile(r"Z3A\.?(\d\d)\Z")


def is_gestation(loinc: frozenset[str]) -> bool:
    """Whether an Observation of these codes dates a pregnancy rather than being a result."""
    return not CODES.isdisjoint(loinc)


@dataclass(slots=True)
class Gestations:
    """What the bundle says: (whose, said when, first day of week zero)."""

    said: list[tuple[Key | None, datetime | None, date]] = field(default_factory=list)

    def observe(self, sent: wire.Observation, loinc: frozenset[str], key: Key | None, at: datetime | None) -> None:
        """Takes in an Observation of these codes; one that can't be read or has no date is left."""
        if not _AGE.isdisjoint(loinc):
            days = _days(sent)
            begun = at.date() - timedelta(days=int(days)) if at is not None and days is not None else None
        else:
            day = _day(sent)
            begun = day - TERM if day is not None and not _DELIVERY.isdisjoint(loinc) else day
        if begun is not None:
            self.said.append((key, at, begun))

    def diagnose(self, sent: wire.Condition, key: Key | None) -> None:
        """Takes in a Condition that codes the week, Z3A.08 to Z3A.42, at its onset."""
        at = dates.moment(sent.onsetDateTime)
        for coding in (sent.code.coding if sent.code is not None else None) or ():
            coded = _CODED_WEEK.match((coding.code or "").upper())
            if coded is not None and at is not None and 8 <= int(coded[1]) <= 42:
                self.said.append((key, at, at.date() - timedelta(weeks=int(coded[1]))))

    def of(self, key: Key | None, now: datetime | None) -> date | None:
        """The first day of week zero of the pregnancy at a time, by the newest that is said of this patient; None where
        nothing is, or it is said of another pregnancy."""
        if now is None:
            return None
        mine = [
            (at, begun)
            for whose, at, begun in self.said
            if (whose is None or key is None or whose.same(key)) and week(begun, now.date()) is not None
        ]
        dated = [(at, begun) for at, begun in mine if at is not None]
        if dated:
            return max(dated)[1]
        return mine[-1][1] if mine else None


def week(begun: date, day: date) -> int | None:
    """The completed week of pregnancy on a day; None before it and past its longest end."""
    weeks = (day - begun).days // 7
    return weeks if 0 <= weeks <= LAST_WEEK else None


def trimester(begun: date, day: date) -> int | None:
    """1 up to 13 weeks and 6 days, 2 up to 27 weeks and 6 days, then 3 (ACOG); None outside the pregnancy."""
    weeks = week(begun, day)
    return None if weeks is None else 1 if weeks < 14 else 2 if weeks < 28 else 3


_WRITTEN = re.compile(
    r"(?:ga|eg|ag)?\s*:?\s*(?P<weeks>\d{1,2})\s*(?P<word>weeks?|wks?|w|sa|ssw|semaines?|semanas?|weken)?\.?"
    r"\s*(?:(?P<plus>\+|and|et|&|,)?\s*(?P<days>[0-6])(?:/7)?\s*(?P<dayword>days?|d|jours?|j|tage?|d[ií]as?|dagen)?)?",
    re.IGNORECASE,
)
"""As obstetricians write it: "32 weeks", "32+4", "32w4d", "32 SA + 4 j", "32 weeks and 4 days"."""


def _written(text: str | None) -> float | None:
    """A gestational age in days as text; a number alone says no unit."""
    found = _WRITTEN.fullmatch((text or "").strip()[:40])
    if found is None or not (found["word"] or found["plus"] == "+"):
        return None
    if found["days"] and not (found["plus"] or found["dayword"]):
        return None
    days = 7 * int(found["weeks"]) + int(found["days"] or 0)
    return days if days < 7 * (LAST_WEEK + 1) else None


def _days(sent: wire.Observation) -> float | None:
    """A gestational age in days; a number without a known unit of time is no age."""
    if sent.valueQuantity is None:
        return _written(sent.valueString)
    try:
        value = elements.quantity(sent.valueQuantity, "valueQuantity")
    except elements.Fault:
        return None
    if value is None or value.comparator is not None:
        return None
    word = (value.unit or "").strip().casefold()
    factor = 7.0 if word in _WEEKS else 1.0 if word in _DAYS else units.factor(value.unit, "d")
    days = None if factor is None else value.number * factor
    return days if days is not None and 0 <= days < 7 * (LAST_WEEK + 1) else None


def _day(sent: wire.Observation) -> date | None:
    for raw in (sent.valueDateTime, sent.valueDate):
        if not wire.filled(raw):
            continue
        try:
            text = msgspec.json.decode(raw, type=str)
        except wire.FAULTS:
            return None
        at = dates.moment(text) if len(text) >= len("2026-01-01") else None  # a month alone dates no week
        return None if at is None else at.date()
    return None
