"""Learning a site's intervals and aliases from results that carried them. Streams: only counts are kept."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from fhir_adapter.folding import fold
from fhir_adapter.intervals import show
from fhir_adapter.model import Panel, PanelResult
from fhir_adapter.site.model import BOTH, Site, SiteAlias, SiteInterval, around, group_of, tests_of, unit_of
from fhir_adapter.site.resolve import Cell, Limits, Rule, Tally, rules

AT_LEAST = 3
"""Results that must have carried an interval before it counts as the site's."""
SURE = 20
"""Results by which a local name must have meant one analyte before it counts as its name."""


@dataclass(slots=True)
class Learner:
    """Counts what results carry; :meth:`site` gives what was learnt. Memory grows with the tests and limits, not with the results."""

    tallies: dict[tuple[str, str, str], Tally] = field(default_factory=dict)
    names: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def add(self, panel: Panel) -> None:
        """Takes in every result of a panel that carries its laboratory's own interval."""
        sex = group_of(panel.patient.sex)
        days = around(panel.results).days
        cells: dict[tuple[str, str, str], set[Cell]] = {}
        told: dict[tuple[str, str, str], dict[Limits, set[str]]] = {}
        for placed in panel.results:
            self._name(placed)
            interval = placed.interval
            if interval is None or interval.source != "lab":
                continue
            limits = (interval.low, interval.high, interval.low_inclusive, interval.high_inclusive)
            cell = _cell(placed, limits)
            when = placed.result.effective
            beside = days[when.date()] if when is not None else frozenset()
            for test in _kept_names(placed):
                key = (test, unit_of(placed.unit), sex)
                tally = self.tallies.get(key)
                if tally is None:
                    tally = self.tallies[key] = Tally(Counter(), Counter(), {}, Counter())
                tally.results[cell] += 1
                cells.setdefault(key, set()).add(cell)
                told.setdefault(key, {}).setdefault(limits, set()).update(beside)
        for key, members in cells.items():
            self.tallies[key].panels.update(members)
        for key, by_limits in told.items():
            for limits, names in by_limits.items():
                self.tallies[key].companions.setdefault(limits, Counter()).update(names)
                self.tallies[key].told[limits] += 1

    def _name(self, placed: PanelResult) -> None:
        if placed.analyte is None:
            return
        for test in tests_of(placed):
            if test.startswith(("local ", "name ")):
                self.names.setdefault(test, Counter())[placed.analyte.id, unit_of(placed.unit)] += 1

    def site(self, name: str) -> Site:
        """The intervals of each test, unit and sex that were seen at least AT_LEAST times. A sex has its own only where they
        differ from those of both together."""
        found: dict[tuple[str, str], tuple[SiteInterval, ...]] = {}
        by_test: dict[tuple[str, str], dict[str, Tally]] = {}
        for (test, unit, sex), tally in self.tallies.items():
            by_test.setdefault((test, unit), {})[sex] = tally
        for (test, unit), sexes in sorted(by_test.items()):
            whole = _kept(rules(_joined(sexes.values())))
            entries = [_entry(test, unit, BOTH, one) for one in whole]
            for sex in sorted(set(sexes) - {BOTH}):
                own = _kept(rules(sexes[sex]))
                if own and _shape(own) != _shape(whole):
                    entries += [_entry(test, unit, sex, one) for one in own]
            if entries:
                found[test, unit] = tuple(entries)
        return Site(name, found, aliases=self._aliases())

    def _aliases(self) -> dict[str, SiteAlias]:
        found = {}
        for test, counts in sorted(self.names.items()):
            analytes = {analyte for analyte, _ in counts}
            if len(analytes) == 1 and counts.total() >= SURE:
                unit = next(iter(counts))[1] if len(counts) == 1 else None
                found[test] = SiteAlias(test=test, analyte=analytes.pop(), unit=unit or None, count=counts.total())
        return found


def learn(panels: Iterable[Panel], name: str) -> Site:
    """The profile of a site from its panels."""
    learner = Learner()
    for panel in panels:
        learner.add(panel)
    return learner.site(name)


def _kept_names(placed: PanelResult) -> list[str]:
    """The names under which an interval is kept: a name in words only where there is no code."""
    named = tests_of(placed)
    return [test for test in named if not test.startswith("name ")] or named


def _cell(placed: PanelResult, limits: Limits) -> Cell:
    age, when = placed.age_years, placed.result.effective
    if age is not None:
        age = math.floor(age) if age >= 2 else math.floor(age * 12) / 12
    month = None if when is None else when.year * 12 + when.month - 1
    return Cell(limits, age, month, fold(placed.result.specimen or ""), fold(placed.result.method or ""))


def _joined(tallies: Iterable[Tally]) -> Tally:
    whole = Tally(Counter(), Counter(), {}, Counter())
    for one in tallies:
        whole.results.update(one.results)
        whole.panels.update(one.panels)
        whole.told.update(one.told)
        for limits, names in one.companions.items():
            whole.companions.setdefault(limits, Counter()).update(names)
    return whole


def _kept(found: list[Rule]) -> list[Rule]:
    return [one for one in found if one.count >= AT_LEAST]


def _shape(found: list[Rule]) -> set[tuple[object, ...]]:
    return {(one.limits, tuple(sorted(one.where.items())), bool(one.companions)) for one in found}


def _entry(test: str, unit: str, sex: str, rule: Rule) -> SiteInterval:
    low, high, low_inclusive, high_inclusive = rule.limits
    where = dict(rule.where)
    until = _month(where.get("month_to"))
    return SiteInterval(
        test=test,
        unit=unit,
        sex=sex,
        low=low,
        high=high,
        low_inclusive=low_inclusive,
        high_inclusive=high_inclusive,
        age_from=where.get("age_from"),
        age_to=where.get("age_to"),
        since=_month(where.get("month_from")),
        until=until - timedelta(days=1) if until is not None else None,
        specimen=where.get("specimen"),
        method=where.get("method"),
        companions=rule.companions,
        count=rule.count,
        seen=rule.seen,
        first=_text(rule.months[0]) if rule.months else None,
        last=_text(rule.months[1]) if rule.months else None,
        others=tuple(f"{_shown(limits)} ({number})" for limits, number in rule.others),
    )


def _shown(limits: Limits) -> str:
    low, high, low_inclusive, high_inclusive = limits
    digits = (None if low is None else f"{low:.6g}", None if high is None else f"{high:.6g}")
    return show(*digits, high_inclusive, low_inclusive)


def _month(number: int | None) -> date | None:
    return None if number is None else date(number // 12, number % 12 + 1, 1)


def _text(number: int) -> str:
    return f"{number // 12:04d}-{number % 12 + 1:02d}"
