"""Settings put together from defaults, file, variables and command line; and where each came from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
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
        faults = tuple(
            Violation(".".join(str(part) for part in fault["loc"]) or "settings", fault["msg"])
            for fault in error.errors()
        )
        raise ConfigError(violations=faults) from None
    except ValueError as error:  # a TOML file that isn't one
        raise ConfigError(violations=(Violation("config", str(error)),)) from None


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
