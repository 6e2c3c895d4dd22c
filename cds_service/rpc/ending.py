"""How a call ends: one place that turns whatever happened into a status, a span's ending and a metric."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from grpc_status import rpc_status

from cds_service.errors import known
from cds_service.rpc.status import grpc_code, to_status
from cds_service.telemetry.setup import Call
from cds_service.trust.clients import current_client
from fhir_adapter.errors import Cancelled, DeadlineTooShort, LabCueError, Overloaded

T = TypeVar("T")
LAST_MOMENT_S = 0.05
"""A caller that leaves with no more than this left leaves because of its deadline: gRPC rounds a timeout up on its way, so that the caller's
clock runs out first, and its leaving may arrive before the server's does."""


async def guard(call: Call, context: Any, work: Callable[[Call], Awaitable[T]]) -> T:
    """Runs the work of one call and owns its ending.

    Raises:
        grpc.aio.AbortError: after a failure; the caller has its rich status by then.
    """
    client = current_client()
    call.client = client.name if client is not None else None
    try:
        answer = await work(call)
    except asyncio.CancelledError:
        end_cancelled(call, context)
        raise
    except Exception as error:
        failure = known(error)
    else:
        call.end("OK")
        return answer
    # Outside the except block: nothing that a library logs of the abort may be chained to the first error's text.
    return await _abort(call, context, failure)


def end_cancelled(call: Call, context: Any) -> None:
    """The ending of a call whose task was cancelled: its deadline passed, or its caller left before."""
    left = context.time_remaining()
    if left is not None and left <= LAST_MOMENT_S:
        call.end("DEADLINE_EXCEEDED", DeadlineTooShort.code)
    else:
        call.end("CANCELLED", Cancelled.code)


async def _abort(call: Call, context: Any, failure: LabCueError) -> NoReturn:
    call.end(grpc_code(failure).name, failure.code)
    status = rpc_status.to_status(to_status(failure))
    trailing = tuple(status.trailing_metadata)
    if isinstance(failure, Overloaded):
        trailing += (("grpc-retry-pushback-ms", str(int(failure.retry_after_s * 1000))),)
    await context.abort(status.code, status.details, trailing)  # abort_with_status would lose what isn't in the status
    raise AssertionError("abort raises")
