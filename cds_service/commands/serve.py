"""`labcue serve`: the service until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio

from cds_service.config import Settings
from cds_service.rpc.server import build_pipeline, serve
from cds_service.telemetry import logs


def run(settings: Settings) -> None:
    """Serves, and says in one line where, how secured and how degraded.

    Raises:
        ConfigError, CatalogError, EngineError: what is set doesn't hold.
    """
    logs.configure(settings.log_level)
    pipeline = build_pipeline(settings)

    def ready(port: int) -> None:
        degraded = f"; degraded: {pipeline.degraded}, rules answer" if pipeline.degraded else ""
        host = f"[{settings.host}]" if ":" in settings.host.strip("[]") else settings.host
        print(f"labcue serves on {host}:{port} (gRPC, {_security(settings)}){degraded}", flush=True)

    asyncio.run(serve(settings, pipeline, ready=ready))


def _security(settings: Settings) -> str:
    if settings.tls_cert is None:
        return "no TLS"
    return "TLS" if settings.tls_client_ca is None else "mutual TLS"
