"""A pattern's criteria as they stand in the TOML files, read once and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any

from cds_service.clinical.patterns.condition import Condition, condition
from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence, Indicator
from fhir_adapter.model import Sex

ORGANS = (
    "kidney",
    "sample",
    "electrolytes",
    "acid_base",
    "diabetes",
    "lipids",
    "endocrine",
    "liver",
    "haematology",
    "coagulation",
    "oncology",
    "cardiac",
    "infection",
    "pregnancy",
    "neonate",
    "drugs",
)
"""One file each."""
_KEYS = frozenset(
    [
        "severity", "source", "members", "window", "all", "any", "none", "at_least", "for", "against", "subsumes",
        "age", "sex", "pregnant", "rule", "criteria", "limits",
    ]
)  # fmt: skip
_WINDOW = 48.0
_EVERY_AGE = (0.0, 200.0)
_ADULT = 40.0
"""Whom an unknown age stands for, as in the catalog."""


@dataclass(frozen=True, slots=True)
class Hit:
    """That a pattern is there. ``members`` are analytes, the leading one first (None: the spec's); ``seen`` is what its
    evidence is looked for in."""

    seen: Seen
    params: Mapping[str, str] = field(default_factory=dict)
    severity: Indicator | None = None
    members: tuple[str, ...] | None = None
    speaks_for: tuple[Evidence, ...] = ()
    speaks_against: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """One pattern. Either ``rule`` (code) decides, by ``criteria`` in words and its ``limits``, or ``all``, ``any``,
    ``none`` and ``at_least`` do. ``window`` is how far from the leading member the others may have been taken."""

    id: str
    organ: str
    severity: Indicator
    citation: str
    members: tuple[str, ...]
    window: timedelta
    all: tuple[Condition, ...] = ()
    any: tuple[tuple[Condition, ...], ...] = ()
    none: tuple[Condition, ...] = ()
    at_least: tuple[int, tuple[Condition, ...]] | None = None
    speaks_for: tuple[Condition, ...] = ()
    speaks_against: tuple[Condition, ...] = ()
    subsumes: tuple[str, ...] = ()
    age: tuple[float, float] = _EVERY_AGE
    sex: Sex | None = None
    pregnant: bool | None = None
    rule: str | None = None
    criteria: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)

    def concerns(self, age: float | None, sex: Sex | None, pregnant: bool | None) -> bool:
        """Whether it is meant for such a person. An unknown age counts as adult, an unknown sex as either; what is for
        pregnancy needs it known, what isn't for pregnancy needs only that it isn't known."""
        low, high = self.age
        if not low <= (_ADULT if age is None else age) < high or (self.sex and sex and self.sex != sex):
            return False
        if self.pregnant is None:
            return True
        return pregnant is True if self.pregnant else pregnant is not True

    def near(self, seen: Seen, anchor: str) -> Seen:
        """Only what was taken within the window of ``anchor``'s result."""
        return seen.near(anchor, self.window)

    def declared(self, seen: Seen) -> Hit | None:
        """Whether the criteria hold, first in all that is there, then in what was taken together."""
        if not self._hold(seen):
            return None
        anchor = next((name for name in self.members if name in seen.newest), None)
        near = seen if anchor is None else self.near(seen, anchor)
        return Hit(near) if near is seen or self._hold(near) else None

    def _hold(self, seen: Seen) -> bool:
        for one in self.all:
            if one.holds(seen) is None:
                return False
        for group in self.any:
            if all(one.holds(seen) is None for one in group):
                return False
        if self.at_least is not None:
            wanted, of = self.at_least
            if sum(one.holds(seen) is not None for one in of) < wanted:
                return False
        return all(one.holds(seen) is None for one in self.none)

    def conditions(self) -> tuple[Condition, ...]:
        """All of them, evidence too."""
        grouped = tuple(one for group in self.any for one in group)
        counted = self.at_least[1] if self.at_least is not None else ()
        return (*self.all, *grouped, *counted, *self.none, *self.speaks_for, *self.speaks_against)


Rule = Callable[[Seen, Spec], Hit | None]


@cache
def specs() -> tuple[Spec, ...]:
    """All patterns, by organ system.

    Raises:
        ValueError: a file is wrong; says which pattern and what.
    """
    sources = tomllib.loads(_text("sources.toml"))
    found: dict[str, Spec] = {}
    for organ in ORGANS:
        for id, table in tomllib.loads(_text(f"{organ}.toml")).items():
            if id in found:
                raise ValueError(f"{organ}.toml: {id} is there twice")
            try:
                found[id] = _spec(id, organ, table, sources)
            except (KeyError, ValueError, TypeError) as error:
                raise ValueError(f"{organ}.toml: {id}: {error}") from error
    return tuple(found.values())


def _text(name: str) -> str:
    return resources.files("cds_service.clinical.patterns").joinpath(name).read_text(encoding="utf-8")


def _spec(id: str, organ: str, table: Mapping[str, Any], sources: Mapping[str, str]) -> Spec:
    if unknown := sorted(set(table) - _KEYS):
        raise ValueError(f"unknown key {', '.join(unknown)}")
    rule = table.get("rule")
    if (rule is None) == (not table.get("all") and not table.get("any") and not table.get("at_least")):
        raise ValueError("either a rule or criteria, not both and not neither")
    if rule is not None and not table.get("criteria"):
        raise ValueError("a rule needs its criteria in words")

    def conditions(texts: list[str]) -> tuple[Condition, ...]:
        return tuple(condition(text) for text in texts)

    low, high = table.get("age", _EVERY_AGE)
    return Spec(
        id=id,
        organ=organ,
        severity=table["severity"],
        citation="; ".join(sources[key] for key in table["source"]),
        members=tuple(table["members"]),
        window=timedelta(hours=table.get("window", _WINDOW)),
        all=conditions(table.get("all", [])),
        any=tuple(conditions(group) for group in table.get("any", [])),
        none=conditions(table.get("none", [])),
        at_least=(table["at_least"]["n"], conditions(table["at_least"]["of"])) if "at_least" in table else None,
        speaks_for=conditions(table.get("for", [])),
        speaks_against=conditions(table.get("against", [])),
        subsumes=tuple(table.get("subsumes", [])),
        age=(float(low), float(high)),
        sex=table.get("sex"),
        pregnant=table.get("pregnant"),
        rule=rule,
        criteria=table.get("criteria", ""),
        limits=table.get("limits", {}),
    )
