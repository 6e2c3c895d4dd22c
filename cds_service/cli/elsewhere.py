"""`labcue train` and `labcue evaluate`: packages that the service itself never imports (entry points "labcue.commands")."""

from __future__ import annotations

import typer

app = typer.Typer(rich_markup_mode=None)
_THEIR_OWN = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(short_help="Train a model; see labcue train --help.", context_settings=_THEIR_OWN, add_help_option=False)
def train(context: typer.Context) -> None:
    """Fine-tune a Mistral on a dataset, or train a small one."""
    _hand_over("train", context.args)


@app.command(
    short_help="Measure the flags; see labcue evaluate --help.", context_settings=_THEIR_OWN, add_help_option=False
)
def evaluate(context: typer.Context) -> None:
    """Measure the flags that are served against the laboratory's own."""
    _hand_over("evaluate", context.args)


def _hand_over(name: str, arguments: list[str]) -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group="labcue.commands", name=name)
    raise typer.Exit(found.load()(arguments))
