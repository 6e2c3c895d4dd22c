"""The gRPC door: its server, health, reflection, TLS."""

from __future__ import annotations

import logging

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cds_service.backend import Backend
from cds_service.config import Settings
from cds_service.listening import refused
from cds_service.rpc.authentication import Authentication
from cds_service.rpc.servicer import SERVICE, Servicer
from cds_service.rpc.tls import Secured
from labcue.v1 import cds_pb2_grpc

# A server that never started logs itself, at DEBUG, while it is freed (grpcio 1.85.1, AioServer.__dealloc__): whatever
# keeps that record keeps freed memory, and the process dies at a later garbage collection.
logging.getLogger("grpc._cython.cygrpc").setLevel(logging.INFO)
RECEIVE_AT_LEAST = 64 * 1024 * 1024
"""Messages up to this size are taken in, so that one past the bundle limit gets our own error instead of gRPC's."""

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class GrpcDoor:
    """The gRPC server over one backend."""

    name = "gRPC"

    def __init__(
        self,
        server: grpc.aio.Server,
        checks: health.aio.HealthServicer,
        servicer: Servicer,
        port: int,
        secured: Secured | None,
    ) -> None:
        self._server, self._checks, self.servicer, self.port = server, checks, servicer, port
        self._secured = secured

    @classmethod
    async def bound(cls, backend: Backend) -> GrpcDoor:
        """A door that listens on ``settings.host:port`` but doesn't serve yet.

        Raises:
            ConfigError: it can't listen there, or a certificate doesn't hold.
        """
        settings = backend.settings
        secured = _secured(settings)
        server = grpc.aio.server(
            interceptors=[Authentication(backend.gate, settings, backend.telemetry)] if backend.gate else None,
            options=[
                ("grpc.max_receive_message_length", max(RECEIVE_AT_LEAST, settings.max_bundle_bytes + 65536)),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        checks = health.aio.HealthServicer()
        await checks.set("", NOT_SERVING)
        await checks.set(SERVICE, NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        servicer = Servicer(backend)
        cds_pb2_grpc.add_LabDecisionSupportServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
        if settings.reflection:
            reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return cls(server, checks, servicer, _bind(server, settings, secured), secured)

    def reload(self) -> None:
        """Reads the files of TLS again, for connections to come.

        Raises:
            ConfigError: one doesn't hold; what was is kept.
        """
        if self._secured is not None:
            self._secured.reload()

    async def start(self) -> None:
        """Takes calls; health says NOT_SERVING until :meth:`ready`."""
        await self._server.start()

    async def ready(self) -> None:
        """Health says SERVING."""
        await self._checks.set("", SERVING)
        await self._checks.set(SERVICE, SERVING)

    async def not_well(self) -> None:
        """Health says NOT_SERVING until :meth:`ready` is called again."""
        await self._checks.set("", NOT_SERVING)
        await self._checks.set(SERVICE, NOT_SERVING)

    async def not_ready(self) -> None:
        """Health says NOT_SERVING from now on."""
        await self._checks.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Takes no more calls; running ones may go on for ``grace`` seconds."""
        await self._server.stop(grace)


def _secured(settings: Settings) -> Secured | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Secured(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def _bind(server: grpc.aio.Server, settings: Settings, secured: Secured | None) -> int:
    host = f"[{settings.host}]" if ":" in settings.host and not settings.host.startswith("[") else settings.host
    address = f"{host}:{settings.port}"
    try:
        if secured is None:
            port = int(server.add_insecure_port(address))
        else:
            port = int(server.add_secure_port(address, secured.credentials))
    except RuntimeError:
        port = 0
    if port == 0:
        raise refused(settings, "port")
    return port
