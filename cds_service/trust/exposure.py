"""The safe default: what is open to others is encrypted and knows its callers, or somebody said otherwise in words."""

from __future__ import annotations

from cds_service.config import Settings
from cds_service.trust.audience import is_loopback
from fhir_adapter.errors import ConfigError, Violation


def is_open_to_others(settings: Settings) -> bool:
    """Whether anybody but this machine can reach the doors: directly, or through a proxy that stands beside them."""
    return not is_loopback(settings.host) or settings.behind_proxy or settings.trusted_proxies is not None


def check_exposure(settings: Settings) -> None:
    """Nothing where only this machine calls. Else: TLS or ``behind_proxy``; clients (or mutual TLS) or ``insecure``.

    Raises:
        ConfigError: says what to add.
    """
    if not is_open_to_others(settings):
        return
    faults = []
    if settings.tls_cert is None and not settings.behind_proxy and not is_loopback(settings.host):
        faults.append(
            Violation(
                "tls_cert",
                f"{settings.host} can be reached by others, and patients' results would cross the network in the clear: "
                "give --tls-cert and --tls-key, or --behind-proxy where a proxy in front ends TLS",
            )
        )
    if settings.clients is None and settings.tls_client_ca is None and not settings.insecure:
        faults.append(
            Violation(
                "clients",
                "others can reach the service, and anybody could call: give --clients FILE "
                "(`labcue clients new` makes one) or --tls-client-ca, or --insecure where anybody may",
            )
        )
    if settings.clients is not None and settings.public_urls is None and not is_loopback(settings.host):
        faults.append(
            Violation(
                "public_urls",
                "tokens are bound to the address that clients call, and what a caller writes into Host can't tell it: "
                "give --public-url https://…",
            )
        )
    if faults:
        raise ConfigError("The service would be open to others without protection.", violations=tuple(faults))
