"""`labcue feedback`: what clinicians did with cards, as a report and as data."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
from rich.table import Table

from cds_service.config import Settings
from cds_service.markdown import plain
from cds_service.records import export as exports
from cds_service.records.database import Database, open_existing
from cds_service.records.report import Line, Report, report
from cds_service.show import console

ROWS = 25
"""Most analytes in the text; JSON has all."""


def show_report(settings: Settings, days: float | None, form: Literal["text", "json"]) -> None:
    """Prints the report.

    Raises:
        ConfigError: there are no records to read.
    """
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    database = open_existing(settings)
    try:
        with database.reading() as connection:
            found = report(connection, since)
    finally:
        database.close()
    if form == "json":
        print(orjson.dumps(as_json(found), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(found)


def as_json(found: Report) -> dict[str, Any]:
    """The report as JSON; rates are between 0 and 1, null where no card was answered."""

    def line(one: Line) -> dict[str, Any]:
        return {
            "name": one.name,
            "sent": one.sent,
            "answered": one.answered,
            "accepted": one.accepted,
            "overridden": one.overridden,
            "overrideRate": one.override_rate,
            "reasons": dict(one.reasons),
        }

    return {
        "all": line(found.all),
        "unmatched": found.unmatched,
        "rules": [line(one) for one in found.rules],
        "analytes": [line(one) for one in found.analytes],
        "models": [line(one) for one in found.models],
    }


def _print(found: Report) -> None:
    out = console()
    whole = found.all
    out.print(
        f"{whole.sent:,} cards sent, {whole.answered:,} answered: {whole.accepted:,} accepted, "
        f"{whole.overridden:,} overridden ({_rate(whole)})"
    )
    if found.unmatched:
        out.print(f"{found.unmatched:,} answers to cards that aren't known here")
    for title, lines in (("Rule or pattern", found.rules), ("Analyte", found.analytes), ("Model", found.models)):
        if not lines:
            continue
        table = Table(pad_edge=False, show_edge=False, box=None, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column(title, min_width=23, overflow="fold")
        for name in ("sent", "answered", "overridden", "rate"):
            table.add_column(name, justify="right")
        table.add_column("reasons", min_width=22, overflow="fold")
        for one in lines[:ROWS]:
            reasons = "\n".join(f"{plain(reason, 40)} {count}" for reason, count in list(one.reasons.items())[:3])
            counts = (one.sent, one.answered, one.overridden)
            table.add_row(plain(one.name, 80), *(f"{count:,}" for count in counts), _rate(one), reasons)
        out.print()
        out.print(table)
        if len(lines) > ROWS:
            out.print(f"…and {len(lines) - ROWS} more (--format json has all)")


def _rate(one: Line) -> str:
    return "-" if one.override_rate is None else f"{one.override_rate:.0%}"


def export(settings: Settings, out: Path | None, form: Literal["training", "rows"], comments: bool) -> None:
    """Writes NDJSON to ``out`` (stdout where None), and says on stderr what it holds. A file appears whole or not at all.

    Raises:
        ConfigError: there are no records to read.
        OSError: the file can't be written.
    """
    database = open_existing(settings)
    tally = exports.Tally()
    try:
        written = _write(out, _lines(database, form, comments, tally))
    finally:
        database.close()
    if form == "rows":
        print(f"{written:,} entries", file=sys.stderr)
        return
    print(f"{tally.examples:,} examples with {tally.labels:,} labels", file=sys.stderr)
    if tally.without_prompt:
        print(
            f"{tally.without_prompt:,} answered flags can't train: their prompt was not kept; "
            "set keep_prompts=true where the service runs",
            file=sys.stderr,
        )
    if tally.contradictory:
        print(f"{tally.contradictory:,} results were answered both ways and left out", file=sys.stderr)


def _lines(database: Database, form: str, comments: bool, tally: exports.Tally) -> Iterator[bytes]:
    with database.reading() as connection:
        if form == "training":
            yield from exports.training(connection, tally)
        else:
            yield from exports.rows(connection, with_comments=comments)


def _write(out: Path | None, lines: Iterator[bytes]) -> int:
    count = 0
    if out is None:
        for line in lines:
            count += sys.stdout.buffer.write(line) > 0
        return count
    unfinished = out.with_name(out.name + ".unfinished")
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "wb") as stream:
        for line in lines:
            count += stream.write(line) > 0
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(unfinished, out)
    return count
