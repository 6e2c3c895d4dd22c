"""`labcue feedback` and `labcue records`: parse, and hand over to ``cds_service.commands``. Imports late, as ``cli``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

feedback_app = typer.Typer(
    name="feedback", help="What clinicians did with cards.", no_args_is_help=True, rich_markup_mode=None
)
records_app = typer.Typer(name="records", help="The database of records.", no_args_is_help=True, rich_markup_mode=None)

dead_app = typer.Typer(
    name="dead-letters",
    help="Events of subscriptions that were given up.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
records_app.add_typer(dead_app)

ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="TOML file of settings.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of `labcue config`; may be given several times."),
]
Where = Annotated[
    str | None, typer.Option("--records", metavar="WHERE", help="SQLite file or postgresql://…; default: the setting.")
]


class ReportForm(StrEnum):
    """Forms of `feedback report`."""

    text = "text"
    json = "json"


class ExportForm(StrEnum):
    """Forms of `feedback export`."""

    training = "training"
    rows = "rows"


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextmanager
def _settings(config: Path | None, sets: list[str] | None, records: str | None) -> Iterator[Any]:
    """The settings; a refusal of them, or of the database, ends with 78."""
    from cds_service.commands.common import endings, refuse, settings_from
    from fhir_adapter.errors import LabCueError

    settings, _ = settings_from(config, sets, {"records": records})
    try:
        with endings():
            yield settings
    except LabCueError as error:
        refuse(error)


@feedback_app.command(
    short_help="Override rate by rule, analyte and model.",
    epilog=_examples(
        "labcue feedback report --records /var/lib/labcue/records.sqlite3",
        "labcue feedback report --days 30 --format json | jq '.analytes[:5]'",
    ),
)
def report(
    records: Where = None,
    days: Annotated[float | None, typer.Option(min=0, help="Only cards sent in the last so many days.")] = None,
    form: Annotated[ReportForm, typer.Option("--format")] = ReportForm.text,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """How many cards were sent, answered and overridden, and why: by rule or pattern, by analyte, by model.

    The last answer to a card counts. A card about several analytes counts for each of them.
    """
    with _settings(config, sets, records) as settings:
        from cds_service.commands import feedback as command

        command.show_report(settings, days, form.value)


@feedback_app.command(
    short_help="Feedback as NDJSON, to train on or to tabulate.",
    epilog=_examples(
        "labcue feedback export --out feedback.ndjson",
        "python -m training.build --out data/june --feedback feedback.ndjson",
        "labcue feedback export --format rows | jq -r '[.rule, .outcome, .reason] | @tsv'",
    ),
)
def export(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to; default: stdout.")] = None,
    form: Annotated[
        ExportForm, typer.Option("--format", help="training: examples for training.build; rows: one line an answer.")
    ] = ExportForm.training,
    comments: Annotated[
        bool, typer.Option("--comments", help="With rows: the clinicians' words too, which may name the patient.")
    ] = False,
    records: Where = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Writes feedback as NDJSON. Patients stand in it as pseudonyms; comments don't, unless asked for.

    Examples hold the prompt as it was served (values, age, sex), so they need keep_prompts=true while the service ran.
    """
    if comments and form is not ExportForm.rows:
        raise typer.BadParameter("goes with --format rows", param_hint="--comments")
    with _settings(config, sets, records) as settings:
        from cds_service.commands import feedback as command
        from cds_service.commands.common import complain

        try:
            command.export(settings, out, form.value, comments)
        except BrokenPipeError:
            raise
        except OSError as error:
            complain(f"labcue: {out}: {error.strerror}")
            raise typer.Exit(1) from None


@records_app.command(
    short_help="Bring the tables up to date.",
    epilog=_examples("labcue records upgrade --records postgresql://labcue@db.example.org/labcue"),
)
def upgrade(records: Where = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """Makes or upgrades the tables. SQLite is upgraded by `labcue serve` itself; PostgreSQL only by this.

    Safe to run twice, and from several places at once.
    """
    with _settings(config, sets, records) as settings:
        from cds_service.commands import records as command

        command.upgrade(settings)


@dead_app.command(
    "list",
    short_help="What was given up, and why.",
    epilog=_examples("labcue records dead-letters list --records /var/lib/labcue/records.sqlite3"),
)
def list_(records: Where = None, config: ConfigFile = None, sets: Sets = None) -> None:
    """One line for each event that could not be judged, or whose judgement could not be sent. Nothing of a patient's."""
    with _settings(config, sets, records) as settings:
        from cds_service.commands import records as command

        command.show_dead_letters(settings)


@dead_app.command(
    short_help="Try again.",
    epilog=_examples(
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
    with _settings(config, sets, records) as settings:
        from cds_service.commands import records as command

        command.retry_dead_letters(settings, None if every else numbers)
