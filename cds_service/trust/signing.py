"""The other side of a token: keys for a client of one's own, and the tokens it sends."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from cds_service.trust.token import ALGORITHMS
from fhir_adapter.errors import ConfigError, Violation

PrivateKey = ECKey | RSAKey | OKPKey
_BY_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}


def new_key() -> ECKey:
    """A private key for ES384, with a ``kid``."""
    return ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384"}, private=True, auto_kid=True)


def read_private_key(path: Path) -> PrivateKey:
    """A private key from a JWK file.

    Raises:
        ConfigError: there is none in it that can sign.
    """
    try:
        key = JWKRegistry.import_key(json.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(violations=(Violation("key", f"{path}: {error.strerror}"),)) from None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        key = None
    if not isinstance(key, ECKey | RSAKey | OKPKey) or not key.is_private or key.kid is None:
        raise ConfigError(violations=(Violation("key", f"{path} holds no private JWK with a kid"),))
    return key


def algorithm_of(key: PrivateKey) -> str:
    """The algorithm that a key signs by: the one it names, else the usual one of its kind."""
    if key.alg in ALGORITHMS:
        return str(key.alg)
    return _BY_CURVE.get(str(key.get("crv")), "RS384")


@dataclass(frozen=True, slots=True)
class Signer:
    """Makes a new token at each call: one that was seen is refused. Good as ``token`` of the clients of ``cds_service.client``.

    ``audience`` is the URL called; for gRPC the service's: ``https://host/labcue.v1.LabDecisionSupport``.
    """

    key: PrivateKey
    issuer: str
    audience: str
    tenant: str | None = None
    jku: str | None = None
    life_s: int = 60
    now: Callable[[], float] = time.time

    def __call__(self) -> str:
        issued = int(self.now())
        header: dict[str, Any] = {"typ": "JWT", "alg": algorithm_of(self.key), "kid": self.key.kid}
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "iat": issued,
            "exp": issued + self.life_s,
            "jti": secrets.token_urlsafe(18),
        }
        if self.jku is not None:
            header["jku"] = self.jku
        if self.tenant is not None:
            claims["tenant"] = self.tenant
        return jwt.encode(header, claims, self.key, algorithms=[header["alg"]])
