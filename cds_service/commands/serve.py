"""`labcue serve`: the service until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop

from cds_service.build import build_pipeline
from cds_service.config import Settings
from cds_service.garbage import spare_what_stays
from cds_service.listening import check_host
from cds_service.serving import Running, serve
from cds_service.telemetry import logs
from cds_service.trust.exposure import check_exposure
from cds_service.turns import take_short_turns


def run(settings: Settings, again: Callable[[], Settings] | None = None) -> None:
    """Serves, and says in a line for each door where, how secured and how degraded. ``again`` reads the settings anew.

    Raises:
        ConfigError, CatalogError, EngineError: what is set doesn't hold.
    """
    logs.configure(settings.log_level)
    check_host(settings)
    check_exposure(settings)  # before the model is loaded: that takes seconds
    pipeline = build_pipeline(settings)

    def ready(server: Running) -> None:
        spare_what_stays()
        take_short_turns()
        degraded = f"; degraded: {pipeline.degraded}, rules answer" if pipeline.degraded else ""
        host = f"[{settings.host}]" if ":" in settings.host.strip("[]") else settings.host
        if server.port is not None:
            print(f"labcue serves on {host}:{server.port} (gRPC, {_security(settings)}){degraded}", flush=True)
        if server.http_port is not None:
            scheme = "http" if settings.tls_cert is None else "https"
            address = f"{scheme}://{host}:{server.http_port}/cds-services"
            print(f"labcue serves on {address} (CDS Hooks, {_security(settings)}){degraded}", flush=True)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, pipeline, ready=ready, again=again))
    finally:
        pipeline.close()


def _security(settings: Settings) -> str:
    """TLS and who may call, in a few words."""
    encrypted = "no TLS" if settings.tls_cert is None else "TLS" if settings.tls_client_ca is None else "mutual TLS"
    return f"{encrypted}, known clients" if settings.clients is not None else encrypted
