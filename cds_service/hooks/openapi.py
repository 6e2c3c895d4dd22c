"""The OpenAPI document of the door, from the JSON Schemas that lie beside it as files."""

from __future__ import annotations

from importlib import resources
from typing import Any

import orjson

NAMES = ("discovery", "request", "response", "feedback", "feedback-answer", "notification", "outcome", "status")
SUBSCRIPTION = "/fhir/subscription"


def schema(name: str) -> dict[str, Any]:
    """One of NAMES as a JSON Schema (2020-12)."""
    found: dict[str, Any] = orjson.loads(_file(name))
    return found


def document(version: str, *, subscriptions: bool = True) -> dict[str, Any]:
    """OpenAPI 3.1; each schema under ``components``, its inner references led there. ``subscriptions``: whether notifications
    are taken; an address that isn't there isn't described."""
    found: dict[str, Any] = orjson.loads(_file("openapi"))
    found["info"]["version"] = version
    if not subscriptions:
        del found["paths"][SUBSCRIPTION]
    for name in NAMES:
        text = _file(name).replace(b'"#/$defs/', f'"#/components/schemas/{name}/$defs/'.encode())
        found["components"]["schemas"][name] = orjson.loads(text)
    return found


def _file(name: str) -> bytes:
    return (resources.files("cds_service.hooks") / "schemas" / f"{name}.json").read_bytes()
