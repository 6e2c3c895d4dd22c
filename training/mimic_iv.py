"""MIMIC-IV's laboratory events as FHIR R4 bundles, and the laboratory's own flag beside them as the truth.

Reads PhysioNet's layout (a folder with ``hosp/labevents.csv[.gz]``, ``d_labitems``, ``patients``) in bounded memory:

    python -m training.mimic_iv --source DATA/mimic-iv-demo --d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz --out mimic.ndjson

In code, ``render(source, d_labitems, Options(...))`` yields one :class:`Rendered` at a time: the bundle, and the truth by
Observation id. docs/data.md describes what becomes of each column.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, cast

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from training.mimic_observation import Json, Options, Truth, commented_answer, to_observation, truth_of
from training.mimic_tables import Report, Row, SourceError, by_subject, find_table, read_table

__all__ = (
    "Options",
    "Rendered",
    "SourceError",
    "Truth",
    "commented_answer",
    "encode",
    "loinc_map",
    "render",
    "to_observation",
)

_GENDERS = {"F": "female", "M": "male"}
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One patient, one part of one, or one specimen: the bundle and the truth by Observation id.

    ``name`` is unique in a run and fit for a file name: the subject, and the part or specimen where there are several.
    """

    subject: str
    bundle: Json
    truth: Mapping[str, Truth]
    name: str = ""


def encode(bundle: Json) -> bytes:
    """A rendered bundle as JSON on one line, numbers with the digits that the laboratory wrote ("5.60" stays 5.60)."""
    return _encoder.encode(bundle)


def loinc_map(d_labitems: Path | None) -> dict[str, str]:
    """itemid → LOINC, from MIMIC-III's D_LABITEMS (the item numbers are the same)."""
    if d_labitems is None:
        return {}
    if not d_labitems.is_file():
        raise SourceError(f"there is no file {d_labitems.name}")
    rows = read_table(d_labitems, ("itemid", "loinc_code"))
    return {row["itemid"]: row["loinc_code"] for row in rows if row["loinc_code"]}


def render(
    source: Path,
    d_labitems: Path | None = None,
    options: Options | None = None,
    *,
    scratch: Path | None = None,
    report: Report | None = None,
) -> Generator[Rendered, None, None]:
    """One Rendered per patient (several where there are more results than fit one bundle, split in time) or per specimen.

    Subjects come in order (with more than ``mimic_tables.IN_MEMORY`` rows: in order inside each bucket), their results by
    chart time. ``scratch`` holds the bucket files, ``report`` hears of the bytes read.

    Raises:
        SourceError: a table or a column is missing, or a file is damaged.
    """
    options = options or Options()
    items = {row["itemid"]: row for row in read_table(find_table(source, "d_labitems"), ("itemid", "label", "fluid"))}
    wanted = ("subject_id", "gender", "anchor_age", "anchor_year")
    people = {row["subject_id"]: row for row in read_table(find_table(source, "patients"), wanted)}
    codes = loinc_map(d_labitems)
    for subject, rows in by_subject(find_table(source, "labevents"), scratch, report):
        rows.sort(key=lambda row: (row["charttime"], row["specimen_id"], row["labevent_id"].zfill(12)))
        patient = _patient(subject, people.get(subject))
        for name, part in _parts(subject, rows, options):
            yield _bundle(name, subject, patient, part, items, codes, options)


def _parts(subject: str, rows: list[Row], options: Options) -> Iterator[tuple[str, list[Row]]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        key = (row["charttime"], row["specimen_id"]) if options.per_specimen else ("", "")
        groups.setdefault(key, []).append(row)
    parts = [
        group[start : start + options.max_observations]
        for group in groups.values()
        for start in range(0, len(group), options.max_observations)
    ]
    width = len(str(len(parts)))
    for number, part in enumerate(parts, start=1):
        yield (subject if len(parts) == 1 else f"{subject}-{number:0{width}d}"), part


def _patient(subject: str, person: Row | None) -> Json:
    """The Patient. Dates are shifted; born on the first of January of anchor_year - anchor_age, the age at a chart time is
    anchor_age plus the years since anchor_year. 91 stands for all older than 89."""
    patient: Json = {"resourceType": "Patient", "id": subject}
    if person is not None:
        patient["gender"] = _GENDERS.get(person["gender"], "unknown")
        if person["anchor_year"].isdigit() and person["anchor_age"].isdigit():
            patient["birthDate"] = f"{int(person['anchor_year']) - int(person['anchor_age']):04d}-01-01"
    return patient


def _bundle(
    name: str,
    subject: str,
    patient: Json,
    rows: Iterable[Row],
    items: Mapping[str, Row],
    codes: Mapping[str, str],
    options: Options,
) -> Rendered:
    reference = f"Patient/{subject}"
    entries: list[Json] = [{"fullUrl": f"urn:mimic:{reference}", "resource": patient}]
    truth = {}
    for row in rows:
        item = items.get(row["itemid"], {})
        observation = to_observation(row, item, codes.get(row["itemid"]), reference, options)
        entries.append({"fullUrl": f"urn:mimic:Observation/{row['labevent_id']}", "resource": observation})
        truth[row["labevent_id"]] = truth_of(row, item)
    return Rendered(subject, {"resourceType": "Bundle", "type": "collection", "entry": entries}, truth, name)


def write(
    rendered: Iterable[Rendered], out: Path, truth: Path | None = None, wrote: Callable[[int, int], None] | None = None
) -> tuple[int, int]:
    """Writes bundles to ``out``: lines of a .ndjson or .ndjson.gz file, or one .json file each in a folder. ``truth`` is a
    .csv or .csv.gz with one row per Observation. ``wrote`` hears of the bundles and results so far.

    Returns:
        How many bundles and results were written.
    """
    bundles = results = 0
    with ExitStack() as opened:
        lines = _open(out, opened) if out.name.endswith((".ndjson", ".ndjson.gz")) else None
        if lines is None:
            out.mkdir(parents=True, exist_ok=True)
        table = None
        if truth is not None:
            text = opened.enter_context(io.TextIOWrapper(_open(truth, opened), encoding="utf-8", newline=""))
            table = csv.writer(text, lineterminator="\n")
            table.writerow(field.name for field in fields(Truth))
        for one in rendered:
            data = encode(one.bundle)
            if lines is None:
                (out / f"{one.name}.json").write_bytes(data)
            else:
                lines.write(data + b"\n")
            if table is not None:
                table.writerows(_row(row) for row in one.truth.values())
            bundles += 1
            results += len(one.truth)
            if wrote is not None:
                wrote(bundles, results)
    return bundles, results


def _row(truth: Truth) -> tuple[object, ...]:
    values = (getattr(truth, field.name) for field in fields(Truth))
    return tuple(int(value) if isinstance(value, bool) else value for value in values)


def _open(path: Path, opened: ExitStack) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        return cast("IO[bytes]", opened.enter_context(gzip.open(path, "wb", compresslevel=6)))
    return opened.enter_context(path.open("wb"))


def add_source(parser: argparse.ArgumentParser) -> None:
    """The arguments that say where MIMIC lies."""
    parser.add_argument("--source", type=Path, required=True, help="folder that holds hosp/labevents.csv[.gz]")
    parser.add_argument("--d-labitems", type=Path, help="MIMIC-III's D_LABITEMS.csv[.gz], for LOINC codes")
    parser.add_argument("--scratch", type=Path, help="folder for bucket files of a large source (default: temporary)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N bundles")


def limited(rendered: Iterator[Rendered], limit: int | None) -> Iterator[Rendered]:
    """The first ``limit`` of them, or all."""
    for number, one in enumerate(rendered):
        if limit is not None and number >= limit:
            return
        yield one


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 2 where the source can't be read."""
    parser = argparse.ArgumentParser(
        prog="python -m training.mimic_iv",
        description="Render MIMIC-IV laboratory events as FHIR R4 bundles.",
        epilog="""examples:
  python -m training.mimic_iv --source DATA/mimic-iv-demo --d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz --out mimic.ndjson
  labcue check --format ndjson --exit-zero mimic.ndjson > answers.ndjson
  python -m training.mimic_iv --source DATA/mimiciv/3.1 --split-per specimen --with-flags --out train.ndjson.gz --truth truth.csv.gz
  python -m training.mimic_iv --source DATA/mimic-iv-demo --without-intervals --limit 10 --out bundles/""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_source(parser)
    parser.add_argument("--out", type=Path, required=True, help="a .ndjson[.gz] file (a bundle a line), or a folder")
    parser.add_argument("--truth", type=Path, help="also write the laboratory's flag of each row to this .csv[.gz]")
    parser.add_argument("--split-per", choices=("patient", "specimen"), default="patient", help="one bundle for each")
    parser.add_argument("--without-intervals", action="store_true", help="leave the laboratory's intervals out")
    parser.add_argument("--with-flags", action="store_true", help="write the laboratory's flag as interpretation")
    given = parser.parse_args(arguments)
    if given.limit is not None and given.limit < 1:
        parser.error("--limit must be 1 or more")
    options = Options(
        with_intervals=not given.without_intervals,
        with_flags=given.with_flags,
        per_specimen=given.split_per == "specimen",
    )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        reading, writing = progress.add_task("reading"), progress.add_task("writing", total=None)
        try:
            rendered = render(
                given.source,
                given.d_labitems,
                options,
                scratch=given.scratch,
                report=lambda done, total: progress.update(reading, completed=done, total=total),
            )
            with closing(rendered):
                bundles, results = write(
                    limited(rendered, given.limit),
                    given.out,
                    given.truth,
                    lambda bundles, results: progress.update(
                        writing, description=f"writing: {bundles:,} bundles, {results:,} results"
                    ),
                )
        except (SourceError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            print(f"error: {said}", file=sys.stderr)
            return 2
    print(f"{bundles:,} bundles, {results:,} results → {given.out.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
