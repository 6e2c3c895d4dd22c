"""The typed error of a failed call, rebuilt from its status."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from cds_service.rpc.status import from_status
from fhir_adapter.errors import (
    Cancelled,
    DeadlineTooShort,
    Draining,
    InternalError,
    InvalidInput,
    LabCueError,
    LimitExceeded,
    Overloaded,
)


def typed(error: grpc.RpcError) -> LabCueError:
    """The typed error of a failed call."""
    try:
        status = rpc_status.from_call(error)
    except (ValueError, DecodeError):  # details that aren't ours
        status = None
    if status is not None:
        return from_status(status)
    code = error.code()
    known: dict[grpc.StatusCode, type[LabCueError]] = {
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineTooShort,
        grpc.StatusCode.CANCELLED: Cancelled,
        grpc.StatusCode.UNAVAILABLE: Draining,
        grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
        grpc.StatusCode.INTERNAL: InternalError,
    }
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return LimitExceeded() if "message larger" in (error.details() or "") else Overloaded()
    if code == grpc.StatusCode.UNAVAILABLE:
        return Draining("The service can't be reached.")
    return known.get(code, LabCueError)()


def pushback(error: grpc.RpcError) -> float | None:
    """Seconds that the server's ``grpc-retry-pushback-ms`` asks for; negative: don't come back. None where it's absent."""
    trailing: Any = error.trailing_metadata() or ()
    for key, value in trailing:
        if key == "grpc-retry-pushback-ms":
            try:
                return int(value) / 1000
            except ValueError:
                return -1.0
    return None
