"""`labcue catalog`: what is known of an analyte, and a site's own file. Parses, and hands over; imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cds_service.cli.options import GROUP, Form, OutputForm, ending, examples

app = typer.Typer(name="catalog", help="Look into the catalog of analytes; check or learn a site's own file.", **GROUP)


SiteFile = Annotated[
    Path | None, typer.Option("--site", metavar="FILE", help="A site's file: its intervals and limits stand beside.")
]


@app.command(
    short_help="All that is known of one analyte, with sources.",
    epilog=examples(
        "labcue catalog show 2823-3",
        "labcue catalog show créatinine --format json | jq '.intervals'",
        "labcue catalog show potassium --site site.toml",
    ),
)
def show(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A LOINC code, an id of the catalog, or a name (en, fr).")
    ],
    form: OutputForm = Form.text,
    site: SiteFile = None,
) -> None:
    """Shows one analyte: codes, unit, conversions, usual intervals, critical and implausible limits, answers, each with its source.

    Exit status: 0; 1 nothing goes by that name (near ones are named); 78 the site's file doesn't hold.
    """
    with ending():
        from cds_service.commands import catalog as command

        status = command.show(what, form.value, site)
    raise typer.Exit(status)


@app.command(
    short_help="Find analytes by code, name or alias, in English or French.",
    epilog=examples(
        "labcue catalog search potassium", "labcue catalog search 'globules blancs'", "labcue catalog search phosfate"
    ),
)
def search(
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Part of a name, an alias or a LOINC code; near spellings count.")
    ],
    form: OutputForm = Form.text,
    most: Annotated[int, typer.Option("--limit", min=1, help="Most analytes to list.")] = 15,
) -> None:
    """Lists the analytes that a text may mean, the nearest first. Exit status: 0; 1 none."""
    with ending():
        from cds_service.commands import catalog as command

        status = command.search(text, form.value, most)
    raise typer.Exit(status)


@app.command(
    short_help="Check a site's file.",
    epilog=examples("labcue catalog check my-lab.toml"),
)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML: name, [[interval]], [[critical]], [[alias]].")],
) -> None:
    """Checks a site's file: every fault at once, each with its field; then what it changes, and what to look at.

    Exit status: 0 it holds; 78 it doesn't.
    """
    with ending():
        from cds_service.commands import catalog_check as command

        command.check(file)


@app.command(
    short_help="Learn a site's own intervals, units and names from its results.",
    epilog=examples(
        "labcue catalog learn last-year.ndjson.gz --name 'St Mary' --out site.toml",
        "labcue catalog learn exports/ --out site.toml && labcue check --site site.toml night.ndjson",
    ),
)
def learn(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…", show_default=False, help="As for `labcue check`: files, folders, or - for stdin."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The TOML file to write.")],
    name: Annotated[str, typer.Option("--name", help="What answers call the site.")] = "site",
) -> None:
    """Learns from results that carried them a site's intervals (by code, specimen, method, unit, sex, age and time), its units and
    its names of tests. Conflicts are shown with their counts, never averaged. Streams: the input may be of any length.

    Exit status: 0; 2 nothing could be learnt or written.
    """
    with ending():
        from cds_service.commands import catalog_learn as command

        status = command.learn(paths, out, name)
    raise typer.Exit(status)
