"""A site's file: TOML that a laboratory can read and correct. All faults are named at once."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from fhir_adapter import catalog as catalogs
from fhir_adapter import units
from fhir_adapter.errors import ConfigError, Violation
from fhir_adapter.site.model import BOTH, Site, SiteAlias, SiteCritical, SiteDelta, SiteInterval

_HEAD = """\
# A site's own intervals, critical limits and names of tests. Correct what is wrong: the file is used as it stands.
# An interval with count and seen was learnt: count results carried it, out of seen; others says what the rest carried.
"""
_TESTS = ("local ", "loinc ", "analyte ", "name ")
_KINDS: dict[str, type[msgspec.Struct]] = {
    "interval": SiteInterval,
    "critical": SiteCritical,
    "delta": SiteDelta,
    "alias": SiteAlias,
}


def write_site(site: Site, file: Path) -> None:
    """Writes the profile as TOML."""
    lines = [_HEAD + f"name = {_value(site.name)}"]
    for kind, entries in (
        ("interval", [one for group in site.intervals.values() for one in group]),
        ("critical", [one for group in site.critical.values() for one in group]),
        ("delta", [one for group in site.deltas.values() for one in group]),
        ("alias", list(site.aliases.values())),
    ):
        for one in entries:
            lines.append(f"\n[[{kind}]]")
            for name, value in _fields(one):
                lines.append(f"{name} = {_value(value)}")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _fields(one: msgspec.Struct) -> list[tuple[str, Any]]:
    info = msgspec.structs.fields(type(one))
    return [
        (field.encode_name, value)
        for field in info
        if (value := getattr(one, field.name)) != field.default and value is not None
    ]


def _value(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def read_site(file: Path) -> Site:
    """Reads a profile.

    Raises:
        ConfigError: it can't be read or isn't TOML; else one Violation per fault: a field that is missing, unknown or of the
            wrong type, crossed limits or ages, a unit that isn't known, an entry given twice.
    """
    try:
        text = file.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError:
        raise _refuse(file, [("", "can't be read")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _refuse(file, [("", f"is not TOML ({error})")]) from None
    faults: list[tuple[str, str]] = []
    name = data.get("name")
    if not isinstance(name, str) or not name.strip():
        faults.append(("name", "the site's name is missing"))
    faults += [(key, "unknown field") for key in sorted(set(data) - {"name", *_KINDS})]
    read = {kind: _entries(data.get(kind, []), kind, faults) for kind in _KINDS}
    _check_intervals(read["interval"], faults)
    _check_critical(read["critical"], faults)
    _check_deltas(read["delta"], faults)
    _check_aliases(read["alias"], faults)
    if faults:
        raise _refuse(file, faults)
    intervals: dict[tuple[str, str], tuple[SiteInterval, ...]] = {}
    for _, one in read["interval"]:
        key = (one.test, one.unit)
        intervals[key] = (*intervals.get(key, ()), one)
    critical: dict[str, tuple[SiteCritical, ...]] = {}
    for _, limit in read["critical"]:
        critical[limit.test] = (*critical.get(limit.test, ()), limit)
    aliases = {alias.test: alias for _, alias in read["alias"]}
    deltas: dict[str, tuple[SiteDelta, ...]] = {}
    for _, delta in read["delta"]:
        deltas[delta.test] = (*deltas.get(delta.test, ()), delta)
    version = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Site(str(name), intervals, critical, aliases, version, deltas)


def _entries(raw: Any, kind: str, faults: list[tuple[str, str]]) -> list[tuple[str, Any]]:
    if not isinstance(raw, list):
        faults.append((kind, f"must be [[{kind}]] tables"))
        return []
    found = []
    for number, entry in enumerate(raw):
        path = f"{kind}[{number}]"
        try:
            one = msgspec.convert(entry, _KINDS[kind], strict=False)
        except msgspec.ValidationError as error:
            said = str(error).replace(" - at `$`", "")
            faults.append((path, said))
            continue
        test: str = getattr(one, "test", "")
        if not test.startswith(_TESTS) or not test.split(" ", 1)[1].strip():
            faults.append((f"{path}.test", 'must be "local SYSTEM|CODE", "loinc CODE", "analyte ID" or "name NAME"'))
        found.append((path, one))
    return found


def _check_intervals(entries: Sequence[tuple[str, SiteInterval]], faults: list[tuple[str, str]]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for path, one in entries:
        _check_limits(path, one, faults)
        if one.sex not in (BOTH, "female", "male"):
            faults.append((f"{path}.sex", "sex must be female, male or both"))
        if one.since is not None and one.until is not None and one.since > one.until:
            faults.append((path, "since is after until"))
        key = (one.test, one.unit, one.sex, one.age_from, one.age_to, one.since, one.until, one.specimen, one.method)
        first = seen.setdefault((*key, one.companions), path)
        if first != path:
            faults.append((path, f"repeats {first}: same test, unit and conditions"))


def _check_critical(entries: Sequence[tuple[str, SiteCritical]], faults: list[tuple[str, str]]) -> None:
    seen: dict[tuple[object, ...], str] = {}
    for path, one in entries:
        _check_limits(path, one, faults)
        if units.normalize_unit(one.unit) is None:
            faults.append((f"{path}.unit", "is not a known unit"))
        first = seen.setdefault((one.test, one.unit, one.age_from, one.age_to), path)
        if first != path:
            faults.append((path, f"repeats {first}: same test, unit and ages"))


def _check_deltas(entries: Sequence[tuple[str, SiteDelta]], faults: list[tuple[str, str]]) -> None:
    seen: dict[SiteDelta, str] = {}
    for path, one in entries:
        limit, wrong = one.read("")
        faults += [(path, fault) for fault in wrong]
        if limit.in_steps and units.normalize_unit(one.unit) is None:
            faults.append((f"{path}.unit", "is not a known unit"))
        first = seen.setdefault(one, path)
        if first != path:
            faults.append((path, f"repeats {first}"))


def _check_limits(path: str, one: SiteInterval | SiteCritical, faults: list[tuple[str, str]]) -> None:
    if one.low is None and one.high is None:
        faults.append((path, "has neither low nor high"))
    elif one.low is not None and one.high is not None and one.low > one.high:
        faults.append((path, "low is above high"))
    if one.age_from is not None and one.age_to is not None and one.age_from >= one.age_to:
        faults.append((path, "age_from is not below age_to"))


def _check_aliases(entries: Sequence[tuple[str, SiteAlias]], faults: list[tuple[str, str]]) -> None:
    seen: dict[str, str] = {}
    known = catalogs.load().analytes
    for path, one in entries:
        if one.analyte not in known:
            faults.append((f"{path}.analyte", f"{one.analyte!r} is not in the catalog"))
        if one.unit is not None and units.normalize_unit(one.unit) is None:
            faults.append((f"{path}.unit", "is not a known unit"))
        first = seen.setdefault(one.test, path)
        if first != path:
            faults.append((path, f"repeats {first}: one name means one analyte"))


def _refuse(file: Path, faults: Sequence[tuple[str, str]]) -> ConfigError:
    violations = tuple(Violation(f"site {path}".strip(), f"{file}: {why}") for path, why in faults)
    first = ": ".join(part for part in faults[0] if part)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return ConfigError(f"{file}: {first}{more}", violations=violations)
