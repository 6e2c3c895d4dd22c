"""Sex, birth date and pregnancy of the one patient whom the results are about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from msgspec import Raw
from msgspec.structs import replace

from fhir_adapter import dates, wire
from fhir_adapter.gestation import Gestations
from fhir_adapter.model import Patient, Sex
from fhir_adapter.subjects import Key, Subjects
from fhir_adapter.walk import Other

PREGNANCY_STATUS = "82810-3"
"""LOINC: Pregnancy status. Its answers: SNOMED CT 77386006 or LA15173-0 pregnant, 60001007 or LA26683-5 not."""
_PREGNANT = frozenset({"77386006", "LA15173-0"})
_NOT_PREGNANT = frozenset({"60001007", "LA26683-5"})
AGES = range(10, 61)
"""Years of age at which a dated pregnancy is taken for the patient's own."""
TERM = timedelta(days=300)
"""What was coded longer ago than this says nothing of today: a pregnancy has ended, another may have begun."""
_BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
_SEXES: dict[str, Sex] = {"female": "female", "male": "male"}


@dataclass(slots=True)
class Pregnancies:
    """What the bundle says of pregnancy: (whose, since when, whether)."""

    said: list[tuple[Key | None, datetime | None, bool]] = field(default_factory=list)

    def observe(self, sent: wire.Observation, key: Key | None, at: datetime | None) -> None:
        """Takes in a pregnancy status Observation."""
        concept = sent.valueCodeableConcept
        codes = {coding.code for coding in (concept.coding if concept else None) or () if coding.code}
        if codes & _PREGNANT:
            self.said.append((key, at, True))
        elif codes & _NOT_PREGNANT:
            self.said.append((key, at, False))

    def of(self, key: Key | None, now: datetime | None) -> bool | None:
        """The newest that is said of this patient, None where nothing is or it was too long before the results."""
        mine = [(at, answer) for whose, at, answer in self.said if whose is None or key is None or whose.same(key)]
        current = [(at, answer) for at, answer in mine if at is None or now is None or now - at <= TERM]
        dated = [(at, answer) for at, answer in current if at is not None]
        if dated:
            return max(dated, key=lambda pair: pair[0])[1]
        return current[-1][1] if current else None


def is_pregnancy_status(loinc: frozenset[str]) -> bool:
    """Whether an Observation of these codes is the pregnancy status rather than a result."""
    return PREGNANCY_STATUS in loinc


def conditions(others: list[Other], subjects: Subjects, pregnancies: Pregnancies, gestations: Gestations) -> None:
    """Takes in the active Conditions that are pregnancies: SNOMED CT 77386006, ICD-10 Z33, Z34, Z3A and chapter O."""
    for other in others:
        if other.type != "Condition":
            continue
        try:
            sent = wire.condition(other.raw)
        except wire.FAULTS:
            continue
        if not _pregnancy(sent.code) or sent.abatementDateTime is not None:
            continue
        clinical, verified = _codes(sent.clinicalStatus), _codes(sent.verificationStatus)
        if clinical - {"active", "recurrence", "relapse"} or verified & {"refuted", "entered-in-error"}:
            continue
        subject = subjects.of(sent.subject, None)
        if subject.patient:
            key = subject.key and subjects.linked(subject.key)
            pregnancies.said.append((key, dates.moment(sent.onsetDateTime), True))
            gestations.diagnose(sent, key)


def describe(raw: Raw | None, reference: str | None, pregnant: bool | None, height_cm: float | None = None) -> Patient:
    """The patient for the domain. What can't be read, or hangs on a modifier extension, is unknown."""
    unknown = Patient(reference, pregnant=pregnant, height_cm=height_cm)
    if raw is None:
        return unknown
    try:
        sent = wire.patient(raw)
    except wire.FAULTS:
        return unknown
    if wire.present(sent.modifierExtension):
        return unknown
    return Patient(
        reference,
        _SEXES.get(sent.gender or ""),
        dates.birth(sent.birthDate),
        pregnant,
        height_cm,
        _birth_time(sent.birthDateMore) if wire.present(sent.birthDateMore) else None,
    )


def expecting(patient: Patient, begun: date | None) -> Patient:
    """The patient with the date of the pregnancy. Where nothing else says whether she is pregnant, a dated one does, of a woman
    of an age for it: a newborn's record tells a gestational age, too."""
    if begun is None or patient.pregnant is False or patient.sex == "male":
        return patient
    if patient.pregnant is None:
        born = patient.birth_date
        if patient.sex != "female" or born is None or begun.year - born.year not in AGES:
            return patient
    return replace(patient, pregnant=True, pregnant_since=begun)


def _birth_time(raw: Raw) -> datetime | None:
    """The hour of birth from the extension patient-birthTime; None where it isn't there or can't be read."""
    try:
        extensions = wire.extended(raw).extension or ()
    except wire.FAULTS:
        return None
    said = next((one.valueDateTime for one in extensions if one.url == _BIRTH_TIME), None)
    return dates.moment(said) if said is not None and "T" in said else None


def _pregnancy(code: wire.CodeableConcept | None) -> bool:
    for coding in (code.coding if code else None) or ():
        system, said = coding.system or "", (coding.code or "").upper()
        if said == "77386006" and "snomed" in system:
            return True
        if "icd-10" in system.lower() and said.startswith(("Z33", "Z34", "Z3A", "O")):
            return True
    return False


def _codes(sent: wire.CodeableConcept | str | None) -> set[str]:
    if sent is None:
        return set()
    if isinstance(sent, str):
        return {sent}
    return {coding.code for coding in sent.coding or () if coding.code}
