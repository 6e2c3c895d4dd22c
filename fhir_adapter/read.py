"""FHIR JSON -> :class:`~fhir_adapter.model.Intake`: the fast reader.

Every Observation and every component that comes in ends in exactly one Result or one NotAssessed. What may have been
an Observation and can't be told (an entry that is no object, a resource without a type) counts as one, not assessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from msgspec import Raw, Struct

from fhir_adapter import (
    body,
    dates,
    elements,
    fasting,
    flags,
    gestation,
    patient,
    printed,
    repeated,
    strict,
    versions,
    wire,
)
from fhir_adapter.errors import NoObservations, Violation
from fhir_adapter.guard import checked
from fhir_adapter.model import Answer, Intake, NotAssessed, Patient, Result
from fhir_adapter.subjects import Key, Subjects, contained_patient
from fhir_adapter.unjudged import why_absent
from fhir_adapter.walk import Found, Item, component_count, fault_path, unversioned, walk


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read: bytes, Observations (components included), objects and arrays within one another."""

    max_bytes: int = 4 * 1024 * 1024
    max_observations: int = 2000
    max_depth: int = 64


DEFAULT_LIMITS = Limits()

_NOT_JUDGED = {
    "entered-in-error": "entered-in-error",
    "cancelled": "cancelled",
    "cannot-be-obtained": "cancelled",
    "registered": "no-final-value",
    "specimen-in-process": "no-final-value",
}
_JUDGED = frozenset({"final", "amended", "corrected", "appended", "preliminary", "unknown"})
"""http://hl7.org/fhir/observation-status, R4 to R6. A result without any is judged as one whose status is "unknown": what was
entered in error or withdrawn says so."""
_CONTEXT = body.CODES | gestation.CODES | {patient.PREGNANCY_STATUS, fasting.STATUS}
"""LOINC of Observations that say something of the patient by which the results are judged."""
_NAMELESS = repeated.Code()


def read(
    data: bytes | memoryview,
    *,
    limits: Limits = DEFAULT_LIMITS,
    validation: Literal["fast", "strict"] = "fast",
) -> Intake:
    """Reads a Bundle, an Observation or a DiagnosticReport (R4, R4B, R5).

    Args:
        data: FHIR JSON in UTF-8.
        limits: what is too much.
        validation: ``strict`` validates the whole input against R4B first.

    Raises:
        InvalidInput: one of its subclasses, with FHIRPaths and never a value: NotJson, UnsupportedResource,
            InvalidResource, NoObservations, MultiplePatients, LimitExceeded.
    """
    whole = checked(data, max_bytes=limits.max_bytes, max_depth=limits.max_depth)
    resource_type, found = walk(whole, limits.max_observations)
    if validation == "strict":
        strict.validate(whole, resource_type)
    if not found.items and not found.unreadable:
        raise NoObservations(violations=(Violation(resource_type, "There is no Observation in it."),))
    return _Reading(found).intake(resource_type)


class _Shared(Struct, frozen=True):
    """What a component takes over from its Observation."""

    status: str
    subject: str | None
    effective: datetime | None
    issued: datetime | None
    categories: tuple[str, ...]
    specimen: str | None
    method: str | None
    comments: tuple[str, ...]
    fasted: bool | None


class _Drawn(NamedTuple):
    """What a Specimen says of what was drawn."""

    words: str | None = None
    fasted: bool | None = None


class _Reading:
    """One input on its way to an Intake."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._subjects = Subjects(found)
        self._pregnancies = patient.Pregnancies()
        self._heights = body.Heights()
        self._gestations = gestation.Gestations()
        self._fastings = fasting.Fastings()
        self._results: list[Result] = []
        self._not_assessed: list[NotAssessed] = []
        self._count = 0
        self._named: list[tuple[Key, str]] = []
        self._newest: datetime | None = None
        self._contained: dict[Key, tuple[wire.Reference | None, Item]] = {}
        self._reference: str | None = None
        self._specimens: dict[str, _Drawn] | None = None
        self._moments: dict[str, datetime | None] = {}

    def intake(self, resource_type: str) -> Intake:
        for item in versions.settle(self._found.items, history=self._found.history):
            self._observation(item)
        for path in self._found.unreadable:
            self._refuse(path, "malformed", None)
        key = self._subjects.one(self._named)
        return Intake(
            self._patient(key),
            self._fastings.told(self._results, key) if self._fastings.said else tuple(self._results),
            tuple(self._not_assessed),
            self._count,
            resource_type,
        )

    def _patient(self, key: Key | None) -> Patient:
        patient.conditions(self._found.others, self._subjects, self._pregnancies, self._gestations)
        reference, raw = self._reference, None
        known = self._subjects.patient(key)
        if known is not None:
            reference = (f"Patient/{known.id}" if known.id else known.url) or self._reference
            raw = known.resource.raw
        elif key is not None and key in self._contained:
            raw = contained_patient(*self._contained[key])
        pregnant = self._pregnancies.of(key, self._newest)
        described = patient.describe(raw, reference, pregnant, self._heights.of(key))
        return patient.expecting(described, self._gestations.of(key, self._newest))

    def _refuse(
        self,
        path: str,
        code: str,
        reference: str | None,
        told: repeated.Told | None = None,
        absent: wire.CodeableConcept | None = None,
    ) -> None:
        self._count += 1
        called = _NAMELESS if told is None else told.code
        self._not_assessed.append(
            NotAssessed(path, code, reference, called.codings, called.name, absent=why_absent(absent))
        )

    def _refuse_all(self, item: Item, code: str, element: str = "") -> None:
        """An Observation and all its components."""
        self._refuse(item.path + element, code, item.reference, item.told)
        for index in range(component_count(item)):
            self._refuse(f"{item.path}.component[{index}]", code, item.reference)

    def _observation(self, item: Item) -> None:
        sent, told = item.observation, item.told
        if sent is None or told is None:
            self._refuse_all(item, "malformed", item.fault)
            return
        if item.superseded:
            self._refuse_all(item, "superseded")
            return
        if item.modified or (sent.modifierExtension is not wire.EMPTY and wire.filled(sent.modifierExtension)):
            self._refuse_all(item, "modifier-extension", "" if item.modified else ".modifierExtension")
            return
        if sent.implicitRules is not wire.EMPTY and wire.filled(sent.implicitRules):
            self._refuse_all(item, "modifier-extension", ".implicitRules")
            return
        status = (sent.status or "unknown").strip().lower()
        if status not in _JUDGED:
            self._refuse_all(item, _NOT_JUDGED.get(status, "status-unknown"))
            return
        subject = self._subjects.of(sent.subject, item)
        if sent.focus or not subject.patient:
            self._refuse_all(item, "not-the-patient")
            return
        categories, elsewhere = told.category
        elsewhere = elsewhere and elements.AT_THE_BEDSIDE.isdisjoint(told.code.loinc)
        effective = self._moment(sent.effectiveDateTime) if sent.effectiveDateTime else dates.effective(sent)
        if _CONTEXT.isdisjoint(told.code.loinc):
            pass
        elif patient.is_pregnancy_status(told.code.loinc):
            self._pregnancies.observe(sent, subject.key, effective)
            elsewhere = True
        elif body.is_height(told.code.loinc):
            self._heights.observe(sent, subject.key, effective)
            elsewhere = True
        elif gestation.is_gestation(told.code.loinc):
            self._gestations.observe(sent, told.code.loinc, subject.key, effective)
            elsewhere = True
        elif fasting.STATUS in told.code.loinc:
            self._fastings.observe(sent, subject.key, effective)
            elsewhere = True
        if elsewhere:
            self._refuse_all(item, "not-laboratory")
            return
        method = sent.method
        reference = sent.subject.reference if sent.subject is not None else None
        drawn = _Drawn() if sent.specimen is None else self._specimen(sent.specimen, item)
        shared = _Shared(
            status,
            reference,
            effective,
            self._moment(sent.issued) if sent.issued else None,
            categories,
            drawn.words,
            None if method is None else elements.words(method),
            _comments(sent),
            drawn.fasted,
        )
        before = len(self._results)
        self._judge(sent, told, item.path, item.reference, shared, group=bool(sent.hasMember or sent.component))
        for index, raw in enumerate(sent.component or ()):
            path = f"{item.path}.component[{index}]"
            try:
                component = wire.component(raw)
                told = repeated.told(component)
            except (*wire.FAULTS, repeated.Misread) as error:
                self._refuse(path + fault_path(error), "malformed", item.reference)
                continue
            if wire.filled(component.modifierExtension):
                self._refuse(path + ".modifierExtension", "modifier-extension", item.reference, told)
                continue
            self._judge(component, told, path, item.reference, shared, group=False)
        if len(self._results) > before:
            self._note(subject.key, sent, item, effective or shared.issued)

    def _note(self, key: Key | None, sent: wire.Observation, item: Item, at: datetime | None) -> None:
        """Keeps whom the results are about, and when the newest of them was."""
        if at is not None and (self._newest is None or at > self._newest):
            self._newest = at
        if key is None:
            return
        if not self._named or self._named[-1][0] is not key:
            self._named.append((key, item.path + ".subject"))
            self._contained.setdefault(key, (sent.subject, item))
        if self._reference is None and sent.subject is not None and sent.subject.reference:
            self._reference = unversioned(sent.subject.reference)

    def _judge(
        self, sent: wire.Judged, told: repeated.Told, path: str, reference: str, shared: _Shared, *, group: bool
    ) -> None:
        """Ends one Observation or component in a Result or a NotAssessed."""
        try:
            value = elements.value(sent)
        except elements.Fault as fault:
            self._refuse(path + fault.element, fault.code, reference, told)
            return
        if isinstance(told.ranges, elements.Fault):
            self._refuse(path + told.ranges.element, told.ranges.code, reference, told)
            return
        if value is None and sent.dataAbsentReason is None and not group:
            value = _flag_alone(told.interpretation)
        if value is None:
            code = "data-absent" if sent.dataAbsentReason is not None else "group" if group else "no-value"
            self._refuse(path, code, reference, told, sent.dataAbsentReason)
            return
        ranges, interpretation = told.ranges, told.interpretation
        if isinstance(value, Answer) and sent.valueString is not None:
            value, interval, flag = printed.line(value, has_interval=bool(ranges))
            ranges = ranges if interval is None else (interval,)
            interpretation = interpretation or (() if flag is None else (flag,))
        self._count += 1
        self._results.append(
            Result(
                path,
                reference,
                told.code.codings,
                told.code.name,
                value,
                shared.status,
                shared.subject,
                shared.effective,
                shared.issued,
                ranges,
                interpretation,
                shared.categories,
                shared.specimen,
                shared.method,
                shared.comments,
                shared.fasted,
            )
        )

    def _moment(self, text: str) -> datetime | None:
        """The results of one draw share their times: each is read once."""
        try:
            return self._moments[text]
        except KeyError:
            at = self._moments[text] = dates.moment(text)
            return at

    def _specimen(self, sent: wire.Reference, item: Item) -> _Drawn:
        """What the Specimen that is meant says; where none was sent, the words that the reference shows."""
        text = sent.reference
        found: _Drawn | None = None
        if text and text.startswith("#"):
            for raw in item.siblings or ():
                try:
                    if wire.header(raw).id == text[1:]:
                        found = _drawn(raw)
                        break
                except wire.FAULTS:
                    continue
        elif text:
            if self._specimens is None:
                self._specimens = _specimens(self._found)
            found = self._specimens.get(unversioned(text))
        found = found or _Drawn()
        return found if found.words else found._replace(words=sent.display)


def _flag_alone(interpretation: tuple[str, ...]) -> Answer | None:
    """The laboratory's flag in the place of a value that it didn't send: beyond what it can measure ("HX"), an antibiotic's "R"."""
    said = flags.instead(interpretation)
    return None if said is None else Answer(said)


def _drawn(raw: Raw) -> _Drawn:
    specimen = wire.specimen(raw)
    return _Drawn(elements.words(specimen.type), fasting.collected(specimen))


def _specimens(found: Found) -> dict[str, _Drawn]:
    made: dict[str, _Drawn] = {}
    for other in found.others:
        if other.type != "Specimen":
            continue
        try:
            said = _drawn(other.raw)
        except wire.FAULTS:
            continue
        if other.id:
            made[f"Specimen/{other.id}"] = said
        if other.full_url:
            made[other.full_url] = said
    return made


def _comments(sent: wire.Observation) -> tuple[str, ...]:
    if sent.note is None and sent.comment is None and sent.comments is None:
        return ()
    texts = [note.text for note in sent.note or ()]
    return tuple(text for text in (*texts, sent.comment, sent.comments) if text and text.strip())
