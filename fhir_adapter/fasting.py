"""Whether a sample was taken fasting: said by its code, its name, a comment, the specimen or a reported status, never assumed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from fhir_adapter import elements, units, wire
from fhir_adapter.model import Result
from fhir_adapter.subjects import Key

STATUS = "49541-6"
"""LOINC: fasting status, reported."""
_FASTING_CODES = frozenset({"1558-6", "14771-0", "76629-5", "1556-0", "3048-6", "70218-3", "10450-5", "77145-1"})
"""LOINC: fasting glucose, triglycerides and lipids."""
_FASTING = re.compile(r"\b(?:fasting|fasted|à jeun|a jeun|post[- ]?cibum 12)\b", re.IGNORECASE)
_NOT = re.compile(
    r"\b(?:non|not|no|pas)\b[\s-]{0,3}(?:fasting|fasted|à jeun|a jeun)|\bnonfasting\b|\brandom\b|\bpost[- ]?(?:prandial|meal)",
    re.IGNORECASE,
)
_HAS = frozenset({"LA33-6", "Y", "F", "16985007"})
_HASN_T = frozenset({"LA32-8", "N", "NF"})
"""Answers: LOINC's yes and no, HL7 v2-0136, v2-0916 (relevant clinical information), SNOMED CT."""
_YES = re.compile(r"\s*(?:yes|y|oui|fasting|fasted|à jeun|a jeun)\s*\Z", re.IGNORECASE)
_NO = re.compile(r"\s*(?:no|n|non|(?:not|non|pas)[\s-]?(?:fasting|fasted|à jeun|a jeun))\s*\Z", re.IGNORECASE)
LEAST_HOURS = 8
"""No caloric intake for at least 8 h (ADA, Standards of Care in Diabetes, section 2)."""


def fasting(result: Result) -> bool | None:
    """True or False where it is said, None where it isn't."""
    if result.fasted is not None:
        return result.fasted
    texts = [text for text in (result.name, *(coding.display for coding in result.codings), *result.comments) if text]
    if any(_NOT.search(text) for text in texts):
        return False
    if any(coding.code in _FASTING_CODES for coding in result.codings):
        return True
    return True if any(_FASTING.search(text) for text in texts) else None


def answered(concept: wire.CodeableConcept | None) -> bool | None:
    """Yes or no as a coded or written fasting status; None where it is neither."""
    codes = {coding.code for coding in (concept.coding if concept else None) or () if coding.code}
    if codes & _HAS or codes & _HASN_T:
        return None if codes & _HAS and codes & _HASN_T else bool(codes & _HAS)
    return _written(elements.words(concept))


def _written(text: str | None) -> bool | None:
    return None if text is None else True if _YES.match(text) else False if _NO.match(text) else None


def collected(specimen: wire.Specimen) -> bool | None:
    """What a Specimen's collection says: its status, else how long the patient had fasted."""
    collection = specimen.collection
    if collection is None:
        return None
    status = answered(collection.fastingStatusCodeableConcept)
    if status is not None or collection.fastingStatusDuration is None:
        return status
    try:
        lasted = elements.quantity(collection.fastingStatusDuration, "fastingStatusDuration")
    except elements.Fault:
        return None
    hours = units.factor(lasted.unit, "h") if lasted is not None and lasted.comparator is None else None
    return None if lasted is None or hours is None else lasted.number * hours >= LEAST_HOURS


@dataclass(slots=True)
class Fastings:
    """What the bundle reports of fasting: (whose, when, whether)."""

    said: list[tuple[Key | None, datetime, bool]] = field(default_factory=list)

    def observe(self, sent: wire.Observation, key: Key | None, at: datetime | None) -> None:
        """Takes in a fasting status; one without a time or a clear answer is left."""
        status = sent.valueBoolean
        if status is None:
            status = answered(sent.valueCodeableConcept)
        if status is None:
            status = _written(sent.valueString)
        if status is not None and at is not None:
            self.said.append((key, at, status))

    def told(self, results: Iterable[Result], key: Key | None) -> tuple[Result, ...]:
        """The results, those drawn at the very time of a status with it. Two that contradict each other say nothing."""
        mine: dict[datetime, set[bool]] = {}
        for whose, at, status in self.said:
            if whose is None or key is None or whose.same(key):
                mine.setdefault(at, set()).add(status)
        clear = {at: next(iter(statuses)) for at, statuses in mine.items() if len(statuses) == 1}
        return tuple(
            msgspec.structs.replace(one, fasted=clear[one.effective])
            if one.fasted is None and one.effective in clear
            else one
            for one in results
        )
