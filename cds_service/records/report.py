"""How often cards are overridden: by rule or pattern, by analyte, by model. The last answer to a card is the one that counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cds_service.records.schema import card_flags, cards, evaluations, feedback

RULES_ALONE = "rules alone"


@dataclass(frozen=True, slots=True)
class Line:
    """Cards of one kind. ``override_rate`` is of those that were answered; None where none was."""

    name: str
    sent: int
    accepted: int
    overridden: int
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.accepted + self.overridden

    @property
    def override_rate(self) -> float | None:
        return self.overridden / self.answered if self.answered else None


@dataclass(frozen=True, slots=True)
class Report:
    """All of it. ``unmatched`` counts entries whose card isn't known. A card about several analytes counts for each."""

    all: Line
    unmatched: int
    rules: tuple[Line, ...]
    analytes: tuple[Line, ...]
    models: tuple[Line, ...]


def report(connection: sa.Connection, since: datetime | None = None) -> Report:
    """The report on the cards sent ``since`` then (default: all that are kept)."""
    last = last_answers().subquery()
    base = sa.join(cards, evaluations).join(last, last.c.card == cards.c.uuid, isouter=True)
    when = sa.true() if since is None else evaluations.c.at >= since
    model = sa.func.coalesce(
        evaluations.c.model
        + " "
        + evaluations.c.model_version
        + sa.func.coalesce(sa.literal(" + ") + evaluations.c.adapter, ""),
        RULES_ALONE,
    )
    abnormal = sa.select(card_flags.c.card, card_flags.c.analyte).where(card_flags.c.code != "N").distinct().subquery()
    with_analytes = base.join(abnormal, abnormal.c.card == cards.c.uuid)
    total = _lines(connection, base, sa.literal("all"), last, when)
    return Report(
        all=total[0] if total else Line("all", 0, 0, 0),
        unmatched=_unmatched(connection, since),
        rules=_lines(connection, base, cards.c.rule, last, when),
        analytes=_lines(connection, with_analytes, abnormal.c.analyte, last, when),
        models=_lines(connection, base, model, last, when),
    )


def last_answers() -> sa.Select[Any]:
    """The last entry received for each card."""
    newest = sa.func.row_number().over(
        partition_by=feedback.c.card, order_by=(feedback.c.received_at.desc(), feedback.c.id.desc())
    )
    numbered = sa.select(feedback, newest.label("place")).subquery()
    return sa.select(numbered).where(numbered.c.place == 1)


def _unmatched(connection: sa.Connection, since: datetime | None) -> int:
    query = (
        sa.select(sa.func.count())
        .select_from(sa.outerjoin(feedback, cards, cards.c.uuid == feedback.c.card))
        .where(cards.c.uuid.is_(None))
    )
    if since is not None:
        query = query.where(feedback.c.received_at >= since)
    return connection.execute(query).scalar_one()


def _lines(
    connection: sa.Connection,
    base: sa.FromClause,
    name: sa.ColumnElement[str],
    last: sa.Subquery,
    when: sa.ColumnElement[bool],
) -> tuple[Line, ...]:
    """The most overridden first, then the most sent."""
    query = (
        sa.select(name.label("name"), last.c.outcome, last.c.reason_code, sa.func.count().label("count"))
        .select_from(base)
        .where(when)
        .group_by("name", last.c.outcome, last.c.reason_code)
    )
    sent: Counter[str] = Counter()
    outcomes: Counter[tuple[str, str]] = Counter()
    reasons: dict[str, Counter[str]] = {}
    for kind, outcome, reason, count in connection.execute(query):
        sent[kind] += count
        if outcome is not None:
            outcomes[kind, outcome] += count
        if outcome == "overridden":
            reasons.setdefault(kind, Counter())[reason or "none given"] += count
    lines = [
        Line(
            kind,
            sent[kind],
            outcomes[kind, "accepted"],
            outcomes[kind, "overridden"],
            dict(reasons.get(kind, Counter()).most_common()),
        )
        for kind in sent
    ]
    return tuple(sorted(lines, key=lambda line: (-line.overridden, -line.sent, line.name)))
