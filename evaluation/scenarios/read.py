"""Reads vignettes and renders them as FHIR bundles."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from fhir_adapter.catalog import Catalog

FOLDER = Path(__file__).parent
BLIND = FOLDER / "blind"
"""Those written without sight of the criteria: judged apart, so that their first run stays a measure."""
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
"""When the newest results of every vignette were taken."""
_JSON = msgspec.json.Encoder(decimal_format="number")
"""Writes numbers with the digits that the vignette gives: a pH of 7.10 stays one."""
_AGE = re.compile(r"(\d+(?:\.\d+)?)(?: (d|h|mo))?")
_PREGNANT = re.compile(r" pregnant(?: (\d+) wk)?\Z")
_RESULT = re.compile(
    r"""(?:(?P<id>[a-z0-9-]+)|"(?P<name>[^"]+)")\s+
        (?:=\s*(?P<words>[^@\[]+?)
          |(?P<comparator>[<>]=?)?(?P<number>-?\d+(?:\.\d+)?)(?:\s+(?P<unit>\[pH\]|[^\s@\[][^\s@]*))?)
        (?:\s*\[(?P<range>[^\]]*)\])?
        (?:\s*@(?P<hours>-?\d+(?:\.\d+)?))?""",
    re.VERBOSE,
)
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)?\s*-\s*(\d+(?:\.\d+)?)?")


class ScenarioError(Exception):
    """A vignette that can't be read: names file, vignette and what is wrong."""


class _Written(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    says: str
    source: str
    patient: str
    results: tuple[str, ...]
    hard: bool = False
    notes: dict[str, str] = {}
    must_flag: tuple[str, ...] = ()
    must_not_flag: tuple[str, ...] = ()
    must_be_critical: tuple[str, ...] = ()
    must_not_be_critical: tuple[str, ...] = ()
    must_name: tuple[str, ...] = ()
    must_not_name: tuple[str, ...] = ()
    must_not_assess: tuple[str, ...] = ()
    must_tell_step: tuple[str, ...] = ()
    must_not_tell_step: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One vignette. ``says``: the specialist's words. ``expected``: kind of expectation → analyte or pattern ids. ``hard``: one on which
    simple rules are known to stumble."""

    name: str
    group: str
    says: str
    source: str
    hard: bool
    bundle: bytes
    expected: Mapping[str, tuple[str, ...]]


def load(catalog: Catalog, folder: Path = FOLDER) -> tuple[Scenario, ...]:
    """All vignettes of a folder's TOML files, by file and order.

    Raises:
        ScenarioError: one can't be read, or a name stands twice.
    """
    found: dict[str, Scenario] = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ScenarioError(f"{file.name}: {error}") from None
        for name, table in tables.items():
            if name in found:
                raise ScenarioError(f"{file.name}: {name}: stands twice")
            try:
                found[name] = _scenario(name, file.stem, msgspec.convert(table, _Written), catalog)
            except (msgspec.ValidationError, ValueError, KeyError) as error:
                raise ScenarioError(f"{file.name}: {name}: {error}") from None
    return tuple(found.values())


def _scenario(name: str, group: str, written: _Written, catalog: Catalog) -> Scenario:
    fields = (
        "flag",
        "not_flag",
        "be_critical",
        "not_be_critical",
        "name",
        "not_name",
        "not_assess",
        "tell_step",
        "not_tell_step",
    )
    expected = {f"must_{field}": getattr(written, f"must_{field}") for field in fields}
    if not any(expected.values()):
        raise ValueError("expects nothing")
    return Scenario(
        name=name,
        group=group,
        says=written.says,
        source=written.source,
        hard=written.hard,
        bundle=render(written.patient, written.results, written.notes, catalog),
        expected={kind: ids for kind, ids in expected.items() if ids},
    )


def render(patient: str, results: Sequence[str], notes: Mapping[str, str], catalog: Catalog) -> bytes:
    """A collection bundle (R4) of the patient and one Observation for each line."""
    person, pregnant, week = _patient(patient)
    entries: list[dict[str, Any]] = [{"resource": person}]
    if pregnant:
        entries.append({"resource": _pregnancy()})
    if week is not None:
        entries.append({"resource": _gestation(week)})
    entries += [
        {"resource": _observation(number, line, notes, catalog)} for number, line in enumerate(results, start=1)
    ]
    return _JSON.encode({"resourceType": "Bundle", "type": "collection", "entry": entries})


def _patient(text: str) -> tuple[dict[str, Any], bool, int | None]:
    """The Patient, whether pregnant, and the completed week where it is written."""
    sex, _, rest = text.partition(" ")
    state = _PREGNANT.search(rest)
    if state is not None:
        rest = rest[: state.start()]
    written = _AGE.fullmatch(rest)
    if sex not in ("male", "female", "unknown") or written is None:
        raise ValueError(f"patient: {text!r} isn't sex and age")
    number, unit = float(written[1]), written[2]
    days = {None: 365.2425, "mo": 30.44, "d": 1.0, "h": 1 / 24}[unit] * number
    born = NOW - timedelta(days=days)
    resource: dict[str, Any] = {
        "resourceType": "Patient",
        "id": "p",
        "gender": sex,
        "birthDate": born.date().isoformat(),
    }
    if unit == "h":
        extension = {"url": "http://hl7.org/fhir/StructureDefinition/patient-birthTime", "valueDateTime": _when(born)}
        resource["_birthDate"] = {"extension": [extension]}
    return resource, state is not None, int(state[1]) if state is not None and state[1] else None


def _gestation(week: int) -> dict[str, Any]:
    context = {name: value for name, value in _pregnancy().items() if name != "valueCodeableConcept"}
    return context | {
        "id": "gestation",
        "code": {"coding": [{"system": "http://loinc.org", "code": "18185-9"}]},
        "valueQuantity": {"value": week, "unit": "wk", "system": "http://unitsofmeasure.org", "code": "wk"},
    }


def _pregnancy() -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "pregnancy",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "82810-3"}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": _when(NOW),
        "valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": "77386006"}]},
    }


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _observation(number: int, line: str, notes: Mapping[str, str], catalog: Catalog) -> dict[str, Any]:
    written = _RESULT.fullmatch(line.strip())
    if written is None:
        raise ValueError(f"result: {line!r} can't be read")
    code: dict[str, Any] = {"text": written["name"]}
    if (id := written["id"]) is not None:
        if id not in catalog.analytes:
            raise ValueError(f"result: {id} isn't in the catalog")
        analyte = catalog.analytes[id]
        coding = [{"system": "http://loinc.org", "code": analyte.loinc[0]}] if analyte.loinc else []
        code = {"text": analyte.name(), **({"coding": coding} if coding else {})}
    made: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"{id or 'other'}-{number}",
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": code,
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": _when(NOW + timedelta(hours=float(written["hours"] or 0))),
    }
    if written["words"] is not None:
        made["valueString"] = written["words"].strip()
        if written["range"]:
            made["referenceRange"] = [{"text": written["range"]}]
    else:
        unit = {"unit": written["unit"]} if written["unit"] else {}
        made["valueQuantity"] = {"value": Decimal(written["number"]), **unit}
        if written["comparator"]:
            made["valueQuantity"]["comparator"] = written["comparator"]
        if written["range"]:
            made["referenceRange"] = [_range(written["range"], unit)]
    if id in notes:
        made["note"] = [{"text": notes[id]}]
    return made


def _range(text: str, unit: Mapping[str, str]) -> dict[str, Any]:
    written = _RANGE.fullmatch(text)
    if written is None or not (written[1] or written[2]):
        raise ValueError(f"interval: {text!r} isn't low-high")
    ends = zip(("low", "high"), written.groups(), strict=True)
    return {name: {"value": Decimal(end), **unit} for name, end in ends if end is not None}
