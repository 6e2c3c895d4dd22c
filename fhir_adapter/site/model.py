"""What a site's file holds, and which of its intervals a result takes.

An interval counts for one test and one unit. Conditions narrow it: sex, age, dates, specimen, method, and what else was reported on
the same day ("with"): a laboratory changes its limits together with its report, so that MCHC in % instead of g/dL tells which
limits were in force. Nothing is averaged: an average of two limits is nobody's limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

import msgspec

from fhir_adapter import units
from fhir_adapter.catalog.delta import KEYS as DELTA_KEYS
from fhir_adapter.catalog.delta import DeltaLimit, read_limit
from fhir_adapter.folding import fold
from fhir_adapter.intervals import show
from fhir_adapter.model import Coding, Interval, PanelResult, Patient, Sex

LOINC = "http://loinc.org"
BOTH = "both"
NEAR_DAYS = 31
"""How far in time another report of the patient's may lie and still tell which limits were in force."""


class SiteInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One interval. ``test``: "local <system>|<code>", "loinc <code>", "analyte <id>" or "name <name>"; ``unit``: UCUM as
    :func:`fhir_adapter.units.normalize_unit` writes it, else as sent. Ages in years, ``age_from`` <= age < ``age_to``; ``since`` and
    ``until`` inclusive. ``count``: results that carried exactly this interval under these conditions, out of ``seen``; ``first`` and
    ``last`` their months; ``others``: what the rest carried."""

    test: str
    unit: str
    sex: str = BOTH
    low: float | None = None
    high: float | None = None
    low_inclusive: bool = True
    high_inclusive: bool = True
    age_from: float | None = None
    age_to: float | None = None
    since: date | None = None
    until: date | None = None
    specimen: str | None = None
    method: str | None = None
    companions: tuple[str, ...] = msgspec.field(name="with", default=())
    source: str | None = None
    count: int = 0
    seen: int = 0
    first: str | None = None
    last: str | None = None
    others: tuple[str, ...] = ()


class SiteCritical(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The site's critical limit of a test: below ``low`` or above ``high`` it would phone. Ages in years."""

    test: str
    unit: str
    low: float | None = None
    high: float | None = None
    age_from: float | None = None
    age_to: float | None = None
    source: str | None = None


class SiteDelta(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far a test may move at the site from the result before it, as :class:`fhir_adapter.catalog.delta.DeltaLimit`. ``unit``: of
    ``rise``, ``fall`` and ``change``. All that a file says of a test stands in place of the catalog's."""

    test: str
    unit: str = ""
    rise: float | None = None
    fall: float | None = None
    change: float | None = None
    rise_percent: float | None = None
    fall_percent: float | None = None
    change_percent: float | None = None
    cvi: float | None = None
    cva: float | None = None
    hours: float | None = None
    days: float | None = None
    means: str | None = None
    source: str | None = None

    def read(self, name: str) -> tuple[DeltaLimit, list[str]]:
        """The limit, steps in its own unit, and what is wrong with it. ``name``: its source where it gives none."""
        said = {key: value for key in DELTA_KEYS if (value := getattr(self, key)) is not None and key != "source"}
        return read_limit(said, self.source or name)


class SiteAlias(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the site calls an analyte: ``test`` as above ("local ..." or "name ..."); ``unit`` the one unit it always came in."""

    test: str
    analyte: str
    unit: str | None = None
    count: int = 0


@dataclass(frozen=True, slots=True)
class Around:
    """What else was reported of the patient: by day, the tests with their units as :func:`companion` writes them."""

    days: Mapping[date, frozenset[str]]

    def near(self, day: date | None) -> Iterable[frozenset[str]]:
        """The reports of that day, then those of other days by nearness, up to NEAR_DAYS."""
        if day is None:
            return ()
        near = sorted((abs((other - day).days), other) for other in self.days)
        return (self.days[other] for distance, other in near if distance <= NEAR_DAYS)


@dataclass(frozen=True)
class Site:
    """A profile, ready to look up. ``version``: of the file's content; "" for one that no file holds yet."""

    name: str
    intervals: Mapping[tuple[str, str], tuple[SiteInterval, ...]]
    critical: Mapping[str, tuple[SiteCritical, ...]] = field(default_factory=dict)
    aliases: Mapping[str, SiteAlias] = field(default_factory=dict)
    version: str = field(default="", compare=False)
    deltas: Mapping[str, tuple[SiteDelta, ...]] = field(default_factory=dict)

    @cached_property
    def looks_around(self) -> bool:
        """Whether any interval depends on what else was reported."""
        return any(one.companions for group in self.intervals.values() for one in group)

    @property
    def label(self) -> str:
        """Name and version, for answers."""
        return f"{self.name} {self.version}".strip()

    def interval_for(self, placed: PanelResult, patient: Patient, around: Around | None = None) -> Interval | None:
        """The site's interval for a result, in the result's own unit; None where the site has none for that unit and patient."""
        unit = unit_of(placed.unit)
        for test in tests_of(placed):
            for group in (patient.sex, BOTH) if patient.sex else (BOTH,):
                fitting = [
                    one for one in self.intervals.get((test, unit), ()) if one.sex == group and _fits(one, placed)
                ]
                found = _chosen(fitting, placed, around)
                if found is not None:
                    return self._as_interval(found, placed.unit)
        return None

    def critical_for(self, placed: PanelResult) -> Interval | None:
        """The site's critical limits for a result, in its own unit; None where it has none that can be converted."""
        for test in tests_of(placed):
            for one in self.critical.get(test, ()):
                if not _in_age(one.age_from, one.age_to, placed.age_years):
                    continue
                analyte = placed.analyte
                factor = (
                    1.0
                    if unit_of(placed.unit) == one.unit
                    else units.factor(
                        one.unit,
                        placed.unit,
                        molar_mass=analyte.molar_mass if analyte else None,
                        valence=analyte.valence if analyte else None,
                    )
                )
                if factor is None:
                    continue
                low, high = (None if limit is None else limit * factor for limit in (one.low, one.high))
                return Interval(
                    low,
                    high,
                    placed.unit,
                    "site",
                    text=show(_digits(low), _digits(high)),
                    citation=one.source or self.label,
                )
        return None

    def deltas_for(self, placed: PanelResult) -> tuple[DeltaLimit, ...]:
        """The site's delta limits for a result, steps in the analyte's canonical unit (in the result's own where there is no
        analyte); without those whose unit can't be converted."""
        found = []
        for test in tests_of(placed):
            for one in self.deltas.get(test, ()):
                limit, _ = one.read(self.label)
                if limit.in_steps:
                    factor = self._into_canonical(one.unit, placed)
                    if factor is None:
                        continue
                    rise, fall = (None if step is None else step * factor for step in (limit.rise, limit.fall))
                    limit = replace(limit, rise=rise, fall=fall)
                found.append(limit)
            if found:
                break
        return tuple(found)

    def _into_canonical(self, unit: str, placed: PanelResult) -> float | None:
        analyte = placed.analyte
        if analyte is None or placed.canonical is None:
            return 1.0 if unit_of(placed.unit) == unit else None
        return units.factor(unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)

    def analyte_of(self, codings: Iterable[Coding], name: str | None) -> str | None:
        """The id of the analyte that the site means by a local code or a name; None where its file doesn't say."""
        for test in _named(codings, name):
            if (found := self.aliases.get(test)) is not None:
                return found.analyte
        return None

    def unit_for(self, codings: Iterable[Coding], name: str | None) -> str | None:
        """The unit of a result that came without one: that in which the site always sent this test; None where it varied."""
        for test in _named(codings, name):
            if (found := self.aliases.get(test)) is not None and found.unit is not None:
                return found.unit
        return None

    def _as_interval(self, found: SiteInterval, unit: str | None) -> Interval:
        text = show(_digits(found.low), _digits(found.high), found.high_inclusive, found.low_inclusive)
        return Interval(
            found.low,
            found.high,
            unit,
            "site",
            found.low_inclusive,
            found.high_inclusive,
            text,
            found.source or self.label,
        )


def _digits(limit: float | None) -> str | None:
    return None if limit is None else f"{limit:.6g}"


def _fits(one: SiteInterval, placed: PanelResult) -> bool:
    result = placed.result
    day = result.effective.date() if result.effective else None
    if not _in_age(one.age_from, one.age_to, placed.age_years):
        return False
    # Without a date the newest limits count: those without an end.
    early = one.until is not None if day is None else one.since is not None and day < one.since
    if early:
        return False
    if one.until is not None and (day is None or day > one.until):
        return False
    if one.specimen is not None and one.specimen != fold(result.specimen or ""):
        return False
    return one.method is None or one.method == fold(result.method or "")


def _in_age(age_from: float | None, age_to: float | None, age: float | None) -> bool:
    if age_from is None and age_to is None:
        return True
    return age is not None and (age_from is None or age >= age_from) and (age_to is None or age < age_to)


def _chosen(fitting: list[SiteInterval], placed: PanelResult, around: Around | None) -> SiteInterval | None:
    """The one with the most conditions; of those that hang on companions, the one that the nearest report tells."""
    told = [one for one in fitting if one.companions]
    if told and around is not None and placed.result.effective is not None:
        for report in around.near(placed.result.effective.date()):
            here = [one for one in told if not report.isdisjoint(one.companions)]
            if len({(one.low, one.high) for one in here}) == 1:
                return here[0]
    return max(
        (one for one in fitting if not one.companions),
        key=lambda one: (
            sum(
                value is not None
                for value in (one.age_from, one.age_to, one.since, one.until, one.specimen, one.method)
            ),
            one.count,
        ),
        default=None,
    )


def tests_of(placed: PanelResult) -> list[str]:
    """What names a result's test, the most specific first: local codes, LOINC codes, analyte, name."""
    named = _named(placed.result.codings, placed.result.name)
    if placed.analyte is not None:
        named.insert(len(named) - (1 if placed.result.name else 0), f"analyte {placed.analyte.id}")
    return named


def _named(codings: Iterable[Coding], name: str | None) -> list[str]:
    local = [f"local {one.system}|{one.code}" for one in codings if one.code and one.system and one.system != LOINC]
    loinc = [f"loinc {one.code}" for one in codings if one.code and one.system == LOINC]
    return local + loinc + ([f"name {fold(name)}"] if name else [])


def unit_of(unit: str | None) -> str:
    """A unit as the file writes it."""
    return units.normalize_unit(unit) or unit or ""


def companion(placed: PanelResult) -> str | None:
    """How a result counts among the others of its day: the first name of its test and its unit."""
    named = tests_of(placed)
    return f"{named[0]} [{unit_of(placed.unit)}]" if named else None


def around(results: Iterable[PanelResult]) -> Around:
    """The reports of a panel by day."""
    days: dict[date, set[str]] = {}
    for placed in results:
        if placed.result.effective is not None and (name := companion(placed)) is not None:
            days.setdefault(placed.result.effective.date(), set()).add(name)
    return Around({day: frozenset(names) for day, names in days.items()})


def group_of(sex: Sex | None) -> str:
    """The group of people that a patient counts for."""
    return sex or BOTH
