"""For whom a usual interval holds: pregnancy at the time of the result, its trimester, and fasting."""

from __future__ import annotations

from fhir_adapter.catalog import UsualInterval
from fhir_adapter.gestation import trimester
from fhir_adapter.model import About, Patient, Result

_TRIMESTERS: tuple[About, About, About] = ("trimester-1", "trimester-2", "trimester-3")


Pregnancy = tuple[bool | None, int | None]
"""Whether the patient was pregnant when a result was taken, and in which trimester (None: not known)."""
NOT_PREGNANT: Pregnancy = (None, None)


def pregnancy(patient: Patient, result: Result) -> Pregnancy:
    """The patient's at the time of the result."""
    if not patient.pregnant or patient.sex == "male":
        return NOT_PREGNANT
    begun, at = patient.pregnant_since, result.effective or result.issued
    if begun is None or at is None:
        return True, None
    return (None if at.date() < begun else True), trimester(begun, at.date())


def about(usual: UsualInterval, state: Pregnancy, fasting: bool | None) -> tuple[About, ...]:
    """What is to be said of the interval that was taken for such a patient and sample."""
    pregnant, stage = state
    found: tuple[About, ...] = (_of_pregnancy(usual, stage),) if pregnant else ()
    if usual.fasting is False:
        return (*found, "not-fasting")
    if usual.fasting is True and fasting is not True:
        return (*found, "fasting-unknown" if fasting is None else "fasting-limit")
    return found


def _of_pregnancy(usual: UsualInterval, stage: int | None) -> About:
    if not usual.pregnant:
        return "non-pregnant"
    if usual.trimester is not None:
        return _TRIMESTERS[usual.trimester - 1]
    return "trimester-unknown" if stage is None else "all-trimesters"
