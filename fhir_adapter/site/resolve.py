"""From counts to rules: under which conditions a test carried which interval.

Tried in this order, each on what the one before left mixed: age, date, specimen, method, and last what else was reported on the same
day. What stays mixed takes the most frequent interval, and the others stand beside it. A split must rest on SIDE panels on each side: two
groups of eight part by chance less than once in 6,000 times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Limits = tuple[float | None, float | None, bool, bool]
"""Low, high, and whether each belongs to the interval."""

PURE = 0.97
"""Share of one interval from which the rest counts as noise (corrections, typing errors)."""
SIDE = 8
"""Panels that must stand on each side of a split by age or date."""
TELLING = 5
"""Panels in which a companion must have told the same interval."""
MOST_PARTS = 8
MOST_COMPANIONS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a result stood. ``age`` in years (whole from 2 on, else months/12), ``month``: year * 12 + month - 1."""

    limits: Limits
    age: float | None = None
    month: int | None = None
    specimen: str = ""
    method: str = ""


@dataclass(slots=True)
class Tally:
    """What was counted of one test, unit and sex: results and panels by cell, panels by companion and limits."""

    results: Counter[Cell]
    panels: Counter[Cell]
    companions: dict[Limits, Counter[str]]
    told: Counter[Limits]


@dataclass(frozen=True, slots=True)
class Rule:
    """One interval with its conditions and counts; ``others``: the limits it was chosen over, with their counts."""

    limits: Limits
    count: int
    seen: int
    where: Mapping[str, Any]
    companions: tuple[str, ...] = ()
    months: tuple[int, int] | None = None
    others: tuple[tuple[Limits, int], ...] = ()


def rules(tally: Tally) -> list[Rule]:
    """The rules of one test, unit and sex, the general one of each part last."""
    return _resolve(tally, dict(tally.results), ("age", "month", "specimen", "method"), {})


def _resolve(tally: Tally, cells: Mapping[Cell, int], axes: Sequence[str], where: Mapping[str, Any]) -> list[Rule]:
    counts = _by_limits(cells)
    limits, count = _most(counts)
    seen = counts.total()
    if count >= PURE * seen:
        return [_rule(cells, limits, where)]
    for number, axis in enumerate(axes):
        parts = _ordered(tally, cells, axis) if axis in ("age", "month") else _named(cells, axis)
        if parts:
            rest = axes[number + 1 :]
            return [rule for condition, part in parts for rule in _resolve(tally, part, rest, {**where, **condition})]
    return [*_told(tally, cells, where), _rule(cells, limits, where)]


def _by_limits(cells: Mapping[Cell, int]) -> Counter[Limits]:
    counts: Counter[Limits] = Counter()
    for cell, number in cells.items():
        counts[cell.limits] += number
    return counts


def _most(counts: Counter[Limits]) -> tuple[Limits, int]:
    return min(counts.items(), key=lambda item: (-item[1], str(item[0])))


def _rule(cells: Mapping[Cell, int], limits: Limits, where: Mapping[str, Any]) -> Rule:
    counts = _by_limits(cells)
    months = sorted(cell.month for cell in cells if cell.limits == limits and cell.month is not None)
    others = sorted(((one, number) for one, number in counts.items() if one != limits), key=lambda item: -item[1])
    return Rule(
        limits,
        counts[limits],
        counts.total(),
        dict(where),
        months=(months[0], months[-1]) if months else None,
        others=tuple(others),
    )


def _ordered(
    tally: Tally, cells: Mapping[Cell, int], axis: str
) -> list[tuple[dict[str, Any], Mapping[Cell, int]]] | None:
    """The cells in successive stretches of age or time, each of one interval; None where they don't part so."""
    at: dict[Any, Counter[Limits]] = {}
    for cell, number in cells.items():
        at.setdefault(getattr(cell, axis), Counter())[cell.limits] += number
    if None in at or len(at) < 2:
        return None
    order = sorted(at)
    stretches: list[list[Any]] = []
    last: Limits | None = None
    for value in order:
        most = _most(at[value])[0]
        if most != last:
            stretches.append([])
            last = most
        stretches[-1].append(value)
    if not 2 <= len(stretches) <= MOST_PARTS:
        return None
    parts: list[tuple[dict[str, Any], Mapping[Cell, int]]] = []
    right = 0
    for number, stretch in enumerate(stretches):
        inside = set(stretch)
        part = {cell: count for cell, count in cells.items() if getattr(cell, axis) in inside}
        if sum(tally.panels[cell] for cell in part) < SIDE:
            return None
        right += _most(_by_limits(part))[1]
        start = None if number == 0 else stretch[0]
        end = None if number == len(stretches) - 1 else stretches[number + 1][0]
        parts.append(({f"{axis}_from": start, f"{axis}_to": end}, part))
    return parts if right >= PURE * sum(cells.values()) else None


def _named(cells: Mapping[Cell, int], axis: str) -> list[tuple[dict[str, Any], Mapping[Cell, int]]] | None:
    """The cells by specimen or method, where each has an interval of its own."""
    by_name: dict[str, dict[Cell, int]] = {}
    for cell, number in cells.items():
        by_name.setdefault(getattr(cell, axis), {})[cell] = number
    most = {name: _most(_by_limits(part)) for name, part in by_name.items()}
    if len({limits for limits, _ in most.values()}) < 2:
        return None
    if sum(count for _, count in most.values()) < PURE * sum(cells.values()):
        return None
    return [({axis: name}, part) for name, part in sorted(by_name.items())]


def _told(tally: Tally, cells: Mapping[Cell, int], where: Mapping[str, Any]) -> list[Rule]:
    """A rule for each interval that other tests of the same day tell."""
    counts = _by_limits(cells)
    beside: Counter[str] = Counter()
    for limits in counts:
        beside.update(tally.companions.get(limits, Counter()))
    found = []
    for limits in counts:
        telling = [
            (number, name)
            for name, number in tally.companions.get(limits, Counter()).items()
            if number >= TELLING and number >= PURE * beside[name]
        ]
        if telling:
            best = tuple(name for _, name in sorted(telling, key=lambda pair: (-pair[0], pair[1]))[:MOST_COMPANIONS])
            found.append(replace(_rule(cells, limits, where), companions=best, others=()))
    return found if len(found) > 1 or (found and found[0].limits != _most(counts)[0]) else []
