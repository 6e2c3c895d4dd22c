"""A site's own reference intervals, learnt from its results that carried one, for those that come without.

A profile is a TOML file that a laboratory can read and correct. An interval counts for one test (the local code where the site
sends one, else the analyte or the name), one unit and one sex; the most frequent one is taken, and how often others were seen
stands beside it. Nothing is averaged: an average of two limits is nobody's limit.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fhir_adapter import units
from fhir_adapter.errors import ConfigError, Violation
from fhir_adapter.intervals import show
from fhir_adapter.model import Interval, Panel, PanelResult, Sex

LOINC = "http://loinc.org"
AT_LEAST = 3
"""Results that must have carried an interval before it counts as the site's."""
BOTH = "both"

Key = tuple[str, str, str]
"""Test, unit and sex ("female", "male", or "both")."""


class SiteInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One learnt interval. ``test``: "local <system>|<code>" or "analyte <id>"; ``unit``: as
    :func:`fhir_adapter.units.normalize_unit` writes it, else as sent. ``count``: results that carried exactly this interval, out of ``seen``."""

    test: str
    unit: str
    sex: str = BOTH
    low: float | None = None
    high: float | None = None
    low_inclusive: bool = True
    high_inclusive: bool = True
    count: int = 0
    seen: int = 0


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    interval: tuple[SiteInterval, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """A profile, ready to look up."""

    name: str
    intervals: Mapping[Key, SiteInterval]

    def interval_for(self, placed: PanelResult, sex: Sex | None) -> Interval | None:
        """The site's interval for a result, in the result's own unit; None where the site has none for that unit and sex."""
        unit = _unit(placed.unit)
        for test in tests_of(placed):
            for group in (sex, BOTH) if sex else (BOTH,):
                found = self.intervals.get((test, unit, group))
                if found is not None:
                    return _as_interval(found, placed.unit, self.name)
        return None


def _as_interval(found: SiteInterval, unit: str | None, name: str) -> Interval:
    low, high = found.low, found.high
    shown = (f"{low:.6g}" if low is not None else None, f"{high:.6g}" if high is not None else None)
    text = show(*shown, found.high_inclusive, found.low_inclusive)
    return Interval(low, high, unit, "site", found.low_inclusive, found.high_inclusive, text, f"{name}: own results")


def tests_of(placed: PanelResult) -> list[str]:
    """What names a result's test, the most specific first: its local codes, then its analyte."""
    named = [
        f"local {coding.system}|{coding.code}"
        for coding in placed.result.codings
        if coding.code and coding.system and coding.system != LOINC
    ]
    series = placed.series
    return named + ([f"analyte {series}"] if series else [])


def _unit(unit: str | None) -> str:
    return units.normalize_unit(unit) or unit or ""


@dataclass(slots=True)
class Learner:
    """Counts the intervals of results; :meth:`site` gives what was learnt."""

    counts: dict[Key, Counter[tuple[float | None, float | None, bool, bool]]] = field(default_factory=dict)

    def add(self, panel: Panel) -> None:
        """Takes in every result of a panel that carries its laboratory's own interval."""
        sex = panel.patient.sex
        for placed in panel.results:
            interval = placed.interval
            if interval is None or interval.source != "lab":
                continue
            seen = (interval.low, interval.high, interval.low_inclusive, interval.high_inclusive)
            for test in tests_of(placed):
                for group in (sex, BOTH) if sex else (BOTH,):
                    self.counts.setdefault((test, _unit(placed.unit), group), Counter())[seen] += 1

    def site(self, name: str) -> Site:
        """The most frequent interval of each test, unit and sex that was seen at least AT_LEAST times. A sex has its own only
        where it differs from that of both."""
        found: dict[Key, SiteInterval] = {}
        for key, counter in sorted(self.counts.items()):
            (low, high, low_in, high_in), count = min(counter.items(), key=lambda item: (-item[1], str(item[0])))
            if count < AT_LEAST:
                continue
            test, unit, sex = key
            found[key] = SiteInterval(
                test=test,
                unit=unit,
                sex=sex,
                low=low,
                high=high,
                low_inclusive=low_in,
                high_inclusive=high_in,
                count=count,
                seen=counter.total(),
            )
        return Site(name, {key: one for key, one in found.items() if not _same_as_both(key, one, found)})


def _same_as_both(key: Key, one: SiteInterval, found: Mapping[Key, SiteInterval]) -> bool:
    both = found.get((key[0], key[1], BOTH))
    return key[2] != BOTH and both is not None and (both.low, both.high) == (one.low, one.high)


def learn(panels: Iterable[Panel], name: str) -> Site:
    """The profile of a site from its panels."""
    learner = Learner()
    for panel in panels:
        learner.add(panel)
    return learner.site(name)


def write_site(site: Site, file: Path) -> None:
    """Writes the profile as TOML."""
    lines = [
        "# Reference intervals learnt from this site's own results. Correct what is wrong: the file is read as it stands.",
        f"name = {json.dumps(site.name, ensure_ascii=False)}",
    ]
    for one in site.intervals.values():
        lines.append("\n[[interval]]")
        for name, value in msgspec.structs.asdict(one).items():
            if value is not None and not (name.endswith("inclusive") and value):
                lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_site(file: Path) -> Site:
    """Reads a profile.

    Raises:
        ConfigError: it can't be read, isn't TOML, or a field is missing, unknown or of the wrong type, limits crossed included.
    """
    try:
        data = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), _File, strict=False)
    except OSError:
        raise _refuse(file, "can't be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refuse(file, f"is not TOML ({error})") from None
    except msgspec.ValidationError as error:
        raise _refuse(file, str(error)) from None
    found: dict[Key, SiteInterval] = {}
    for number, one in enumerate(data.interval):
        key = (one.test, one.unit, one.sex)
        if one.low is None and one.high is None:
            raise _refuse(file, f"interval[{number}] has neither low nor high")
        if one.low is not None and one.high is not None and one.low > one.high:
            raise _refuse(file, f"interval[{number}]: low is above high")
        if one.sex not in (BOTH, "female", "male"):
            raise _refuse(file, f"interval[{number}]: sex must be female, male or both")
        if key in found:
            raise _refuse(file, f"interval[{number}] repeats an earlier one of the same test, unit and sex")
        found[key] = one
    return Site(data.name, found)


def _refuse(file: Path, why: str) -> ConfigError:
    text = f"{file}: {why}"
    return ConfigError(text, violations=(Violation("site", text),))
