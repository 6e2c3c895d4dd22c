"""What a note may speak of: the newest results of a panel that the catalog knows, and the patterns found in them.

Nothing that somebody wrote into the bundle gets here, neither names nor comments nor answers in words: what a model is asked to
comment on holds numbers, and names and texts of ours. So no text of a bundle can instruct it.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from cds_service import words
from cds_service.clinical.show import interval_text, unit_text, value_text
from cds_service.domain import Flag, Verdict
from fhir_adapter.catalog import Analyte
from fhir_adapter.model import Quantity
from fhir_adapter.prompt_text import clean_unit

Direction = Literal["high", "low", "normal", "abnormal"]
_DIRECTIONS: Mapping[str, Direction] = {
    "N": "normal", "L": "low", "LL": "low", "H": "high", "HH": "high", "A": "abnormal", "AA": "abnormal"
}  # fmt: skip
MAX_RESULTS = 40


@dataclass(frozen=True, slots=True)
class Fact:
    """One result. ``value`` is its number as reported, None where it has none; ``limits`` and ``priors`` are numbers in that same
    unit; ``units`` its unit as it may be written; ``change`` is +1 or -1 against the newest prior, 0 where it is the same, None
    without one."""

    names: tuple[str, ...]
    direction: Direction
    critical: bool = False
    value: float | None = None
    units: tuple[str, ...] = ()
    limits: tuple[float, ...] = ()
    priors: tuple[float, ...] = ()
    line: str = ""

    @property
    def change(self) -> int | None:
        if self.value is None or not self.priors:
            return None
        return int(math.copysign(1, self.value - self.priors[0])) if self.value != self.priors[0] else 0


@dataclass(frozen=True, slots=True)
class Facts:
    """``phrases`` are the texts of the patterns found; ``others`` the names of analytes that are not in the panel."""

    results: tuple[Fact, ...]
    phrases: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()

    @property
    def abnormal(self) -> bool:
        return any(fact.direction != "normal" for fact in self.results)


def facts_of(verdict: Verdict, analytes: Iterable[Analyte], language: str) -> Facts:
    """The facts of a verdict, the abnormal ones first; ``analytes`` are all that the catalog knows."""
    flags = [flag for flag in verdict.flags if flag.subject.newest and flag.subject.analyte is not None]
    flags.sort(key=lambda flag: (not flag.critical, not flag.abnormal))
    results = tuple(_fact(flag, language) for flag in flags[:MAX_RESULTS])
    own = {name.casefold() for fact in results for name in fact.names}
    others = {
        name for analyte in analytes for name in (*analyte.names.values(), *analyte.aliases)
        if len(name) > 2 and name.casefold() not in own
    }  # fmt: skip
    phrases = tuple(words.say(language, said) for pattern in verdict.patterns for said in (pattern.title, pattern.said))
    return Facts(results, phrases, frozenset(others))


def prompt_of(facts: Facts, language: str) -> str:
    """What the model is asked to continue: the results one a line, the patterns, and where its note begins."""
    lines = [_tasks()[language]["task"], ""]
    lines += [fact.line for fact in facts.results]
    lines += [f"- {phrase}" for phrase in facts.phrases]
    lines += ["", _tasks()[language]["begins"]]
    return "\n".join(lines)


@cache
def _tasks() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = tomllib.loads(
        resources.files(__package__).joinpath("tasks.toml").read_text(encoding="utf-8")
    )
    return found


def _fact(flag: Flag, language: str) -> Fact:
    subject, analyte = flag.subject, flag.subject.analyte
    names = () if analyte is None else (analyte.name(language), *analyte.names.values(), *analyte.aliases)
    value = subject.result.value
    unit = clean_unit(unit_text(subject))
    limits: tuple[float, ...] = ()
    if subject.interval is not None:
        limits = tuple(one for one in (subject.interval.low, subject.interval.high) if one is not None)
    number = subject.number if isinstance(value, Quantity) and subject.number is not None else None
    line = f"{names[0] if names else ''}: "
    if number is not None:
        line += f"{value_text(subject)} {unit}".strip()
        if subject.interval is not None:
            line += f" ({interval_text(subject.interval, subject)})"
        line += ", "
    line += words.flag_word(language, flag.code)
    if number is not None and subject.priors:
        line += f"; {_tasks()[language]['before']} {subject.priors[0].number:.8g}"
    return Fact(
        names=tuple(dict.fromkeys(name for name in names if len(name) > 1)),
        direction=_DIRECTIONS[flag.code],
        critical=flag.critical,
        value=number,
        units=tuple(dict.fromkeys(one for one in (unit, subject.unit or "") if one)),
        limits=limits,
        priors=tuple(prior.number for prior in subject.priors[:3]) if number is not None else (),
        line=line,
    )
