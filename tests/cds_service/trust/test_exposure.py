"""The safe default: what may be open to others."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service.config import Settings
from cds_service.serving import running
from cds_service.trust.exposure import check_exposure
from fhir_adapter.errors import ConfigError

TLS = {"tls_cert": "c.pem", "tls_key": "k.pem"}
KNOWN = {"clients": "clients.toml", "public_urls": "https://cds.example.org"}


def _faults(**given: Any) -> set[str]:
    try:
        check_exposure(Settings(**given))
    except ConfigError as error:
        return {violation.path for violation in error.violations if "give --" in violation.description}
    return set()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.2"])
def test_on_loopback_nothing_is_asked(host: str) -> None:
    assert _faults(host=host) == set()


@pytest.mark.parametrize("proxy", [{"behind_proxy": True}, {"trusted_proxies": "127.0.0.1"}])
def test_a_proxy_beside_it_opens_it_to_others(proxy: dict[str, Any]) -> None:
    """What listens on loopback behind nginx is open to whomever nginx lets through."""
    assert _faults(**proxy) == {"clients"}
    assert _faults(insecure=True, **proxy) == set()
    assert _faults(clients="clients.toml", **proxy) == set()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "labcue.example.org"])
def test_beyond_it_nothing_opens_by_itself(host: str) -> None:
    assert _faults(host=host) == {"tls_cert", "clients"}


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        (TLS, {"clients"}),
        ({"behind_proxy": True}, {"clients"}),
        ({"insecure": True}, {"tls_cert"}),
        (KNOWN, {"tls_cert"}),
        ({"clients": "clients.toml", **TLS}, {"public_urls"}),
        ({"clients": "clients.toml", "insecure": True, **TLS}, {"public_urls"}),
        (TLS | KNOWN, set()),
        (TLS | {"insecure": True}, set()),
        (TLS | {"tls_client_ca": "ca.pem"}, set()),
        ({"behind_proxy": True} | KNOWN, set()),
        ({"behind_proxy": True, "insecure": True}, set()),
    ],
)
def test_what_is_needed_beyond_loopback(given: dict[str, Any], faults: set[str]) -> None:
    assert _faults(host="0.0.0.0", **given) == faults


@pytest.mark.parametrize("doors", ["grpc", "http", "both"])
async def test_neither_door_opens(doors: Any) -> None:
    with pytest.raises(ConfigError, match="open to others"):
        async with running(Settings(host="0.0.0.0", doors=doors, port=0, http_port=0, engine="none")):
            pass


@pytest.mark.parametrize("origins", ["*", "https://*", "null", "https://a.example.org/path", "", "a.example.org"])
def test_origins_are_listed_one_by_one(origins: str) -> None:
    with pytest.raises(ValueError, match=r"must be addresses|no path"):
        Settings(cors_origins=origins)


def test_lists_come_as_text_or_as_lists() -> None:
    by_text = Settings(cors_origins="https://A.example.org/, http://localhost:8000", trusted_proxies="10.0.0.0/8,::1")
    by_list = Settings(
        cors_origins=["https://a.example.org", "http://localhost:8000"], trusted_proxies=["10.0.0.0/8", "::1/128"]
    )
    assert by_text == by_list
    assert by_text.cors_origins == ("https://a.example.org", "http://localhost:8000")
