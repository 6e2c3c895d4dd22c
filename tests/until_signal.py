"""The service as `labcue serve` runs it, in the test's own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from cds_service.config import Settings
from cds_service.serving import Running, serve


@asynccontextmanager
async def until_signal(settings: Settings, pipeline: Any) -> AsyncIterator[tuple[Running, asyncio.Task[None]]]:
    """Serves with its signal handlers, and gives the task that ends after a signal.

    It is over when the block is, however that ends: a gRPC server that is left behind outlives its event loop, and takes
    the whole test run with it some tests later (segmentation fault).
    """
    up: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, pipeline, ready=up.set_result))
    try:
        await asyncio.wait({up, task}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield await asyncio.wait_for(up, 1), task
    finally:
        task.cancel()  # not by a signal: where none is waited for, that would end the test run
        with suppress(asyncio.CancelledError):
            await task
