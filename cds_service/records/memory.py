"""What a person has met before of a patient's findings, read from the records."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import sqlalchemy as sa

from cds_service.fatigue import Met
from cds_service.records.schema import cards, evaluations, feedback, findings

STEP = 500
"""Findings asked for in one statement."""


def met(
    connection: sa.Connection, keys: Sequence[str], since: datetime, how: Literal["answered", "shown"]
) -> dict[str, Met]:
    """By key, the worst that was answered (or shown) since then."""
    query = sa.select(findings.c.finding, findings.c.rank, findings.c.card)
    if how == "answered":
        query = query.join(feedback, feedback.c.card == findings.c.card).where(feedback.c.received_at >= since)
    else:
        joined = sa.join(cards, evaluations, cards.c.evaluation == evaluations.c.id)
        query = query.join(joined, cards.c.uuid == findings.c.card).where(evaluations.c.at >= since)
    found: dict[str, Met] = {}
    for start in range(0, len(keys), STEP):
        for key, rank, card in connection.execute(query.where(findings.c.finding.in_(keys[start : start + STEP]))):
            if key not in found or found[key].rank < rank:
                found[key] = Met(rank, card)
    return found
