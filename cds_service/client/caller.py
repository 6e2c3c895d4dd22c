"""What both clients know of a call: where to, by whom, and how it is written on the wire."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from cds_service.client.retry import Attempts, Budget, Retry
from cds_service.domain import FlagsListed
from cds_service.rpc.status import from_status
from cds_service.trust.audience import is_loopback
from fhir_adapter.errors import LabCueError
from labcue.v1 import cds_pb2

Bundle = bytes | str | Mapping[str, Any]
_SELECTION = {
    None: cds_pb2.FLAG_SELECTION_UNSPECIFIED,
    "all": cds_pb2.FLAG_SELECTION_ALL,
    "abnormal": cds_pb2.FLAG_SELECTION_ABNORMAL,
}
Token = Callable[[], str]
"""Makes a token for one try of one call; a service takes each only once."""
_MAX_MESSAGE = 256 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", _MAX_MESSAGE), ("grpc.max_send_message_length", _MAX_MESSAGE)]


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of a client: the CA that signed the server's certificate, and its own certificate for mutual TLS (PEM files)."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        parts = [None if path is None else path.read_bytes() for path in (self.ca, self.key, self.cert)]
        return grpc.ssl_channel_credentials(*parts)


@dataclass(frozen=True, slots=True)
class Caller:
    """How calls are made to ``target``: ``timeout`` (seconds) where a call gives none; ``adapter`` of the service's, to judge by.

    Raises:
        ValueError: a token would cross the network in the clear: no TLS, and the target isn't this machine.
    """

    target: str
    tls: Tls | None
    token: Token | None
    adapter: str | None
    timeout: float
    retry: Retry
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        named = "]" in self.target or self.target.count(":") == 1
        host = self.target.rpartition(":")[0] if named else self.target
        if self.token is not None and self.tls is None and not is_loopback(host):
            raise ValueError("a token needs TLS, unless the service is on this machine: give tls=Tls(…)")
        object.__setattr__(self, "budget", Budget(self.retry))

    def attempts(self, timeout: float | None) -> Attempts:
        """The tries of one call."""
        return Attempts(self.retry, self.budget, self.timeout if timeout is None else timeout)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of one try, with a token of its own."""
        found = [] if self.token is None else [("authorization", f"Bearer {self.token()}")]
        if self.adapter is not None:
            found.append(("labcue-adapter", self.adapter))
        return tuple(found)


def request(
    bundle: Bundle, language: str | None, request_id: str | None, user: str | None, flags: FlagsListed | None = None
) -> cds_pb2.EvaluateRequest:
    data = bundle if isinstance(bundle, bytes) else (bundle if isinstance(bundle, str) else json.dumps(bundle)).encode()
    return cds_pb2.EvaluateRequest(
        bundle=data,
        language=language or "",
        request_id=request_id or str(uuid.uuid4()),
        user=user or "",
        flags=_SELECTION[flags],
    )


def answer(item: cds_pb2.EvaluateStreamResponse) -> cds_pb2.EvaluateResponse | LabCueError:
    return from_status(item.error) if item.WhichOneof("result") == "error" else item.response
