"""Public keys of clients: what a key set may hold, and key sets that lie in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

PublicKey = ECKey | RSAKey | OKPKey
Keys = Mapping[str, PublicKey]
"""Public keys by ``kid``."""
MAX_KEYS = 100
LEAST_RSA_BITS = 2048
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}


def parse_key_set(data: bytes) -> Keys:
    """The signing keys of a JWK Set (or of a single JWK), by ``kid``.

    What isn't a public signing key with a ``kid`` is passed over, as RFC 7517 asks: a set may hold others' keys too.

    Raises:
        ValueError: it is no key set, holds more than MAX_KEYS, or none that may sign a token. The text is fixed.
    """
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    listed = (
        [found] if isinstance(found, dict) and "kty" in found else found.get("keys") if isinstance(found, dict) else 0
    )
    if not isinstance(listed, list):
        raise ValueError("is no JWK Set")
    if len(listed) > MAX_KEYS:
        raise ValueError(f"holds more than {MAX_KEYS} keys")
    keys: dict[str, PublicKey] = {}
    for one in listed:
        if isinstance(one, dict) and "d" in one:
            raise ValueError("holds a private key; give public keys only")
        key = _public_key(one)
        if key is not None and key.kid is not None:
            keys.setdefault(key.kid, key)
    if not keys:
        raise ValueError(
            f"holds no public signing key with a kid (EC, Ed25519, or RSA of {LEAST_RSA_BITS} bits or more)"
        )
    return keys


def _public_key(data: object) -> PublicKey | None:
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("kid"), str)
        or data.get("kty") not in ("EC", "RSA", "OKP")
    ):
        return None
    if data.get("use", "sig") != "sig":
        return None
    try:
        if data["kty"] == "RSA" and len(data["n"]) * 6 < LEAST_RSA_BITS:
            return None  # before joserfc sees it: it only warns
        key = JWKRegistry.import_key(data)
        if isinstance(key, RSAKey):
            return key if key.public_key.key_size >= LEAST_RSA_BITS else None
        if isinstance(key, ECKey | OKPKey):
            return key if key.public_key is not None and data.get("crv") in _CURVES[key.key_type] else None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return None


def read_key_file(path: Path) -> Keys:
    """The keys of a file: a JWK Set or a single JWK.

    Raises:
        ValueError: it can't be read or holds no keys; the text says which.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    try:
        return parse_key_set(data)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
