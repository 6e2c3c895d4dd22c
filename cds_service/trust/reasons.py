"""Why a caller was refused: closed words for the log of the service. The caller only learns that it was."""

from __future__ import annotations

from typing import Literal

Reason = Literal[
    "no-credentials",
    "not-bearer",
    "malformed",
    "algorithm",
    "header",
    "claims",
    "unknown-issuer",
    "unknown-jku",
    "unknown-key",
    "keys-unavailable",
    "signature",
    "audience",
    "expired",
    "expires-too-late",
    "issued-in-future",
    "not-yet-valid",
    "replayed",
    "unknown-certificate",
    "unknown-secret",
]


class Refused(Exception):
    """Within ``trust`` alone; the gate turns it into Unauthenticated. ``client`` is a name, where it got so far."""

    def __init__(self, reason: Reason, client: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.client = reason, client
