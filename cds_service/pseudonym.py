"""Names for people that don't tell who they are: HMAC-SHA-256 under a key that only the service holds.

Records keep these, never an identifier. Whoever has the key can link records with an identifier they already know; whoever
loses it can't link anything any more.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cds_service.config import Settings
from fhir_adapter.errors import ConfigError, Violation

KEY_BYTES = 32
DIGITS = 32
"""Hex digits of a pseudonym: 128 bits."""
_LOCAL = ("#", "urn:")
"""How a reference begins that names somebody inside one bundle only."""


class Pseudonyms:
    """Makes pseudonyms under one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: str, *parts: str) -> str:
        """The pseudonym of what ``parts`` name together; the same parts of another ``kind`` give another one."""
        message = b"".join(len(part).to_bytes(4, "big") + part for part in (one.encode() for one in (kind, *parts)))
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:DIGITS]

    def patient(self, reference: str | None) -> str | None:
        """The pseudonym of a patient, or None where the reference means nothing outside its bundle."""
        if not reference or reference.startswith(_LOCAL):
            return None
        return self.of("patient", reference)


def load_key(settings: Settings) -> bytes:
    """The key as set; beside a SQLite file one is made on the first start, and in memory each start has its own.

    Raises:
        ConfigError: the file can't be read or holds too little, or PostgreSQL is used without one.
    """
    if settings.pseudonym_key is not None:
        return _read(settings.pseudonym_key)
    if settings.records is None:
        return secrets.token_bytes(KEY_BYTES)
    if settings.records_on_postgresql:
        why = "required with PostgreSQL, the same file for all replicas; make one with: openssl rand -out FILE 32"
        raise ConfigError(violations=(Violation("pseudonym_key", why),))
    beside = Path(settings.records + ".key")
    try:
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(beside)
    except OSError as error:
        raise ConfigError(violations=(Violation("pseudonym_key", f"{beside}: {error.strerror}"),)) from None
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(file, "wb") as out:
        out.write(key)
        out.flush()
        os.fsync(out.fileno())
    return key


def _read(file: Path) -> bytes:
    try:
        key = file.read_bytes()
    except OSError as error:
        raise ConfigError(violations=(Violation("pseudonym_key", f"{file}: {error.strerror}"),)) from None
    if len(key) < KEY_BYTES:
        why = f"{file}: holds {len(key)} bytes, at least {KEY_BYTES} are needed"
        raise ConfigError(violations=(Violation("pseudonym_key", why),))
    return key
