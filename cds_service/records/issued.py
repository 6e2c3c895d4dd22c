"""From an Evaluation to the rows that its cards leave: pseudonyms, rules, codes and versions, no value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import metadata
from typing import Any

import sqlalchemy as sa

from cds_service.domain import Card, Flag
from cds_service.fatigue import Alert, Whose, key, rule
from cds_service.pipeline import Evaluation
from cds_service.pseudonym import Pseudonyms
from cds_service.records import schema
from fhir_adapter.model import Measured
from fhir_adapter.prompt_text import clean_name

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Issue:
    """The rows of one answer. Flags name their prompt by its number until the prompt's row has one of its own."""

    evaluation: Row
    prompts: list[Row] = field(default_factory=list)
    cards: list[Row] = field(default_factory=list)
    flags: list[Row] = field(default_factory=list)
    findings: list[Row] = field(default_factory=list)
    held_back: list[Row] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.cards or self.held_back or self.evaluation["audit"])


def rows(evaluation: Evaluation, alerts: Mapping[str, Alert], whose: Whose, names: Pseudonyms, at: datetime) -> Issue:
    """What is to be kept of an answer; ``alerts`` by the uuid of their card."""
    verdict, model = evaluation.verdict, evaluation.verdict.model
    made = Issue(
        {
            "audit": evaluation.audit_id or None,
            "at": at,
            "patient": whose.patient,
            "requester": whose.requester,
            "service_version": service_version(),
            "model": model.name if model else None,
            "model_version": model.version if model else None,
            "adapter": model.adapter if model else None,
            "prompt_version": model.prompt_version if model else None,
            "catalog_version": evaluation.catalog_version,
            "degraded": verdict.degraded,
            "language": evaluation.language,
            "observations": evaluation.observations,
            "not_assessed": len(verdict.not_assessed),
        }
    )
    slots = _prompts(evaluation, made)
    for card in evaluation.cards:
        made.cards.append({"uuid": card.uuid, "rule": rule(card), "indicator": card.indicator})
        made.flags.extend(_flag(verdict.flags[index], slots, card) for index in card.flags)
        if whose.known:
            made.findings.extend(
                {"card": card.uuid, "finding": key(finding, whose, names), "rank": finding.rank}
                for finding in alerts[card.uuid].findings
            )
    for held in evaluation.held_back:
        made.held_back.append(
            {
                "at": at,
                "patient": whose.patient,
                "requester": whose.requester,
                "rule": rule(held.card),
                "analytes": _analytes(held.card, verdict.flags),
                "reason": held.reason,
                "instead": held.instead,
            }
        )
    return made


def _prompts(evaluation: Evaluation, made: Issue) -> dict[str, tuple[int, int]]:
    """Adds the kept prompts; gives (number of the prompt, end of the slot) by the path of the result."""
    panel = evaluation.panel
    slots: dict[str, tuple[int, int]] = {}
    if panel is None:
        return slots
    ages = [placed.age_years for placed in panel.results if placed.age_years is not None]
    for number, prompt in enumerate(evaluation.kept_prompts):
        made.prompts.append(
            {
                "number": number,
                "version": prompt.version,
                "text": prompt.text,
                "sex": panel.patient.sex,
                "age": max(ages, default=None),
            }
        )
        for slot in prompt.slots:
            slots[panel.results[slot.result].result.path] = (number, slot.end)
    return slots


def _flag(flag: Flag, slots: dict[str, tuple[int, int]], card: Card) -> Row:
    subject = flag.subject
    prompt, end = slots.get(subject.result.path, (None, None))
    return {
        "card": card.uuid,
        "analyte": _analyte(flag),
        "loinc": (subject.result.loinc or "")[:32] or None,
        "code": flag.code,
        "source": flag.source,
        "probability": flag.probability,
        "interval_source": subject.interval.source if subject.interval is not None else None,
        "numeric": isinstance(subject.result.value, Measured),
        "prompt": prompt,
        "slot_end": end,
    }


def _analyte(flag: Flag) -> str:
    """The catalog's id, else the LOINC code; a name that only the bundle knows is free text, and isn't kept."""
    subject = flag.subject
    if subject.analyte is not None:
        return subject.analyte.id
    return clean_name(subject.result.loinc or "")[:32] or "unknown"


def _analytes(card: Card, flags: Sequence[Flag]) -> list[str]:
    return list(dict.fromkeys(_analyte(flags[index]) for index in card.flags))


def write(connection: sa.Connection, issues: Sequence[Issue]) -> None:
    """Inserts the rows of several answers, all of a table in one statement."""
    kept = [issue for issue in issues if issue.cards or issue.evaluation["audit"]]
    numbers = _numbered(connection, schema.evaluations, [issue.evaluation for issue in kept])
    prompts = [
        row | {"evaluation": number} for number, issue in zip(numbers, kept, strict=True) for row in issue.prompts
    ]
    prompt_of = {
        (row["evaluation"], row["number"]): number
        for row, number in zip(prompts, _numbered(connection, schema.prompts, prompts), strict=True)
    }
    cards: list[Row] = []
    flags: list[Row] = []
    for number, issue in zip(numbers, kept, strict=True):
        cards += (row | {"evaluation": number} for row in issue.cards)
        flags += (
            row if row["prompt"] is None else row | {"prompt": prompt_of.get((number, row["prompt"]))}
            for row in issue.flags
        )
    for table, rows in (
        (schema.cards, cards),
        (schema.card_flags, flags),
        (schema.findings, [row for issue in kept for row in issue.findings]),
        (schema.held_back, [row for issue in issues for row in issue.held_back]),
    ):
        if rows:
            connection.execute(sa.insert(table), rows)


def _numbered(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> Sequence[int]:
    """Inserts rows that get a number, and gives their numbers in order."""
    if not rows:
        return ()
    inserted = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
    return connection.execute(inserted, rows).scalars().all()


@cache
def service_version() -> str:
    """The version of LabCue."""
    return metadata.version("labcue")
