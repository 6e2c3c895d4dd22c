"""What goes out for a judgement: a Communication, a Task or a Flag (R4, built by ``fhir.resources``), or the answer as JSON
for a webhook. Nothing is decided here."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from cds_service.domain import Card
from cds_service.hooks import answer
from cds_service.pipeline import Evaluation

Output = Literal["communication", "task", "flag", "webhook"]
SYSTEM = "https://labcue.org/notification"
"""System of the identifier under which a resource is created once."""
DISCLAIMER = "By LabCue. Not a medical device: a clinician decides."
PRIORITIES = {"critical": "stat", "warning": "urgent", "info": "routine"}


def body(output: Output, evaluation: Evaluation, *, patient: str, key: str, at: datetime) -> bytes:
    """The resource as JSON; ``key`` makes its identifier, ``patient`` is a reference ("Patient/7").

    Only for an evaluation with cards.
    """
    about = _about(evaluation)
    first = evaluation.cards[0]
    identifier = [{"system": SYSTEM, "value": key}]
    text = "\n\n".join(f"{card.summary}\n{card.detail}" for card in evaluation.cards)
    when = at.isoformat(timespec="seconds")
    if output == "communication":
        return _made(
            "communication",
            "Communication",
            {
                "identifier": identifier,
                "status": "completed",
                "category": [{"coding": [{"system": _CATEGORY, "code": "alert"}]}],
                "priority": PRIORITIES[first.indicator],
                "subject": {"reference": patient},
                "topic": {"text": first.summary},
                "about": about,
                "sent": when,
                "payload": [
                    *({"contentString": _text(card)} for card in evaluation.cards),
                    {"contentString": DISCLAIMER},
                ],
            },
        )
    if output == "task":
        return _made(
            "task",
            "Task",
            {
                "identifier": identifier,
                "status": "requested",
                "intent": "proposal",
                "priority": PRIORITIES[first.indicator],
                "code": {"text": "Review of laboratory results"},
                "description": f"{text}\n\n{DISCLAIMER}",
                "focus": about[0],
                "for": {"reference": patient},
                "authoredOn": when,
            },
        )
    return _made(
        "flag",
        "Flag",
        {
            "identifier": identifier,
            "status": "active",
            "category": [{"coding": [{"system": _FLAG_CATEGORY, "code": "lab"}]}],
            "code": {"text": first.summary},
            "subject": {"reference": patient},
            "period": {"start": when},
        },
    )


_CATEGORY = "http://terminology.hl7.org/CodeSystem/communication-category"
_FLAG_CATEGORY = "http://terminology.hl7.org/CodeSystem/flag-category"


def webhook(response: dict[str, Any], *, patient: str, key: str, at: datetime) -> bytes:
    """The CDS Hooks answer with what it answers."""
    return answer.encoded({"id": key, "patient": patient, "judgedAt": at.isoformat(timespec="seconds"), **response})


def _made(module: str, kind: str, content: dict[str, Any]) -> bytes:
    """The resource, held to R4 by its model."""
    from importlib import import_module

    model = getattr(import_module(f"fhir.resources.R4B.{module}"), kind)
    return str(model.model_validate({"resourceType": kind, **content}).model_dump_json(exclude_none=True)).encode()


def _about(evaluation: Evaluation) -> list[dict[str, str]]:
    flags = evaluation.verdict.flags
    named = [flags[index].subject.result.observation for card in evaluation.cards for index in card.flags]
    return [{"reference": one} for one in dict.fromkeys(named) if one.startswith("Observation/")] or [
        {"display": "Laboratory results"}
    ]


def _text(card: Card) -> str:
    return f"{card.summary}\n\n{card.detail}"
