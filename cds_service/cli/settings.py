"""`labcue config`: the effective settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cds_service.cli.options import ConfigFile, Sets, ending, examples

app = typer.Typer(rich_markup_mode=None)


class ConfigForm(StrEnum):
    """Forms of `config`."""

    text = "text"
    json = "json"
    toml = "toml"


@app.command(
    name="config",
    short_help="Print the settings and where each came from.",
    epilog=examples(
        "labcue config",
        "labcue config --format toml > labcue.toml",
        "LABCUE_PORT=6000 labcue config --config labcue.toml --format json",
    ),
)
def config(
    config: ConfigFile = None,
    form: Annotated[ConfigForm, typer.Option("--format", help="toml can be given back to --config.")] = ConfigForm.text,
    sets: Sets = None,
) -> None:
    """Prints the effective settings and where each came from: default, file, variable or command line.

    Nothing secret is printed: keys and certificates are paths, and tokens are masked.
    """
    from cds_service.commands.common import settings_from

    settings, overrides = settings_from(config, sets, {})
    with ending():
        from cds_service.commands import config as command

        print(command.shown(settings, config, overrides, form.value))
