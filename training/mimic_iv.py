"""MIMIC-IV's laboratory events as FHIR R4 bundles, and the laboratory's own flag beside them as the truth.

Reads PhysioNet's layout (a folder with ``hosp/labevents.csv[.gz]``, ``d_labitems``, ``patients``). labevents isn't sorted
by patient in the demo and has over 100 million rows in the full version: rows are first spread over bucket files by
subject, then read one bucket at a time, so that memory stays bounded.

    python -m training.mimic_iv --source DATA/mimic-iv-demo --d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz --out night.ndjson
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, str]
Json = dict[str, Any]
LOINC = "http://loinc.org"
ITEM = "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-d-labitems"
BUCKETS = 256
SMALL = 5_000_000
"""Rows up to this many are grouped in memory; above, bucket files are used."""
_COMPARED = re.compile(r"^\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?)\s*$")
_NUMBER = re.compile(r"^\s*[-+]?\d+(?:\.\d+)?\s*$")
_NO_RESULT = re.compile(
    r"(?i)^(?:unable to|nd\b|not done|not reported|test not|cancel|no sample|quantity not|specimen|error)"
)


@dataclass(frozen=True, slots=True)
class Truth:
    """What the laboratory said of one row: ``abnormal`` its flag, ``interval`` whether it sent one."""

    labevent: str
    item: str
    label: str
    abnormal: bool
    interval: bool
    numeric: bool
    subject: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """One patient (or one part of one): the bundle and the truth by Observation id."""

    subject: str
    bundle: Json
    truth: Mapping[str, Truth]


@dataclass(frozen=True, slots=True)
class Options:
    """How to render. By default no interpretation is written, so that the flag can't leak into what is judged."""

    with_intervals: bool = True
    with_flags: bool = False
    max_observations: int = 2000


def open_csv(path: Path) -> Iterator[Row]:
    """Rows of a .csv or .csv.gz file; column names in lower case."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))
        reader.fieldnames = [name.lower() for name in reader.fieldnames or ()]
        yield from reader


def find_table(source: Path, name: str) -> Path:
    """The file of a table, compressed or not, in ``source`` or its ``hosp``.

    Raises:
        FileNotFoundError: naming what was looked for.
    """
    for folder in (source / "hosp", source):
        for suffix in (".csv.gz", ".csv"):
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise FileNotFoundError(f"no {name}.csv or {name}.csv.gz in {source.name} or its hosp folder")


def loinc_map(d_labitems: Path | None) -> dict[str, str]:
    """itemid → LOINC, from MIMIC-III's D_LABITEMS (the item numbers are the same)."""
    if d_labitems is None:
        return {}
    return {row["itemid"]: row["loinc_code"] for row in open_csv(d_labitems) if row.get("loinc_code")}


def render(source: Path, d_labitems: Path | None = None, options: Options | None = None) -> Iterator[Rendered]:
    """One Rendered per patient, in the order of subject ids; a patient with more results than fit one bundle comes in several,
    split in time."""
    options = options or Options()
    items = {row["itemid"]: row for row in open_csv(find_table(source, "d_labitems"))}
    people = {row["subject_id"]: row for row in open_csv(find_table(source, "patients"))}
    codes = loinc_map(d_labitems)
    for subject, rows in _by_subject(open_csv(find_table(source, "labevents"))):
        rows.sort(key=lambda row: (row["charttime"], row["labevent_id"]))
        for start in range(0, len(rows), options.max_observations):
            part = rows[start : start + options.max_observations]
            yield _bundle(subject, people.get(subject), part, items, codes, options)


def _by_subject(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    kept: dict[str, list[Row]] = defaultdict(list)
    iterator = iter(rows)
    for count, row in enumerate(iterator, start=1):
        kept[row["subject_id"]].append(row)
        if count >= SMALL:
            yield from _spilled(kept, iterator)
            return
    for subject in sorted(kept):
        yield subject, kept[subject]


def _spilled(kept: dict[str, list[Row]], rest: Iterator[Row]) -> Iterator[tuple[str, list[Row]]]:
    with tempfile.TemporaryDirectory(prefix="labcue-mimic-") as folder:
        files = [(Path(folder) / f"{number:03d}.ndjson").open("w+", encoding="utf-8") for number in range(BUCKETS)]
        try:
            for row in (row for rows in (*kept.values(), rest) for row in rows):
                files[int(row["subject_id"]) % BUCKETS].write(json.dumps(row) + "\n")
            kept.clear()
            for file in files:
                file.seek(0)
                groups: dict[str, list[Row]] = defaultdict(list)
                for line in file:
                    row = json.loads(line)
                    groups[row["subject_id"]].append(row)
                for subject in sorted(groups):
                    yield subject, groups[subject]
        finally:
            for file in files:
                file.close()


def _bundle(
    subject: str,
    person: Row | None,
    rows: list[Row],
    items: Mapping[str, Row],
    codes: Mapping[str, str],
    options: Options,
) -> Rendered:
    reference = f"Patient/{subject}"
    entries: list[Json] = []
    if person is not None:
        patient: Json = {"resourceType": "Patient", "id": subject}
        patient["gender"] = {"F": "female", "M": "male"}.get(person["gender"], "unknown")
        # The age at a chart time is anchor_age plus the years since anchor_year; dates are shifted, so the middle of the year.
        patient["birthDate"] = f"{int(person['anchor_year']) - int(person['anchor_age']):04d}"
        entries.append({"fullUrl": f"urn:mimic:{reference}", "resource": patient})
    truth = {}
    for row in rows:
        item = items.get(row["itemid"], {})
        observation = to_observation(row, item, codes.get(row["itemid"]), reference, options)
        entries.append({"fullUrl": f"urn:mimic:Observation/{row['labevent_id']}", "resource": observation})
        truth[row["labevent_id"]] = Truth(
            row["labevent_id"],
            row["itemid"],
            item.get("label", ""),
            row["flag"] == "abnormal",
            bool(row["ref_range_lower"] or row["ref_range_upper"]),
            bool(row["valuenum"]),
            subject,
        )
    return Rendered(subject, {"resourceType": "Bundle", "type": "collection", "entry": entries}, truth)


def to_observation(row: Row, item: Mapping[str, str], loinc: str | None, reference: str, options: Options) -> Json:
    """One labevents row as an R4 Observation."""
    fluid = item.get("fluid", "")
    label = item.get("label") or f"Item {row['itemid']}"
    name = label if fluid in ("", "Blood") or fluid.lower() in label.lower() else f"{label}, {fluid}"
    codings = [{"system": ITEM, "code": row["itemid"], "display": label}]
    if loinc:
        codings.insert(0, {"system": LOINC, "code": loinc})
    observation: Json = {
        "resourceType": "Observation",
        "id": row["labevent_id"],
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {"coding": codings, "text": name},
        "subject": {"reference": reference},
        "effectiveDateTime": row["charttime"].replace(" ", "T") + "Z",
    }
    if row["storetime"]:
        observation["issued"] = row["storetime"].replace(" ", "T") + "Z"
    if fluid:
        observation["specimen"] = {"display": fluid}
    _value(observation, row)
    comment = row["comments"].strip()
    if comment and comment != "___":
        observation.setdefault("note", []).append({"text": comment})
    unit = row["valueuom"].strip()
    if options.with_intervals:
        sides = (("low", row["ref_range_lower"]), ("high", row["ref_range_upper"]))
        limits = {side: _quantity(limit, unit) for side, limit in sides if limit}
        if limits:
            observation["referenceRange"] = [limits]
    if options.with_flags and row["flag"] == "abnormal":
        code = _direction(row)
        system = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
        observation["interpretation"] = [{"coding": [{"system": system, "code": code}]}]
    return observation


def _value(observation: Json, row: Row) -> None:
    value, unit = row["value"].strip(), row["valueuom"].strip()
    if _NUMBER.match(value):
        observation["valueQuantity"] = _quantity(value, unit)
    elif match := _COMPARED.match(value):
        observation["valueQuantity"] = {**_quantity(match[2], unit), "comparator": match[1]}
    elif row["valuenum"]:
        # The text is masked or holds a remark; the number beside it is the result.
        observation["valueQuantity"] = _quantity(row["valuenum"], unit)
        if value and value != "___":
            observation["note"] = [{"text": value}]
    elif value and value != "___":
        observation["valueString"] = value
    else:
        answer = commented_answer(row["comments"])
        if answer is None:
            system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
            masked = "___" in row["comments"]
            observation["dataAbsentReason"] = {
                "coding": [{"system": system, "code": "masked" if masked else "unknown"}]
            }
        elif match := _COMPARED.match(answer):
            observation["valueQuantity"] = {**_quantity(match[2], unit), "comparator": match[1]}
        else:
            observation["valueString"] = answer


def commented_answer(comment: str) -> str | None:
    """The answer that MIMIC keeps in the comment where value is empty: what stands before the first full stop ("<0.01.
    cTropnT > 0.10 suggests ..." is "<0.01"; a trailing "*" marks an abnormal one and is dropped). None where there is none, or
    where it is masked."""
    answer = re.split(r"\.\s|\.$|;", comment.strip(), maxsplit=1)[0].strip().rstrip("*").strip()
    if not answer or "___" in answer or len(answer) > 60 or _NO_RESULT.match(answer):
        return None
    return re.sub(r"^GREATER THAN\s+", ">", re.sub(r"^LESS THAN\s+", "<", answer, flags=re.I), flags=re.I)


def _quantity(number: str, unit: str) -> Json:
    parsed = float(number)
    shown: float | int = int(parsed) if parsed.is_integer() and "." not in number else parsed
    return {"value": shown, "unit": unit} if unit else {"value": shown}


def _direction(row: Row) -> str:
    try:
        number = float(row["valuenum"])
    except ValueError:
        return "A"
    if row["ref_range_lower"] and number < float(row["ref_range_lower"]):
        return "L"
    return "H" if row["ref_range_upper"] and number > float(row["ref_range_upper"]) else "A"


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m training.mimic_iv",
        description="Render MIMIC-IV laboratory events as FHIR R4 bundles, one a line.",
        epilog="Example: python -m training.mimic_iv --source DATA/mimic-iv-demo "
        "--d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz --out mimic.ndjson && labcue check mimic.ndjson",
    )
    parser.add_argument("--source", type=Path, required=True, help="folder that holds hosp/labevents.csv[.gz]")
    parser.add_argument("--d-labitems", type=Path, help="MIMIC-III's D_LABITEMS, for LOINC codes")
    parser.add_argument("--out", type=Path, required=True, help="the .ndjson file to write")
    parser.add_argument("--limit", type=int, help="only the first so many bundles")
    parser.add_argument("--without-intervals", action="store_true", help="leave the laboratory's intervals out")
    parser.add_argument("--with-flags", action="store_true", help="write the laboratory's flag as interpretation")
    given = parser.parse_args(arguments)
    options = Options(with_intervals=not given.without_intervals, with_flags=given.with_flags)
    bundles = results = 0
    try:
        with given.out.open("w", encoding="utf-8") as out:
            for rendered in render(given.source, given.d_labitems, options):
                out.write(json.dumps(rendered.bundle, separators=(",", ":")) + "\n")
                bundles += 1
                results += len(rendered.truth)
                if sys.stderr.isatty():
                    print(f"\r{bundles} bundles, {results} results", end="", file=sys.stderr)
                if given.limit and bundles >= given.limit:
                    break
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\r{bundles} bundles, {results} results → {given.out.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
