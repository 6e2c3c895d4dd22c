"""Settings put together from defaults, file, variables and command line; and where each came from."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from cds_service.config.settings import Settings
from fhir_adapter.errors import ConfigError, Violation


def load(file: Path | None = None, **overrides: Any) -> Settings:
    """Settings from ``overrides`` (None means not given), the environment and ``file``.

    Raises:
        ConfigError: with one Violation per fault.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if file is not None and not file.is_file():
        raise ConfigError(violations=(Violation("config", f"there is no file {file}"),))

    class FromFile(Settings):
        model_config = SettingsConfigDict(env_prefix="LABCUE_", extra="forbid", frozen=True, toml_file=file)

    try:
        return (Settings if file is None else FromFile)(**given)
    except ValidationError as error:
        raise ConfigError(violations=tuple(_said(fault) for fault in error.errors())) from None
    except (ValueError, OSError) as error:  # a file that isn't TOML or can't be opened
        raise ConfigError(violations=(Violation("config", f"{file} can't be read as TOML: {error}"),)) from None


def unknown(name: str) -> Violation:
    """What to say of a name that no setting has."""
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return Violation(
        name, f"no such setting{f'; is {near[0]} meant?' if near else ''} (`labcue config` shows them all)"
    )


def _said(fault: ErrorDetails) -> Violation:
    """One of pydantic's faults in words for those who set it."""
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return unknown(name)
    said = fault["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return Violation(name or "settings", said)


def origins(settings: Settings, file: Path | None = None, **overrides: Any) -> dict[str, str]:
    """Where each effective setting came from: "command line", "LABCUE_NAME", the file's path or "default"."""
    in_file = tomllib.loads(file.read_text()) if file is not None else {}
    names = {name.upper() for name in os.environ}
    found = {}
    for name in type(settings).model_fields:
        if overrides.get(name) is not None:
            found[name] = "command line"
        elif f"LABCUE_{name.upper()}" in names:
            found[name] = f"LABCUE_{name.upper()}"
        elif name in in_file:
            found[name] = str(file)
        else:
            found[name] = "default"
    return found
