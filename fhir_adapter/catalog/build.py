"""One TOML table to one Analyte, with every fault named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from fhir_adapter.catalog.delta import DeltaLimit, read_limit
from fhir_adapter.catalog.model import Analyte, CriticalLimit, Linear, Said, UsualInterval
from fhir_adapter.catalog.recognise import specimen_group
from fhir_adapter.errors import Violation
from fhir_adapter.folding import fold

_KEYS = frozenset(
    [
        "en",
        "fr",
        "specimen",
        "loinc",
        "unit",
        "aliases",
        "in_specimen",
        "in_unit",
        "molar_mass",
        "valence",
        "conversions",
        "source",
        "usual",
        "critical",
        "implausible",
        "delta",
        "abnormal",
        "normal",
        "neither",
        "when_present",
        "when_absent",
        "answers_source",
        "unlisted_abnormal",
        "descriptive",
    ]
)
_LOINC = re.compile(r"^\d{1,5}-\d$")
_ADULT = 18.0
_AGES = (0.0, 200.0)


def loinc_valid(code: str) -> bool:
    """Whether a LOINC code has the form and the mod-10 (Luhn) check digit."""
    if not _LOINC.match(code):
        return False
    digits, check = code.split("-")
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return (10 - total % 10) % 10 == int(check)


class Builder:
    """Gathers analytes and their faults."""

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self.sources = {key: _citation(entry) for key, entry in sources.items()}
        self.analytes: dict[str, Analyte] = {}
        self.by_loinc: dict[str, Analyte] = {}
        self.by_name: dict[str, Analyte] = {}
        self.faults: list[Violation] = []
        self._path = ""
        self._keys: dict[str, list[tuple[str, Analyte]]] = {}

    def add(self, file: str, key: str, entry: Mapping[str, Any]) -> None:
        """Adds the table ``key`` of ``file``; its faults go to ``faults``."""
        self._path = f"{file}:{key}"
        for unknown in sorted(set(entry) - _KEYS):
            self._fault(f"unknown key {unknown}")
        if key in self.analytes:
            self._fault("defined twice")
        for needed in ("en", "fr", "specimen"):
            if not entry.get(needed):
                self._fault(f"{needed} is missing")
        low, high = entry.get("implausible", (None, None))
        analyte = Analyte(
            id=key,
            names={"en": entry.get("en", key), "fr": entry.get("fr", key)},
            specimen=entry.get("specimen", ""),
            loinc=tuple(entry.get("loinc", ())),
            unit=entry.get("unit"),
            aliases=tuple(entry.get("aliases", ())),
            molar_mass=entry.get("molar_mass"),
            valence=entry.get("valence"),
            conversions=tuple(
                Linear(one["unit"], float(one["factor"]), float(one.get("offset", 0)), self._source(one, entry))
                for one in entry.get("conversions", ())
            ),
            intervals=tuple(self._usual(one, entry) for one in entry.get("usual", ())),
            critical=tuple(self._critical(one, entry) for one in entry.get("critical", ())),
            implausible_low=low if low is None or low > _NONE else None,
            implausible_high=high,
            delta=tuple(self._delta(one) for one in entry.get("delta", ())),
            abnormal_answers=frozenset(fold(word) for word in entry.get("abnormal", ())),
            normal_answers=frozenset(fold(word) for word in entry.get("normal", ())),
            neither_answers=frozenset(fold(word) for word in entry.get("neither", ())),
            when_present=self._said(entry.get("when_present", "abnormal")),
            when_absent=self._said(entry.get("when_absent", "normal")),
            qualitative_source=self._source({"source": entry["answers_source"]}, entry)
            if "answers_source" in entry
            else None,
            unlisted_abnormal=bool(entry.get("unlisted_abnormal", False)),
            by_fasting=any("fasting" in one for one in entry.get("usual", ())),
            descriptive=bool(entry.get("descriptive", False)),
        )
        self._check(analyte)
        self.analytes[key] = analyte
        self._index(analyte, entry)

    def _said(self, meaning: Any) -> Said:
        if meaning not in ("normal", "abnormal", "descriptive"):
            self._fault("when_present and when_absent are normal, abnormal or descriptive")
        return cast(Said, meaning)

    def _usual(self, one: Mapping[str, Any], entry: Mapping[str, Any]) -> UsualInterval:
        start, end = one.get("age", (_ADULT, _AGES[1]))
        sex = {"f": "female", "m": "male"}.get(one.get("sex", ""))
        trimester = one.get("trimester")
        if trimester not in (None, 1, 2, 3):
            self._fault("trimester must be 1, 2 or 3")
        pregnant = bool(one.get("pregnant", trimester is not None))
        if pregnant:
            start, end, sex = 12.0, 60.0, "female"
        return UsualInterval(
            _number(one.get("low")),
            _number(one.get("high")),
            self._source(one, entry),
            sex=sex,  # type: ignore[arg-type]
            age_min=float(start),
            age_max=float(end),
            pregnant=pregnant,
            trimester=trimester,
            fasting=one.get("fasting"),
        )

    def _critical(self, one: Mapping[str, Any], entry: Mapping[str, Any]) -> CriticalLimit:
        start, end = one.get("age", _AGES)
        return CriticalLimit(
            _number(one.get("low")), _number(one.get("high")), self._source(one, {}), float(start), float(end)
        )

    def _delta(self, one: Mapping[str, Any]) -> DeltaLimit:
        limit, faults = read_limit(one, self._source(one, {}))
        for fault in faults:
            self._fault(fault)
        return limit

    def _source(self, one: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
        key = one.get("source", entry.get("source"))
        if key is None:
            self._fault("a number has no source")
            return ""
        if key not in self.sources:
            self._fault(f"source {key} is not in sources.toml")
            return ""
        return self.sources[key]

    def _check(self, analyte: Analyte) -> None:
        numbers: list[UsualInterval | CriticalLimit] = [*analyte.intervals, *analyte.critical]
        for one in numbers:
            if one.low is None and one.high is None:
                self._fault("an interval without limits")
            elif one.low is not None and one.high is not None and one.low >= one.high:
                self._fault("low is not below high")
            if one.age_min >= one.age_max:
                self._fault("age band is upside down")
        for limit in analyte.critical:
            for usual in analyte.intervals:
                if usual.age_min >= limit.age_max or limit.age_min >= usual.age_max or usual.pregnant:
                    continue
                if limit.low is not None and usual.low is not None and limit.low > usual.low:
                    self._fault("critical low is above usual low")
                if limit.high is not None and usual.high is not None and limit.high < usual.high:
                    self._fault("critical high is below usual high")
        for one in numbers:
            if analyte.implausible_low is not None and one.low is not None and analyte.implausible_low >= one.low:
                self._fault("implausible low is not below the limits")
            if analyte.implausible_high is not None and one.high is not None and analyte.implausible_high <= one.high:
                self._fault("implausible high is not above the limits")
        if (numbers or analyte.delta) and analyte.unit is None:
            self._fault("limits without a unit")
        listed = (analyte.abnormal_answers, analyte.normal_answers, analyte.neither_answers)
        if analyte.judges_answers and analyte.qualitative_source is None:
            self._fault("answers without a source")
        if len(frozenset[str]().union(*listed)) != sum(map(len, listed)):
            self._fault("an answer is both normal and abnormal")
        if analyte.unlisted_abnormal and analyte.qualitative_source is None:
            self._fault("unlisted_abnormal without a source of its answers")
        if analyte.descriptive and (numbers or analyte.abnormal_answers):
            self._fault("descriptive, yet it has limits or answers")

    def _index(self, analyte: Analyte, entry: Mapping[str, Any]) -> None:
        for code in analyte.loinc:
            if not loinc_valid(code):
                self._fault(f"{code} is not a LOINC code")
            if self.by_loinc.setdefault(code, analyte) is not analyte:
                self._fault(f"{code} is also in {self.by_loinc[code].id}")
        group = specimen_group(analyte.specimen)
        kind = "%" if analyte.unit in ("%", "/100{WBC}") else "10*9/L"
        in_unit = entry.get("in_unit", ())
        if in_unit and analyte.unit is None:
            self._fault("in_unit without a unit")
        names: list[str] = []
        if not entry.get("in_specimen") or entry["en"] not in entry["in_specimen"]:
            names += [fold(name) for name in analyte.names.values() if name not in entry.get("in_specimen", ())]
        names += [fold(alias) for alias in analyte.aliases]
        names += [f"{group}|{fold(name)}" for name in entry.get("in_specimen", ())]
        names += [f"{group}|{fold(name)}@{kind}" for name in in_unit]
        for name in names:
            if self.by_name.setdefault(name, analyte) is not analyte:
                self._fault(f"name {name!r} is also in {self.by_name[name].id}")

    def translate(self, path: str, names: Mapping[str, list[str]]) -> None:
        """Lets each other name mean what a catalog's name means, in each of its specimens and units."""
        self._path = path
        for known, others in names.items():
            folded = fold(known)
            meant = [(*_parts(key), found) for key, found in self._keys_of(folded)]
            if not meant:
                self._fault(f"name {folded!r} means nothing")
            for other in others:
                for before, after, found in meant:
                    name = f"{before}{fold(other)}{after}"
                    if self.by_name.setdefault(name, found) is not found:
                        self._fault(f"name {name!r} is also in {self.by_name[name].id}")

    def _keys_of(self, folded: str) -> list[tuple[str, Analyte]]:
        if not self._keys:
            for key, analyte in self.by_name.items():
                self._keys.setdefault(_bare(key), []).append((key, analyte))
        return self._keys.get(folded, [])

    def _fault(self, text: str) -> None:
        self.faults.append(Violation(self._path, text))


_NONE = float("-inf")


def _bare(key: str) -> str:
    """A name without its specimen and its unit: "blood|basophils@%" -> "basophils"."""
    return key.split("|", 1)[-1].split("@", 1)[0]


def _parts(key: str) -> tuple[str, str]:
    """What stands before and after the bare name."""
    before, bar, rest = key.rpartition("|")
    return before + bar, rest[len(_bare(key)) :]


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _citation(entry: Any) -> str:
    """Citation with its address, where there is one."""
    if isinstance(entry, str):
        return entry
    return f"{entry['text']} {entry['url']}" if "url" in entry else str(entry["text"])
