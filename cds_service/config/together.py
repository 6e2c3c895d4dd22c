"""What must hold among several settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cds_service.config.settings import Settings


def faults(settings: Settings) -> Iterator[str]:
    """What doesn't hold among settings that lean on each other."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        yield "tls_cert and tls_key go together"
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        yield "tls_client_ca needs tls_cert and tls_key"
    if settings.engine == "mistral" and settings.model_path is None:
        yield "engine=mistral needs model_path"
    if settings.engine == "onnx" and (settings.adapter_path is not None or settings.adapters):
        yield "engine=onnx takes no adapters"
    if settings.adapter_path is not None and settings.model_path is None:
        yield "adapter_path needs model_path"
    if settings.adapters and settings.model_path is None:
        yield "adapters needs model_path"
    if settings.adapter is not None and settings.adapter not in settings.adapters:
        yield "adapter must be one of adapters"
    yield from _subscription(settings)
    if settings.engine == "remote":
        wanted = {
            "remote_url": settings.remote_url,
            "remote_model": settings.remote_model,
            "model_path": settings.model_path,
        }
        missing = [name for name, value in wanted.items() if value is None]
        if missing:
            yield f"engine=remote needs {', '.join(missing)}"


def _subscription(settings: Settings) -> Iterator[str]:
    if settings.subscription_server is None:
        if settings.subscription_target is not None:
            yield "subscription_target needs subscription_server"
        return
    if settings.subscription_server not in {one.rstrip("/") for one in settings.fhir_servers}:
        yield "subscription_server must be one of fhir_servers"
    if settings.records is None:
        yield "subscription_server needs records: what is acknowledged must outlast the process"
    if settings.subscription_output == "webhook" and settings.subscription_target is None:
        yield "subscription_output=webhook needs subscription_target"
    for url in (settings.subscription_server, settings.subscription_target):
        if url is not None and url.startswith("http:") and not settings.fhir_plain_http:
            yield "subscription_server and subscription_target must be https:// (see fhir_plain_http)"
