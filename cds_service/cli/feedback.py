"""`labcue feedback`: what clinicians did with cards."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cds_service.cli.options import GROUP, ConfigFile, Form, OutputForm, Sets, examples
from cds_service.cli.records import Where, records_settings

app = typer.Typer(
    name="feedback", help="What clinicians did with cards: rates of overriding, and data to train on.", **GROUP
)


class ExportForm(StrEnum):
    """Forms of `feedback export`."""

    training = "training"
    rows = "rows"


@app.command(
    short_help="Override rate by rule, analyte and model.",
    epilog=examples(
        "labcue feedback report --records /var/lib/labcue/records.sqlite3",
        "labcue feedback report --records records.sqlite3 --days 30 --format json | jq '.analytes[:5]'",
    ),
)
def report(
    records: Where = None,
    days: Annotated[float | None, typer.Option(min=0, help="Only cards sent in the last so many days.")] = None,
    form: OutputForm = Form.text,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """How many cards were sent, answered and overridden, and why: by rule or pattern, by analyte, by model.

    The last answer to a card counts. A card about several analytes counts for each of them.
    """
    with records_settings(config, sets, records) as settings:
        from cds_service.commands import feedback as command

        command.show_report(settings, days, form.value)


@app.command(
    short_help="Feedback as NDJSON, to train on or to tabulate.",
    epilog=examples(
        "labcue feedback export --records records.sqlite3 --out feedback.ndjson",
        "python -m training.build --out data/june --feedback feedback.ndjson",
        "labcue feedback export --records records.sqlite3 --format rows | jq -r '[.rule, .outcome, .reason] | @tsv'",
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
    with records_settings(config, sets, records) as settings:
        from cds_service.commands import feedback as command
        from cds_service.commands.common import complain

        try:
            command.export(settings, out, form.value, comments)
        except BrokenPipeError:
            raise
        except OSError as error:
            complain(f"labcue: {out}: {error.strerror}")
            raise typer.Exit(1) from None
