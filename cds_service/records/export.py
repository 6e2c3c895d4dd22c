"""Feedback as data: examples in the format that ``training`` reads, or rows for a table. Comments only where asked for.

What an answer says of a flag:

======================================== ==================================================================
accepted                                 the flag's code stands
overridden: already-known, treatment-    the flag's code stands: the clinician knows of the abnormal result
underway
overridden: flag-wrong                   N, where the card is about one abnormal result
any other reason, or none                nothing: that a card wasn't wanted doesn't say that the flag is wrong
======================================== ==================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from cds_service.cards import OVERRIDE_SYSTEM
from cds_service.records.report import last_answers
from cds_service.records.schema import card_flags, cards, comments, evaluations, feedback, prompts

SOURCE = "feedback"
AGREES = frozenset({"already-known", "treatment-underway"})
WRONG = "flag-wrong"
OLDEST = 90.0
"""No exact age above this leaves, as in the prompt."""
_CASES = {"lab": "given", "site": "site", "usual": "usual", None: "usual"}


@dataclass(slots=True)
class Tally:
    """What an export held: examples and labels written; flags that an answer labels but whose prompt wasn't kept; flags that
    were answered both ways, which train nothing."""

    examples: int = 0
    labels: int = 0
    without_prompt: int = 0
    contradictory: int = 0


def training(connection: sa.Connection, tally: Tally) -> Iterator[bytes]:
    """Lines of NDJSON, each a :class:`training.examples.Example`; ``tally`` is filled on the way."""
    last = last_answers().subquery()
    abnormal = (
        sa.select(card_flags.c.card, sa.func.count().label("count"))
        .where(card_flags.c.code != "N")
        .group_by(card_flags.c.card)
        .subquery()
    )
    query = (
        sa.select(
            card_flags,
            last.c.outcome,
            last.c.reason_code,
            last.c.reason_system,
            abnormal.c.count.label("abnormal"),
            evaluations.c.id.label("evaluation"),
            evaluations.c.patient,
        )
        .select_from(
            sa.join(card_flags, cards)
            .join(evaluations)
            .join(last, last.c.card == cards.c.uuid)
            .join(abnormal, abnormal.c.card == cards.c.uuid)
        )
        .where(card_flags.c.code != "N")
        .order_by(card_flags.c.prompt, card_flags.c.id)
    )
    told: list[Any] = []
    for row in connection.execution_options(yield_per=1000).execute(query):
        if _label(row) is None:
            continue
        if row.prompt is None:
            tally.without_prompt += 1
            continue
        if told and told[0].prompt != row.prompt:
            yield from _examples(connection, told, tally)
            told = []
        told.append(row)
    if told:
        yield from _examples(connection, told, tally)


def _label(row: Any) -> str | None:
    if row.outcome == "accepted":
        return str(row.code)
    if row.reason_system not in (None, OVERRIDE_SYSTEM):
        return None
    if row.reason_code in AGREES:
        return str(row.code)
    return "N" if row.reason_code == WRONG and row.abnormal == 1 else None


def _examples(connection: sa.Connection, told: list[Any], tally: Tally) -> Iterator[bytes]:
    """The examples of one prompt: one for each kind of interval that its labelled results were shown with."""
    labels: dict[int, set[str]] = {}
    for row in told:
        labels.setdefault(row.slot_end, set()).add(_label(row) or "")
    tally.contradictory += sum(len(found) > 1 for found in labels.values())
    rows = {row.slot_end: row for row in told if len(labels[row.slot_end]) == 1}
    prompt = connection.execute(sa.select(prompts).where(prompts.c.id == told[0].prompt)).one()
    for case in dict.fromkeys(_CASES.get(row.interval_source, "usual") for row in rows.values()):
        slots = [
            [end, _label(row), SOURCE, row.analyte, row.numeric]
            for end, row in sorted(rows.items())
            if _CASES.get(row.interval_source, "usual") == case
        ]
        tally.examples += 1
        tally.labels += len(slots)
        example = {
            "source": SOURCE,
            "group": _group(told[0]),
            "case": case,
            "version": prompt.version,
            "prompt": prompt.text,
            "slots": slots,
            "sex": prompt.sex,
            "age": None if prompt.age is None else min(prompt.age, OLDEST),
        }
        yield orjson.dumps(example) + b"\n"


def _group(row: Any) -> str:
    """As ``training.examples.group_of``; an answer about nobody known is a patient of its own."""
    patient = row.patient or f"evaluation {row.evaluation}"
    return hashlib.sha256(f"labcue\0{SOURCE}\0{patient}".encode()).hexdigest()[:16]


def rows(connection: sa.Connection, *, with_comments: bool = False) -> Iterator[bytes]:
    """Lines of NDJSON, one for each entry of feedback, joined with its card, flags and versions. Texts that a client sent
    (displays, comments) are left out; the comment comes ``with_comments``."""
    query = (
        sa.select(
            feedback,
            cards.c.rule,
            cards.c.indicator,
            evaluations.c.at,
            evaluations.c.patient,
            evaluations.c.service_version,
            evaluations.c.model,
            evaluations.c.model_version,
            evaluations.c.adapter,
            evaluations.c.catalog_version,
            comments.c.text.label("comment"),
        )
        .select_from(
            sa.outerjoin(feedback, sa.join(cards, evaluations), cards.c.uuid == feedback.c.card).join(
                comments, comments.c.feedback == feedback.c.id, isouter=True
            )
        )
        .order_by(feedback.c.id)
    )
    for row in connection.execution_options(yield_per=1000).execute(query):
        said = {
            "card": row.card,
            "matched": row.rule is not None,
            "outcome": row.outcome,
            "suggestions": len(row.suggestions),
            "reason": row.reason_code,
            "reasonSystem": row.reason_system,
            "outcomeAt": row.outcome_at,
            "receivedAt": row.received_at.isoformat(),
            "sentAt": row.at.isoformat() if row.at else None,
            "patient": row.patient,
            "rule": row.rule,
            "indicator": row.indicator,
            "flags": _flags(connection, row.card),
            "serviceVersion": row.service_version,
            "model": row.model,
            "modelVersion": row.model_version,
            "adapter": row.adapter,
            "catalogVersion": row.catalog_version,
        }
        if with_comments:
            said["comment"] = row.comment
        yield orjson.dumps({name: value for name, value in said.items() if value is not None}) + b"\n"


def _flags(connection: sa.Connection, card: str) -> list[dict[str, Any]]:
    columns = (
        card_flags.c.analyte,
        card_flags.c.loinc,
        card_flags.c.code,
        card_flags.c.source,
        card_flags.c.probability,
    )
    found = connection.execute(sa.select(*columns).where(card_flags.c.card == card).order_by(card_flags.c.id))
    return [{str(name): value for name, value in row._mapping.items() if value is not None} for row in found]
