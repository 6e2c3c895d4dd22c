"""MIMIC's tables as PhysioNet lays them out: finding them, reading them, and grouping labevents by patient.

labevents isn't sorted by patient in the demo and has over 100 million rows in the full version. Small tables are grouped
in memory; larger ones are first spread over bucket files by patient and read back one bucket at a time, so that memory
stays that of the largest bucket and the disk holds one copy of the columns that matter.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

Row = dict[str, str]
Report = Callable[[int, int], None]
"""Called now and then with the bytes read so far and the bytes there are."""

COLUMNS = (
    "labevent_id",
    "subject_id",
    "specimen_id",
    "itemid",
    "charttime",
    "storetime",
    "value",
    "valuenum",
    "valueuom",
    "ref_range_lower",
    "ref_range_upper",
    "flag",
    "comments",
)
"""The columns of labevents that are kept."""

IN_MEMORY = 500_000
"""Rows grouped in memory, about 0.6 KiB each; a larger table goes through bucket files."""

BUCKETS = 240
"""Bucket files, open together: below the 256 that some systems allow. 120 million rows make half a million each."""

_SUBJECT = COLUMNS.index("subject_id")
_REPORT_EVERY = 20_000


class SourceError(Exception):
    """The source isn't MIMIC's layout: a table or a column is missing, or a file is damaged. Names files, never values."""


def find_table(source: Path, name: str) -> Path:
    """The file of a table, compressed or not, in ``source`` or its ``hosp``.

    Raises:
        SourceError: naming what was looked for.
    """
    for folder in (source / "hosp", source):
        for suffix in (".csv.gz", ".csv"):
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise SourceError(f"no {name}.csv or {name}.csv.gz in {source.name or source} or its hosp folder")


def read_table(path: Path, columns: Sequence[str] = ()) -> Iterator[Row]:
    """Rows of a .csv or .csv.gz file, column names in lower case.

    Raises:
        SourceError: ``columns`` are missing, or the file is damaged.
    """
    for header, values in _records(path, columns, None):
        yield dict(zip(header, values, strict=False))


def by_subject(
    path: Path, scratch: Path | None = None, report: Report | None = None
) -> Iterator[tuple[str, list[Row]]]:
    """(subject_id, rows of labevents) for each patient, in the order of subject ids; past IN_MEMORY rows in that order
    inside each bucket. ``scratch`` is where bucket files go (default: the system's temporary folder).

    Raises:
        SourceError: columns are missing, or the file is damaged.
    """
    records = _labevents(path, report)
    kept: dict[str, list[tuple[str, ...]]] = {}
    for count, values in enumerate(records, start=1):
        kept.setdefault(values[_SUBJECT], []).append(values)
        if count >= IN_MEMORY:
            yield from _through_buckets(kept, records, scratch)
            return
    yield from _in_order(kept)


def _labevents(path: Path, report: Report | None) -> Iterator[tuple[str, ...]]:
    """The columns that matter. Values that repeat by the thousand are kept once."""
    places: list[int] = []
    repeated = {COLUMNS.index(name) for name in COLUMNS} - {COLUMNS.index("labevent_id"), COLUMNS.index("comments")}
    intern = sys.intern
    for header, values in _records(path, COLUMNS, report):
        if not places:
            places = [header.index(name) for name in COLUMNS]
        yield tuple(intern(values[place]) if index in repeated else values[place] for index, place in enumerate(places))


def _records(path: Path, columns: Sequence[str], report: Report | None) -> Iterator[tuple[list[str], list[str]]]:
    """(header, values) of each row; the header is one list for all."""
    size = path.stat().st_size
    with path.open("rb") as raw, ExitStack() as opened:
        stream = opened.enter_context(gzip.open(raw)) if path.suffix == ".gz" else raw
        lines = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        reader = csv.reader(lines)
        try:
            header = [name.strip().lower() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                raise SourceError(f"{path.name} has no column {', '.join(missing)}: is it MIMIC-IV's?")
            for number, values in enumerate(reader, start=1):
                if len(values) < len(header):
                    if not values:
                        continue
                    raise SourceError(f"{path.name}: row {number} is cut short")
                yield header, values
                if report is not None and number % _REPORT_EVERY == 0:
                    report(raw.tell(), size)
        except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{path.name} is damaged or not what its name says ({type(error).__name__})") from None
        if report is not None:
            report(size, size)


def _through_buckets(
    kept: dict[str, list[tuple[str, ...]]], rest: Iterator[tuple[str, ...]], scratch: Path | None
) -> Iterator[tuple[str, list[Row]]]:
    with tempfile.TemporaryDirectory(prefix="labcue-mimic-", dir=scratch) as folder, ExitStack() as opened:
        files = [
            opened.enter_context((Path(folder) / f"{number:03d}.csv").open("w+", encoding="utf-8", newline=""))
            for number in range(BUCKETS)
        ]
        writers = [csv.writer(file) for file in files]
        while kept:
            subject, rows = kept.popitem()
            writers[_bucket(subject)].writerows(rows)
        for values in rest:
            writers[_bucket(values[_SUBJECT])].writerow(values)
        for file in files:
            file.seek(0)
            groups: dict[str, list[tuple[str, ...]]] = {}
            for row in csv.reader(file):
                groups.setdefault(row[_SUBJECT], []).append(tuple(map(sys.intern, row)))
            yield from _in_order(groups)
            file.truncate(0)


def _bucket(subject: str) -> int:
    return zlib.crc32(subject.encode()) % BUCKETS


def _in_order(groups: dict[str, list[tuple[str, ...]]]) -> Iterator[tuple[str, list[Row]]]:
    for subject in sorted(groups):
        yield subject, [dict(zip(COLUMNS, values, strict=True)) for values in groups.pop(subject)]
