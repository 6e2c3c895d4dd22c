"""`labcue records`: the database of cards, feedback and notifications."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from cds_service.cli.options import GROUP, ConfigFile, Sets, ending, examples, settings_from

app = typer.Typer(name="records", help="The database of records: its tables, and what was given up.", **GROUP)
dead_app = typer.Typer(
    name="dead-letters", help="Notified results that were given up: list them, try them again.", **GROUP
)
app.add_typer(dead_app)

Where = Annotated[
    str | None, typer.Option("--records", metavar="WHERE", help="SQLite file or postgresql://…; default: the setting.")
]


@contextmanager
def records_settings(config: Path | None, sets: list[str] | None, records: str | None) -> Iterator[Any]:
    """The settings; a refusal of them, or of the database, ends with 78."""
    settings = settings_from(config, sets, records=records)
    with ending():
        yield settings


@app.command(
    short_help="Bring the tables up to date.",
    epilog=examples("labcue records upgrade --records postgresql://labcue@db.example.org/labcue"),
)
def upgrade(records: Where = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Makes or upgrades the tables. SQLite is upgraded by `labcue serve` itself; PostgreSQL only by this.

    Safe to run twice, and from several places at once.
    """
    with records_settings(config, sets, records) as settings:
        from cds_service.commands import records as command

        command.upgrade(settings)


@app.command(
    short_help="What is remembered of an answer.",
    epilog=examples("labcue records show 0b6c2f1f5c7d4c0f9a7e8d3b2a1c0d9e --records /var/lib/labcue/records.sqlite3"),
)
def show(
    audit: Annotated[str, typer.Argument(metavar="ID", help="The answer's auditId.")],
    records: Where = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """When, for whom (as pseudonyms), by which versions, with which cards, and what was done with them. No value, no name."""
    with records_settings(config, sets, records) as settings:
        from cds_service.commands import records as command

        command.show_answer(settings, audit)


@dead_app.command(
    "list",
    short_help="What was given up, and why.",
    epilog=examples("labcue records dead-letters list --records /var/lib/labcue/records.sqlite3"),
)
def list_(records: Where = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """One line for each event that could not be judged, or whose judgement could not be sent. Nothing of a patient's."""
    with records_settings(config, sets, records) as settings:
        from cds_service.commands import records as command

        command.show_dead_letters(settings)


@dead_app.command(
    short_help="Try again.",
    epilog=examples(
        "labcue records dead-letters retry 3 4 --records /var/lib/labcue/records.sqlite3",
        "labcue records dead-letters retry --all --records /var/lib/labcue/records.sqlite3",
    ),
)
def retry(
    numbers: Annotated[list[int] | None, typer.Argument(metavar="NUMBER...", help="As `list` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    records: Where = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Makes dead letters due again, with all their tries; a running service takes them up within 15 seconds."""
    if bool(numbers) == every:
        raise typer.BadParameter("give numbers, or --all", param_hint="NUMBER...")
    with records_settings(config, sets, records) as settings:
        from cds_service.commands import records as command

        command.retry_dead_letters(settings, None if every else numbers)
