"""The URL called, directly and behind proxies."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.trust.audience import Audience, called_base, is_loopback, normal

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
FORWARDED = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"cds.example.org")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://CDS.example.org:443/a", "https://cds.example.org/a"),
        ("http://h:80", "http://h"),
        ("http://h:8080/A/", "http://h:8080/A/"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        ("https://h/a?b=c", None),
        ("https://h/a#b", None),
        ("https://user@h/a", None),
        ("ftp://h/a", None),
        ("https:///a", None),
        ("https://h:port/", None),
        ("https://[::1/", None),
        ("", None),
    ],
)
def test_a_url_has_one_spelling(url: str, expected: str | None) -> None:
    assert normal(url) == expected


@given(st.text())
def test_any_text_is_a_url_or_none(text: str) -> None:
    found = normal(text)
    assert found is None or normal(found) == found


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("10.1.2.3", FORWARDED, "https://cds.example.org"),
        ("::1", FORWARDED, "https://cds.example.org"),
        ("192.0.2.1", FORWARDED, "http://inner:8080"),
        (None, FORWARDED, "http://inner:8080"),
        ("not an address", FORWARDED, "http://inner:8080"),
        ("10.1.2.3", [], "http://inner:8080"),
        ("10.1.2.3", [(b"x-forwarded-host", b"evil.example.org, cds.example.org")], "http://cds.example.org"),
        ("10.1.2.3", [(b"x-forwarded-host", b"cds.example.org/elsewhere")], None),
        ("10.1.2.3", [(b"x-forwarded-proto", b"gopher")], None),
    ],
)
def test_only_a_trusted_proxy_says_what_was_called(
    peer: str | None, headers: list[tuple[bytes, bytes]], expected: str | None
) -> None:
    assert called_base("http", "inner:8080", peer, headers, PROXIES) == expected


def test_nobody_is_trusted_unless_set() -> None:
    assert called_base("http", "h", "127.0.0.1", FORWARDED, ()) == "http://h"


def test_a_public_address_may_have_a_path() -> None:
    behind = Audience(("/cds-services",), ("https://example.org/labcue", "https://other.example.org"))
    assert behind.includes("https://example.org/labcue/cds-services")
    assert behind.includes("https://other.example.org/cds-services")
    assert not behind.includes("https://example.org/cds-services")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LocalHost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org"])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)
