"""The `labcue` command: parses, and hands over to ``cds_service.commands``. Imports late, so that `--help` is instant.

One module for each group of commands; what they share stands in ``options``.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from cds_service.cli import bundles, catalog, clients, demo, elsewhere, feedback, records, serve, settings
from cds_service.cli.options import GROUP

EX_SOFTWARE = 70

app = typer.Typer(
    name="labcue",
    help="""Laboratory results as FHIR in, CDS Hooks cards with anomaly flags out. Not a medical device: a clinician decides.

    Settings come from defaults, then --config FILE (TOML), then LABCUE_* variables, then options; `labcue config` shows
    them all. Exit status 78: the settings don't hold; 70: a fault of LabCue's.

    \b
    To begin:
      labcue demo                judge the examples, show the cards
      labcue check panel.json    judge a bundle of yours
      labcue serve               open the service on this machine""",
    add_completion=False,
    pretty_exceptions_enable=False,
    **GROUP,
)
for module in (serve, bundles, settings, demo, elsewhere, clients, catalog, feedback, records):
    app.add_typer(module.app)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        from importlib import metadata

        print(f"labcue {metadata.version('labcue')}")
        raise typer.Exit


def main() -> None:
    """Entry point. A fault of ours is told by type and place: its text might repeat what a bundle holds."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "●" gets "?", not a crash
    try:
        app()
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "" if trace is None else f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        print(f"labcue: internal error: {type(error).__name__}{where}", file=sys.stderr)
        sys.exit(EX_SOFTWARE)
