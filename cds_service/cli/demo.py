"""`labcue demo`: the service and the example bundles."""

from __future__ import annotations

from typing import Annotated

import typer

from cds_service.cli.options import (
    AdapterPath,
    CardLanguage,
    ConfigFile,
    Engine,
    ModelPath,
    Sets,
    ending,
    examples,
    settings_from,
)

app = typer.Typer(rich_markup_mode=None)


@app.command(
    short_help="Start the service, send it the examples, show the cards.",
    epilog=examples("labcue demo", "labcue demo --only aki --language fr", "labcue demo --plain | less"),
)
def demo(
    only: Annotated[str | None, typer.Option(metavar="NAME", help="Only examples with this in their name.")] = None,
    language: CardLanguage = None,
    plain: Annotated[bool, typer.Option("--plain", help="No colour.")] = False,
    engine: Engine = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Starts the service on a free port, sends the shipped example bundles over gRPC, prints the cards, and ends.

    The people in the examples are invented. Exit status: 0 every bundle was answered; 1 not.
    """
    settings = settings_from(config, sets, engine=engine, model_path=model_path, adapter_path=adapter_path)
    with ending():
        from cds_service.commands import demo as command

        status = command.run(settings, only=only, language=language, plain=plain)
    raise typer.Exit(status)
