"""Our errors as google.rpc.Status, and back again for the client."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from cds_service.errors import TABLE, mapping
from fhir_adapter.errors import InternalError, LabCueError, Overloaded, Violation

DOMAIN = "labcue.org"
MAX_VIOLATIONS = 50


def to_status(error: LabCueError) -> status_pb2.Status:
    """Status with ErrorInfo, and BadRequest or RetryInfo where they apply. Texts are fixed; nothing of a patient."""
    status = status_pb2.Status(code=code_pb2.Code.Value(mapping(error).grpc), message=str(error))
    _add(status, error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:MAX_VIOLATIONS]:
            bad.field_violations.add(field=violation.path, description=violation.description)
        _add(status, bad)
    if isinstance(error, Overloaded):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after_s * 1000))
        _add(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def _add(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)


def from_status(status: status_pb2.Status) -> LabCueError:
    """The typed error that a Status stands for; an unknown reason gives the root of the tree with its message."""
    kinds = {kind.code: kind for kind in TABLE if kind is not LabCueError}
    kind: type[LabCueError] = LabCueError
    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None
    for packed in status.details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            kind = kinds.get(info.reason, InternalError if info.reason == InternalError.code else LabCueError)
        elif packed.Unpack(bad):
            violations = tuple(Violation(fault.field, fault.description) for fault in bad.field_violations)
        elif packed.Unpack(retry):
            retry_after = retry.retry_delay.ToMilliseconds() / 1000
    if issubclass(kind, Overloaded):
        return kind(status.message, retry_after_s=retry_after if retry_after is not None else 0.5)
    return kind(status.message, violations=violations)


def grpc_code(error: LabCueError) -> grpc.StatusCode:
    """The gRPC status code of an error."""
    return grpc.StatusCode[mapping(error).grpc]
