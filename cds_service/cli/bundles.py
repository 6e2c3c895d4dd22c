"""`labcue check` and `labcue explain`: bundles judged without a server."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cds_service.cli.options import (
    AdapterPath,
    CardLanguage,
    ConfigFile,
    Engine,
    Form,
    ModelPath,
    OutputForm,
    Sets,
    SiteFile,
    ending,
    examples,
    settings_from,
)

app = typer.Typer(rich_markup_mode=None)


class CheckForm(StrEnum):
    """Forms of `check`."""

    text = "text"
    json = "json"
    ndjson = "ndjson"


@app.command(
    short_help="Judge bundles without a server.",
    epilog=examples(
        "labcue check panel.json",
        "labcue check night.ndjson --format ndjson > answers.ndjson",
        "labcue check exports/ --language fr --jobs 4",
        "cat panel.json | labcue check - --format json | jq '.[].response.cards[].summary'",
        "labcue check night.ndjson:17        # its line 17 alone",
        "labcue check --site site.toml night.ndjson",
    ),
)
def check(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…",
            show_default=False,
            help="JSON or NDJSON files (.gz too), folders (recursive: *.json, *.ndjson, *.jsonl), or - for stdin.",
        ),
    ],
    form: Annotated[
        CheckForm,
        typer.Option("--format", help="ndjson: one response a line for each bundle, in order, and nothing else."),
    ] = CheckForm.text,
    language: CardLanguage = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 whatever was found or could not be read.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that judge; the order stays.")] = 1,
    site: SiteFile = None,
    engine: Engine = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Judges bundles without a server. What can't be read is said on stderr with file and line; the rest goes on.

    \b
    Exit status, the first that holds over all bundles:
      2   something critical (never hidden by a reading problem)
      3   something could not be assessed or read (no such file, too)
      1   something abnormal
      0   none of these, or --exit-zero
    A wrong option also ends with 2, before anything is read; settings that
    don't hold with 78; Ctrl-C with 130; a reader that stops early with 141.
    """
    settings = settings_from(config, sets, engine=engine, model_path=model_path, adapter_path=adapter_path, site=site)
    with ending():
        from cds_service.build import build_pipeline
        from cds_service.commands import check as command

        status = command.run(settings, build_pipeline(settings), paths, form.value, language, jobs)
    raise typer.Exit(0 if exit_zero else status)


@app.command(
    short_help="Show the way of one bundle, step by step.",
    epilog=examples(
        "labcue explain panel.json",
        "labcue explain night.ndjson:17",
        "labcue explain - --format json < panel.json | jq .rules",
    ),
)
def explain(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A JSON file, FILE.ndjson:LINE, or - for stdin.")],
    form: OutputForm = Form.text,
    language: CardLanguage = None,
    site: SiteFile = None,
    engine: Engine = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Shows the way of one bundle: what was read, how it was normalized, the exact prompt, every rule and its source.

    Prints what the bundle holds of the patient's results: mind where it goes.

    Exit status: 0; 3 the bundle can't be read, or the file holds several (name one as FILE:LINE).
    """
    settings = settings_from(config, sets, engine=engine, model_path=model_path, adapter_path=adapter_path, site=site)
    with ending():
        from cds_service.commands import explain as command

        status = command.run(settings, bundle, form.value, language)
    raise typer.Exit(status)
