"""What the commands share: settings from the command line, refusals, and quiet endings."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer

from cds_service import config
from cds_service.config import Settings
from cds_service.markdown import plain
from fhir_adapter.errors import ConfigError, LabCueError, Violation

EX_CONFIG = 78
EX_INTERRUPTED = 130
EX_PIPE = 141


def settings_from(
    file: Path | None, sets: Sequence[str] | None, given: dict[str, Any]
) -> tuple[Settings, dict[str, Any]]:
    """The effective settings, and those that the command line gives; ends with 78, all faults named, where they don't hold."""
    overrides = {name: value for name, value in given.items() if value is not None}
    faults = []
    for pair in sets or ():
        name, equals, value = pair.partition("=")
        if name not in Settings.model_fields:
            faults.append(config.unknown(name))
        elif not equals:
            faults.append(Violation(name, f"write {name}=VALUE"))
        else:
            overrides[name] = value
    try:
        found = config.load(file, **overrides)
    except ConfigError as error:
        refuse(ConfigError(violations=(*faults, *error.violations)))
    if faults:
        refuse(ConfigError(violations=tuple(faults)))
    return found, overrides


def refuse(error: LabCueError) -> NoReturn:
    """Says what is wrong with the settings, one fault a line, and ends with 78."""
    complain(f"labcue: {error}", error.violations)
    raise typer.Exit(EX_CONFIG) from None


def complain(line: str, violations: Sequence[Violation] = ()) -> None:
    """An error on stderr, safe for a terminal: one line, then one for each violation that says more."""
    print(plain(line, 2000), file=sys.stderr)
    for fault in violations:
        if fault.description in line:
            continue
        print(f"  {plain(fault.path, 500)}: {plain(fault.description, 500)}", file=sys.stderr)


@contextmanager
def endings() -> Iterator[None]:
    """A reader that stops early (`| head`) ends a command quietly with 141, Ctrl-C with 130: neither may look like an answer."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EX_PIPE) from None
    except KeyboardInterrupt:
        raise typer.Exit(EX_INTERRUPTED) from None
