"""The CDS services that discovery names: one id, a hook each. What an EHR does with them stands in docs/integration.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ID = "labcue-results"
RESULT_ARRIVED = "org.labcue.result-arrived"
PATIENT, RESULTS = "patient", "results"
"""Prefetch keys."""
RECENT = 200
"""How many of the newest results are looked at."""
PREFETCH = {
    PATIENT: "Patient/{{context.patientId}}",
    RESULTS: f"Observation?patient={{{{context.patientId}}}}&category=laboratory&_sort=-date&_count={RECENT}",
}
"""Root-level primitives of the context only, read and search with equality, ``_sort`` and ``_count``: what CDS Hooks 2.0 has."""
USAGE = (
    "Needs laboratory Observations (R4, R4B or R5) of one patient: in context.observations (only "
    f"{RESULT_ARRIVED}), in prefetch.{RESULTS}, or by a fhirServer that this service's operator has allowed, with the "
    "scopes patient/Observation.rs and patient/Patient.r. Supports a clinician; is no medical device."
)


@dataclass(frozen=True, slots=True)
class Service:
    """One entry of discovery. ``required`` are the fields of its context, by name."""

    hook: str
    title: str
    description: str
    hook_version: str
    required: tuple[str, ...]
    id: str = ID


_RECENT = (
    "Judges the patient's most recent laboratory results: which are abnormal, how urgent that is, on what basis, and "
    "what could not be assessed."
)
SERVICES = (
    Service(
        RESULT_ARRIVED,
        "LabCue: new laboratory results",
        "Judges laboratory results that have just arrived, with the patient's earlier ones beside them: which are "
        "abnormal, how urgent that is, on what basis, and what could not be assessed.",
        "1.0",
        ("patientId",),
    ),
    Service(
        "encounter-start",
        "LabCue: laboratory results at admission",
        _RECENT,
        "1.0",
        ("userId", "patientId", "encounterId"),
    ),
    Service(
        "encounter-discharge",
        "LabCue: laboratory results before discharge",
        _RECENT,
        "1.0",
        ("userId", "patientId", "encounterId"),
    ),
    Service(
        "order-sign",
        "LabCue: laboratory results beside an order",
        f"{_RECENT} The orders themselves are not judged: no advice on doses.",
        "1.1",
        ("userId", "patientId", "draftOrders"),
    ),
    Service("patient-view", "LabCue: recent laboratory results", _RECENT, "1.0", ("userId", "patientId")),
)
"""patient-view stands last: the public sandbox keeps one service for each address, the last that it reads."""


def found(id: str) -> dict[str, Service]:
    """The services of an id by hook; empty where there is none."""
    return {service.hook: service for service in SERVICES if service.id == id}


def discovery(version: str) -> dict[str, Any]:
    """The answer of ``GET /cds-services``."""
    return {
        "services": [
            {
                "hook": service.hook,
                "title": service.title,
                "description": service.description,
                "id": service.id,
                "prefetch": PREFETCH,
                "usageRequirements": USAGE,
                "version": version,
                "hookVersion": service.hook_version,
            }
            for service in SERVICES
        ]
    }
