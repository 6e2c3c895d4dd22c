"""`labcue config`: the effective settings, and where each came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from cds_service.config import Settings, origins

Format = Literal["text", "json", "toml"]


def shown(settings: Settings, file: Path | None, overrides: dict[str, Any], form: Format) -> str:
    """The settings as text. TOML can be given back to ``--config``: what is secret isn't in it."""
    found = origins(settings, file, **overrides)
    values = settings.model_dump(mode="json")
    if form == "json":
        return json.dumps({name: {"value": values[name], "from": found[name]} for name in values}, indent=2)
    if form == "toml":
        # A mask given back would be taken for the secret itself.
        secret = {name for name in values if isinstance(getattr(settings, name), SecretStr)}
        lines = (
            (f"# {name} =" if name in secret else _toml(name, value), found[name]) for name, value in values.items()
        )
        return "\n".join(f"{line:40} # {origin}" for line, origin in lines)
    width = max(len(name) for name in values)
    room = max(len(_plain(value)) for value in values.values())
    return "\n".join(f"{name:{width}}  {_plain(value):{room}}  {found[name]}" for name, value in values.items())


def _plain(value: object) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml(name: str, value: object) -> str:
    """One line; a JSON string, number or boolean is a TOML one as well."""
    if isinstance(value, dict):
        inside = ", ".join(f"{json.dumps(key)} = {json.dumps(one, ensure_ascii=False)}" for key, one in value.items())
        return f"{name} = {{ {inside} }}" if inside else f"{name} = {{}}"
    return f"# {name} =" if value is None else f"{name} = {json.dumps(value, ensure_ascii=False)}"
