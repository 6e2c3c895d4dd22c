"""Tokens: what is read of one, and what has to be true of it. The signature first, then what it says.

CDS Hooks 2.0, "Trusting CDS Clients": a JWT in ``Authorization: Bearer``, header alg, kid, typ, jku; payload iss, aud,
exp, iat, jti, tenant.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jws import CompactSignature, JWSRegistry

from cds_service.trust.audience import Audience
from cds_service.trust.keys import PublicKey
from cds_service.trust.reasons import Refused

ALGORITHMS = frozenset({"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "EdDSA", "Ed25519"})
"""Asymmetric all of them: neither ``none`` nor a secret that both sides know can sign a token."""
MAX_BYTES = 8192
MAX_JTI = 256


class _Registry(JWSRegistry):
    """joserfc's, with our algorithms alone, and room for a long ``jku`` in the header."""

    max_header_length = 2048
    max_payload_length = MAX_BYTES

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was read and not yet believed."""

    kid: str
    jku: str | None
    issuer: str
    tenant: str | None
    claims: dict[str, Any]
    _signed: CompactSignature

    def check_signature(self, key: PublicKey) -> None:
        """Raises Refused unless ``key`` has signed it, by an algorithm that key is for."""
        try:
            good = jws.validate_compact(self._signed, key, registry=_REGISTRY)
        except Exception:  # whatever a forged token makes of the arithmetic, it is not signed
            good = False
        if not good:
            raise Refused("signature")

    def check_claims(self, audience: Audience, now: float, *, leeway_s: float, life_s: float) -> None:
        """Raises Refused unless it is meant for ``audience`` and for ``now`` (Unix time, seconds).

        ``leeway_s`` is how far the clocks may differ, ``life_s`` how far ahead a token may expire.
        """
        if not audience.includes(self.claims.get("aud")):
            raise Refused("audience")
        expires, issued, begins = self.expires, self._time("iat"), self.claims.get("nbf")
        if expires + leeway_s <= now:
            raise Refused("expired")
        if expires > now + life_s + leeway_s:
            raise Refused("expires-too-late")
        if issued > now + leeway_s:
            raise Refused("issued-in-future")
        if begins is not None and self._time("nbf") > now + leeway_s:
            raise Refused("not-yet-valid")
        if not isinstance(self.jti, str) or not 0 < len(self.jti) <= MAX_JTI:
            raise Refused("claims")

    @property
    def expires(self) -> float:
        """``exp``, Unix time."""
        return self._time("exp")

    @property
    def jti(self) -> str:
        """``jti``; a string once the claims were checked."""
        found: str = self.claims.get("jti", "")
        return found

    def _time(self, claim: str) -> float:
        value = self.claims.get(claim)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refused("claims")
        try:
            seconds = float(value)
        except OverflowError:
            raise Refused("claims") from None
        if not math.isfinite(seconds):
            raise Refused("claims")
        return seconds


def read_token(compact: str) -> Token:
    """What a compact JWT says of itself; nothing of it is believed yet.

    Raises:
        Refused: it can't be read, or its header or issuer isn't what CDS Hooks asks for.
    """
    if len(compact) > MAX_BYTES:
        raise Refused("malformed")
    try:
        signed = jws.extract_compact(compact.encode("ascii"), registry=_REGISTRY)
        header, claims = signed.headers(), json.loads(signed.payload)
    except Exception:  # base64, UTF-8, JSON, nesting, sizes: garbage comes in every form
        raise Refused("malformed") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Refused("malformed")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Refused("algorithm")
    kid, kind, jku = header.get("kid"), header.get("typ"), header.get("jku")
    right = isinstance(kid, str) and isinstance(kind, str) and kind.upper() == "JWT" and "crit" not in header
    if not right or not (jku is None or isinstance(jku, str)):
        raise Refused("header")
    issuer, tenant = claims.get("iss"), claims.get("tenant")
    if not isinstance(issuer, str) or not (tenant is None or isinstance(tenant, str)):
        raise Refused("claims")
    return Token(str(kid), jku, issuer, tenant, claims, signed)
