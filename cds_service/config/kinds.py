"""Kinds of values that settings have, each with its check and what it says when that fails."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, BeforeValidator, IPvAnyNetwork, SecretStr
from pydantic_settings import NoDecode

from cds_service.trust.audience import normal

POSTGRESQL = "postgresql://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(r"[!-~]+")
_URL = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")


def _split(value: object) -> object:
    """A list as text has commas between: that is how a variable or --set gives one."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses in one spelling, without a slash at the end."""
    found = tuple(normal(url.rstrip("/")) or "" for url in value)
    if not found or not all(found):
        raise ValueError("must be addresses such as https://cds.example.org; there is no wildcard")
    return found


def _origins(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(url.count("/") > 2 for url in value):
        raise ValueError("an origin has no path")
    return value


def _object(value: object) -> object:
    """The command line gives text: {"north": "/models/north"}."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        raise ValueError('must be an object, like {"north": "/models/north"}') from None


def _named(value: dict[str, Path]) -> dict[str, Path]:
    if any(_NAME.fullmatch(name) is None for name in value):
        raise ValueError("names must be letters, digits, dots, hyphens and underscores, at most 64")
    return value


def _url(value: str) -> str:
    if _URL.fullmatch(value) is None:
        raise ValueError("must be http:// or https:// with a host, and without user, query or fragment")
    return value.rstrip("/")


def _records_place(value: str) -> str:
    """A path or a PostgreSQL address; a password in it would stand in every print of the settings."""
    if value.startswith(POSTGRESQL):
        try:
            parts = urlsplit(value)
        except ValueError:
            raise ValueError("is no postgresql:// address") from None
        if parts.password is not None or "password" in parse_qs(parts.query):
            raise ValueError("must hold no password: give it by PGPASSFILE or PGPASSWORD")
        return value
    if "://" in value:
        raise ValueError("must be the path of a SQLite file or begin with postgresql://")
    if not value or value == ":memory:":
        raise ValueError("must be the path of a SQLite file; leave it unset to keep records in memory")
    return value


def _bearer(value: SecretStr) -> SecretStr:
    """Anything else can't be sent in a header; a line end at the end of a token is the usual slip."""
    if _TOKEN.fullmatch(value.get_secret_value()) is None:
        raise ValueError("must be a token as it goes into a header: ASCII, without spaces and line ends")
    return value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)]
Addresses = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_addresses)]
Origins = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_addresses), AfterValidator(_origins)
]
Adapters = Annotated[dict[str, Path], BeforeValidator(_object), AfterValidator(_named)]
Url = Annotated[str, AfterValidator(_url)]
BearerToken = Annotated[SecretStr, AfterValidator(_bearer)]
RecordsPlace = Annotated[str, AfterValidator(_records_place)]
