"""What may leave as an attribute: names of the allowlist, with values that look like words of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from cds_service import words
from cds_service.domain import Code, FlagSource
from cds_service.hooks.services import SERVICES
from cds_service.pipeline import STEPS
from cds_service.telemetry import names
from fhir_adapter.errors import DEGRADED_REASONS, NOT_ASSESSED_CODES

Attribute = str | int | float | bool
MAX_VALUE = 120
_WORD = re.compile(rf"[A-Za-z][A-Za-z0-9_./:@+-]{{0,{MAX_VALUE - 1}}}")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "_OTHER"})
_ROUTE = re.compile(rf"/[A-Za-z0-9_./{{}}:-]{{0,{MAX_VALUE - 1}}}")
"""A template of a route ("/cds-services/{id}"); the door gives no path of a request here."""

CLOSED: dict[str, frozenset[str]] = {
    names.RPC_SYSTEM: frozenset({"grpc"}),
    names.HTTP_METHOD: METHODS,
    names.HOOK: frozenset(service.hook for service in SERVICES),
    names.STEP: frozenset(STEPS),
    names.CODE: frozenset(get_args(Code)),
    names.SOURCE: frozenset(get_args(FlagSource)),
    names.REASON: frozenset(NOT_ASSESSED_CODES),
    names.DEGRADED_REASON: frozenset(DEGRADED_REASONS.values()),
    names.LANGUAGE: frozenset(words.LANGUAGES),
}
"""Attributes whose values are members of a closed set."""
COUNTS = frozenset({names.OBSERVATIONS, names.FLAGS, names.CARDS, names.HTTP_STATUS})
"""Attributes that hold how many there are of something, or a status."""


def allowed(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    """The attributes that may leave; the others are dropped, never cut or masked."""
    return {name: value for name, value in attributes.items() if _may_leave(name, value)}


def _may_leave(name: str, value: Attribute) -> bool:
    if name not in names.ALLOWED:
        return False
    if name in CLOSED:
        return value in CLOSED[name]
    if name in COUNTS:
        return type(value) is int
    if name == names.DEGRADED:
        return type(value) is bool
    if name == names.HTTP_ROUTE:
        return isinstance(value, str) and _ROUTE.fullmatch(value) is not None
    return isinstance(value, str) and _WORD.fullmatch(value) is not None
