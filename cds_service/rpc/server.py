"""The gRPC server: health, reflection, TLS, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cds_service.config import Settings
from cds_service.feedback import FeedbackStore
from cds_service.pipeline import Pipeline
from cds_service.rpc.servicer import SERVICE, Evaluates, Servicer
from cds_service.rpc.tls import server_credentials
from cds_service.telemetry.setup import Telemetry, setup
from fhir_adapter.errors import ConfigError, Violation
from labcue.v1 import cds_pb2_grpc

log = logging.getLogger(__name__)
# A server that never started logs itself, at DEBUG, while it is freed (grpcio 1.85.1, AioServer.__dealloc__): whatever
# keeps that record keeps freed memory, and the process dies at a later garbage collection.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.INFO)
RECEIVE_AT_LEAST = 64 * 1024 * 1024
"""Messages up to this size are taken in, so that one past the bundle limit gets our own error instead of gRPC's."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(slots=True)
class Running:
    """A server that serves: its port, and how to end it: NOT_SERVING, a pause, then no new calls while running ones end."""

    port: int
    servicer: Servicer
    drain: Callable[[], Awaitable[None]]


def build_pipeline(settings: Settings) -> Pipeline:
    """Catalog and engine as set, ready to judge.

    Raises:
        ConfigError, CatalogError, EngineError: what is set can't be loaded.
    """
    from cds_service.inference.load import load_engine
    from fhir_adapter import catalog
    from fhir_adapter.site import read_site

    engine, degraded = load_engine(settings)
    return Pipeline(settings, catalog.load(), engine, degraded, read_site(settings.site) if settings.site else None)


@asynccontextmanager
async def running(
    settings: Settings, pipeline: Evaluates | None = None, *, telemetry: Telemetry | None = None
) -> AsyncIterator[Running]:
    """A server on ``settings.host:port`` for the length of the block; SERVING once warm, drained at the end."""
    async with AsyncExitStack() as ending:
        telemetry = telemetry or setup(settings)
        ending.push_async_callback(asyncio.to_thread, telemetry.shutdown)
        store = FeedbackStore(settings.feedback_path)
        ending.callback(store.close)
        credentials = _credentials(settings)
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max(RECEIVE_AT_LEAST, settings.max_bundle_bytes + 65536)),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ]
        )
        checks = health.aio.HealthServicer()
        await checks.set("", NOT_SERVING)
        await checks.set(SERVICE, NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        judge = pipeline if pipeline is not None else await asyncio.to_thread(build_pipeline, settings)
        servicer = Servicer(settings, judge, telemetry, store)
        ending.push_async_callback(asyncio.to_thread, servicer.close)
        cds_pb2_grpc.add_LabDecisionSupportServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
        if settings.reflection:
            reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        port = _bind(server, settings, credentials)

        async def drain_once() -> None:
            await checks.enter_graceful_shutdown()
            if settings.drain_pause_s:
                await asyncio.sleep(settings.drain_pause_s)
            # While gRPC stops it answers new calls CANCELLED, which nobody tries elsewhere: so first refuse them here.
            until = time.monotonic() + settings.drain_grace_s
            await servicer.finish(settings.drain_grace_s)
            await server.stop(max(0.0, until - time.monotonic()))

        begun: list[asyncio.Task[None]] = []

        async def drain() -> None:
            if not begun:
                begun.append(asyncio.create_task(drain_once()))
            await asyncio.shield(begun[0])

        if settings.validation == "strict":
            # Before serving: the first request would wait a second for it.
            import_module("fhir.resources.R4B.bundle")
            import_module("fhir.resources.R4B.observation")
        await server.start()
        ending.push_async_callback(drain)
        await asyncio.to_thread(_warm_up, judge)
        await checks.set("", SERVING)
        await checks.set(SERVICE, SERVING)
        yield Running(port, servicer, drain)


async def serve(
    settings: Settings, pipeline: Evaluates | None = None, *, ready: Callable[[int], None] | None = None
) -> None:
    """Serves until SIGTERM or SIGINT, then drains. ``ready`` is called with the port once SERVING."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for name in signals:
        loop.add_signal_handler(name, stop.set)
    try:
        async with running(settings, pipeline) as server:
            if ready is not None:
                ready(server.port)
            await stop.wait()
            log.info("draining")
    finally:
        for name in signals:
            loop.remove_signal_handler(name)
    log.info("stopped")


def _warm_up(pipeline: Evaluates) -> None:
    """Loads what the first request would otherwise wait for."""
    from fhir_adapter import units

    units.normalize_unit("warm.up")  # the UCUM parser, for units outside the usual ones
    engine = getattr(pipeline, "engine", None)
    if engine is not None:
        engine.warm_up()


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return server_credentials(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def _bind(server: grpc.aio.Server, settings: Settings, credentials: grpc.ServerCredentials | None) -> int:
    host = f"[{settings.host}]" if ":" in settings.host and not settings.host.startswith("[") else settings.host
    address = f"{host}:{settings.port}"
    try:
        if credentials is None:
            port = int(server.add_insecure_port(address))
        else:
            port = int(server.add_secure_port(address, credentials))
    except RuntimeError:
        port = 0
    if port == 0:
        why = f"can't listen on {address}: the address is in use or not allowed"
        raise ConfigError(violations=(Violation("port", why),))
    return port
