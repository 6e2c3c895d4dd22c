"""What several commands take, and how each of them ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

GROUP: dict[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
}
"""How every group of commands behaves."""


class Form(StrEnum):
    """Forms of what a command shows."""

    text = "text"
    json = "json"


class Language(StrEnum):
    """Languages of the cards."""

    en = "en"
    fr = "fr"


ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="TOML file of settings.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of `labcue config`; may be given several times."),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", metavar="NAME", help="auto, none (rules alone), onnx, mistral or remote."),
]
ModelPath = Annotated[
    Path | None,
    typer.Option("--model-path", metavar="FOLDER", help="A MistralForCausalLM with tokenizer and manifest."),
]
AdapterPath = Annotated[Path | None, typer.Option("--adapter-path", metavar="FOLDER", help="A LoRA adapter for it.")]
SiteFile = Annotated[
    Path | None, typer.Option("--site", metavar="FILE", help="The site's own intervals, limits and names (TOML).")
]
CardLanguage = Annotated[Language | None, typer.Option("--language", help="Language of the cards.")]
OutputForm = Annotated[Form, typer.Option("--format", help="How to show it.")]


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@contextmanager
def ending() -> Iterator[None]:
    """Ends a command as it should: 78 where what was set or given doesn't hold, 130 after Ctrl-C, 141 where the reader left."""
    from cds_service.commands.common import endings, refuse
    from fhir_adapter.errors import LabCueError

    try:
        with endings():
            yield
    except LabCueError as error:
        refuse(error)


def settings_from(config: Path | None, sets: list[str] | None, **given: Any) -> Any:
    """The effective settings; ends with 78, all faults named, where they don't hold."""
    from cds_service.commands.common import settings_from

    return settings_from(config, sets, given)[0]


def settings_and_again(
    config: Path | None, sets: list[str] | None, **given: Any
) -> tuple[Any, Callable[[], Any] | None]:
    """As :func:`settings_from`, with what reads the file anew; None where there is none: variables and options don't change."""
    from cds_service.commands.common import settings_from
    from cds_service.config import load

    settings, overrides = settings_from(config, sets, given)
    return settings, None if config is None else partial(load, config, **overrides)
