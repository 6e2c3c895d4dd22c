"""The service: one process, one event loop, one backend, and the doors that are set, begun and ended together."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from cds_service.backend import Backend, opened, warm_up
from cds_service.config import Settings
from cds_service.evaluator import Evaluates
from cds_service.listening import check_host
from cds_service.reloading import Reloads
from cds_service.telemetry.setup import Telemetry
from cds_service.trust.exposure import check_exposure
from cds_service.trust.gate import clients_of

log = logging.getLogger(__name__)
HEALTH_S = 1.0
"""How often the model's health is looked at."""


@dataclass(slots=True)
class Running:
    """A service that serves: its ports (None where a door is off), and how to end it: not ready, a pause, then no new
    work while what runs ends, then the doors close."""

    port: int | None
    http_port: int | None
    backend: Backend
    drain: Callable[[], Awaitable[None]]
    reloads: Reloads


@asynccontextmanager
async def running(
    settings: Settings,
    pipeline: Evaluates | None = None,
    *,
    telemetry: Telemetry | None = None,
    again: Callable[[], Settings] | None = None,
) -> AsyncIterator[Running]:
    """The doors of ``settings.doors`` for the length of the block; ready once warm, drained at the end.

    ``again`` puts the settings together anew, for the few that may change while it serves.

    Raises:
        ConfigError: a port or certificate doesn't hold, or it would be open to others without protection.
    """
    check_host(settings)
    check_exposure(settings)
    async with AsyncExitStack() as ending:
        backend = await ending.enter_async_context(opened(settings, pipeline, telemetry=telemetry))
        grpc_door = http_door = None
        if settings.doors != "http":
            from cds_service.rpc.server import GrpcDoor

            grpc_door = await GrpcDoor.bound(backend)
        if settings.doors != "grpc":
            from cds_service.hooks.server import HttpDoor

            http_door = HttpDoor.bound(backend)
            ending.callback(http_door.unbind)
        doors = [door for door in (grpc_door, http_door) if door is not None]

        async def drain_once() -> None:
            backend.ready = False
            for door in doors:
                await door.not_ready()
            if settings.drain_pause_s:
                await asyncio.sleep(settings.drain_pause_s)
            # A door that stops answers new calls in ways that nobody tries elsewhere: so first refuse them as Draining.
            until = time.monotonic() + settings.drain_grace_s
            await backend.evaluator.finish(settings.drain_grace_s)
            await asyncio.gather(*(door.stop(max(0.0, until - time.monotonic())) for door in doors))

        begun: list[asyncio.Task[None]] = []

        async def drain() -> None:
            if not begun:
                begun.append(asyncio.create_task(drain_once()))
            await asyncio.shield(begun[0])

        for door in doors:
            await door.start()
        ending.push_async_callback(drain)
        await asyncio.to_thread(warm_up, backend.pipeline)
        backend.ready = True
        for door in doors:
            await door.ready()
        watching = asyncio.create_task(_watch(backend, doors))
        ending.push_async_callback(_ended, watching)
        yield Running(
            grpc_door.port if grpc_door is not None else None,
            http_door.port if http_door is not None else None,
            backend,
            drain,
            _reloads(backend, doors, again),
        )


class _Door(Protocol):
    name: str

    def reload(self) -> None: ...

    async def ready(self) -> None: ...

    async def not_well(self) -> None: ...


async def _watch(backend: Backend, doors: Sequence[_Door]) -> None:
    """Health follows the model's. Calls are answered either way, by rules where need be: it is the orchestrator that shall send
    them elsewhere, and restart this process."""
    well = True
    while True:
        await asyncio.sleep(HEALTH_S)
        if backend.evaluator.draining:
            return
        now = bool(getattr(backend.pipeline, "healthy", True))
        if now is well:
            continue
        well = now
        if well:
            log.warning("the model answers again")
        else:
            log.error("the model stopped or hangs: not ready, rules answer")
        backend.ready = well
        for door in doors:
            await (door.ready() if well else door.not_well())


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _reloads(backend: Backend, doors: Sequence[_Door], again: Callable[[], Settings] | None) -> Reloads:
    """All that lies in files and may change while the service runs."""
    settings, gate = backend.settings, backend.gate
    parts: dict[str, Callable[[], object]] = {}
    if settings.adapters:
        parts["adapters"] = getattr(backend.pipeline, "reload", list)

    def clients() -> None:
        found = clients_of(settings)
        if gate is not None and found is not None:
            gate.replace(found)

    if gate is not None:
        parts["clients"] = clients
    if settings.fhir_ca is not None:
        parts["authorities of the FHIR servers"] = backend.authorities.reload
    if backend.receiver is not None and again is not None:
        tokens = backend.receiver.tokens
        parts["tokens of subscriptions"] = lambda: tokens.replace(again())
    if settings.tls_cert is not None:
        parts |= {f"certificates of the {door.name} door": door.reload for door in doors}
    return Reloads(parts)


async def serve(
    settings: Settings,
    pipeline: Evaluates | None = None,
    *,
    ready: Callable[[Running], None] | None = None,
    again: Callable[[], Settings] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, then drains; SIGHUP reads again what lies in files. ``ready`` is called once all doors are,
    ``again`` as in :func:`running`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for name in signals:
        loop.add_signal_handler(name, stop.set)
    try:
        async with running(settings, pipeline, again=again) as server:
            loop.add_signal_handler(signal.SIGHUP, server.reloads.begin)
            if ready is not None:
                ready(server)
            await stop.wait()
            log.info("draining")
    finally:
        for name in (*signals, signal.SIGHUP):
            loop.remove_signal_handler(name)
    log.info("stopped")
