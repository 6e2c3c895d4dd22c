"""Which FHIR servers are asked, at which addresses."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from cds_service.config import Settings
from cds_service.hooks.allowed import Refused, address_of, allowed, base_of, may_ask
from cds_service.hooks.fhir_client import FetchError, FhirClient
from cds_service.telemetry.setup import setup
from fhir_adapter.errors import ConfigError
from tests.callers import certificates
from tests.cds_service.hooks.fhir_server import fhir_server

LIST = ("https://ehr.example.org/fhir", "https://other.example.org:8443", "http://test.example.org/r4/")


@pytest.mark.parametrize(
    "url",
    [
        "https://ehr.example.org/fhir",
        "https://ehr.example.org/fhir/",
        "https://EHR.example.org:443/fhir",
        "https://ehr.example.org./fhir/tenant-a",
        "https://other.example.org:8443/anything",
    ],
)
def test_an_allowed_server(url: str) -> None:
    assert allowed(url, LIST, plain_http=False).scheme == "https"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.org/fhir",
        "https://ehr.example.org",
        "https://ehr.example.org/fhirs",
        "https://ehr.example.org/fhir/../admin",
        "https://ehr.example.org/fhir/%2e%2e/admin",
        "https://ehr.example.org/fhir//x",
        "https://ehr.example.org:8443/fhir",
        "https://ehr.example.org.evil.org/fhir",
        "https://user@ehr.example.org/fhir",
        "https://ehr.example.org\\@evil.org/fhir",
        "https://ehr.example.org /fhir",
        "https://ehr.example.org\n.evil.org/fhir",
        "http://ehr.example.org/fhir",
        "http://test.example.org/r4",
        "ftp://ehr.example.org/fhir",
        "file:///etc/passwd",
        "//ehr.example.org/fhir",
        "https://[::1",
        "https://ehr.example.org:99999/fhir",
        "",
    ],
)
def test_any_other_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        allowed(url, LIST, plain_http=False)


def test_plain_http_needs_the_list_and_the_setting() -> None:
    assert allowed("http://test.example.org/r4", LIST, plain_http=True).authority == "test.example.org"
    with pytest.raises(Refused):
        allowed("http://ehr.example.org/fhir", LIST, plain_http=True)


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("192.168.0.1", False, True),
        ("172.16.0.1", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        ("169.254.169.254", False, False),
        ("fe80::1", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("::ffff:127.0.0.1", False, True),
        ("::ffff:169.254.169.254", False, False),
        ("64:ff9b::7f00:1", False, False),
        ("2002:7f00:1::", False, False),
    ],
)
def test_addresses(address: str, public: bool, private: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert may_ask(parsed, private=False) is public
    assert may_ask(parsed, private=True) is private


async def test_one_bad_address_of_a_name_is_enough() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.215.14", "127.0.0.1"]

    with pytest.raises(Refused, match="private"):
        await address_of("ehr.example.org", 443, private=False, resolve=resolve)


async def test_a_name_that_is_unknown_is_refused() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError

    with pytest.raises(Refused, match="resolved"):
        await address_of("ehr.example.org", 443, private=False, resolve=resolve)


async def test_the_address_looked_at_is_the_one_connected_to(tmp_path: Path) -> None:
    """The name is resolved here, once for each request, and by nobody else (DNS rebinding); the certificate must be its."""
    pem = certificates(tmp_path)
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with fhir_server(tls=(pem["server-cert"], pem["server-key"])) as ehr:
        names = {name: f"https://{name}:{ehr.port}/fhir" for name in ("localhost", "unknown.example.org")}
        settings = Settings(fhir_servers=tuple(names.values()), fhir_private_addresses=True, fhir_ca=pem["ca-cert"])
        client = FhirClient(settings, resolve=resolve)
        with setup(settings).request("POST", None) as call:
            read = await client.read(client.base(names["localhost"]), "Patient", "p", None, call)
            with pytest.raises(FetchError, match="can't be reached"):  # the certificate isn't for this name
                await client.read(client.base(names["unknown.example.org"]), "Patient", "p", None, call)
        await client.close()
    assert b'"Patient"' in read
    assert asked == ["localhost", "unknown.example.org"]
    assert [request.headers["host"] for request in ehr.asked] == [f"localhost:{ehr.port}"]


def test_an_authority_that_holds_no_certificate_is_said(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(ConfigError) as caught:
        FhirClient(Settings(fhir_ca=junk))
    assert caught.value.violations[0].path == "fhir_ca"


def test_the_host_header_is_the_servers_own() -> None:
    assert base_of("https://ehr.example.org:443/fhir").authority == "ehr.example.org"
    assert base_of("https://ehr.example.org:8443/fhir").authority == "ehr.example.org:8443"
    assert base_of("http://[::1]:8080/fhir").url == "http://[::1]:8080/fhir"
