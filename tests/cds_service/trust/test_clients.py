"""The file of clients: what it says, and that all its faults come at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from cds_service.trust.clients import read_clients
from cds_service.trust.keys import parse_key_set
from fhir_adapter.errors import ConfigError
from tests.callers import ED_KEY, KEY, RSA_KEY, clients_file, key_set

TWO_TENANTS = """
[clients.north]
issuer = "https://epic.example.org"
tenant = "north"
jku = ["https://epic.example.org/north"]
permissions = ["evaluate"]
rate_per_minute = 120

[clients.rest]
issuer = "https://epic.example.org"
jku = ["https://epic.example.org/rest"]
permissions = ["admin"]

[clients.engine]
certificates = ["dns:engine.example.org", "uri:spiffe://example.org/engine"]
permissions = ["evaluate"]
rate_per_minute = 6
burst = 9
"""


def test_whom_a_token_and_a_certificate_belong_to(tmp_path: Path) -> None:
    clients = read_clients(clients_file(tmp_path, TWO_TENANTS))
    north, rest, engine = (clients.by_name[name] for name in ("north", "rest", "engine"))
    assert clients.of_issuer("https://epic.example.org", "north") is north
    assert clients.of_issuer("https://epic.example.org", "south") is rest
    assert clients.of_issuer("https://epic.example.org", None) is rest
    assert clients.of_issuer("https://epic.example.org/", None) is None
    assert clients.of_certificate(("subject:CN=x", "dns:engine.example.org")) is engine
    assert clients.of_certificate(("dns:other.example.org",)) is None
    assert (north.per_minute, north.burst, engine.burst, rest.per_minute) == (120, 20, 9, None)


def test_admin_may_all_and_the_others_what_they_have(tmp_path: Path) -> None:
    clients = read_clients(clients_file(tmp_path, TWO_TENANTS)).by_name
    assert all(clients["rest"].may(one) for one in ("evaluate", "feedback", "audit", "admin"))
    assert [clients["north"].may(one) for one in ("evaluate", "feedback", "audit", "admin")] == [True, *[False] * 3]


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    file = clients_file(
        tmp_path,
        """
surprise = 1
[clients."No Good"]
issuer = "a"
jku = ["https://a/"]
permissions = ["evaluate"]
[clients.nobody]
permissions = ["evaluate"]
[clients.keyless]
issuer = "b"
permissions = []
[clients.plain]
issuer = "c"
jku = ["http://c/jwks"]
permissions = ["evaluate"]
[clients.typo]
issuer = "d"
jku = ["https://d/"]
permissions = ["evaluat"]
colour = "red"
[clients.first]
issuer = "e"
jku = ["https://e/"]
certificates = ["dns:e"]
permissions = ["evaluate"]
[clients.second]
issuer = "e"
jku = ["https://e/"]
certificates = ["dns:e", "CN=e"]
permissions = ["evaluate"]
[clients.third]
issuer = "e"
jku = ["https://e/"]
certificates = ["dns:e"]
permissions = ["evaluate"]
burst = 3
[clients.fourth]
issuer = "e"
jku = ["https://e/"]
certificates = ["dns:e"]
permissions = ["evaluate"]
[clients.missing]
issuer = "f"
key_file = "none.json"
permissions = ["evaluate"]
[clients.secret]
secrets_sha256 = ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
permissions = ["evaluate"]
[clients.short]
secrets_sha256 = ["secret"]
permissions = ["notify"]
[clients.private]
issuer = "g"
key_file = "private.json"
permissions = ["evaluate"]
""",
        private=json.dumps(KEY.as_dict(private=True)).encode(),
    )
    with pytest.raises(ConfigError) as caught:
        read_clients(file)
    found = [violation.path for violation in caught.value.violations]
    assert sorted(found) == [
        "clients.No Good",
        "clients.fourth.certificates",
        "clients.fourth.issuer",
        "clients.keyless",
        "clients.keyless.permissions",
        "clients.missing.key_file",
        "clients.nobody",
        "clients.plain.jku",
        "clients.private.key_file",
        "clients.second.certificates",
        "clients.secret.secrets_sha256",
        "clients.short.secrets_sha256.0",
        "clients.third.burst",
        "clients.typo.colour",
        "clients.typo.permissions.0",
        "surprise",
    ]
    assert KEY.as_dict(private=True)["d"] not in str(caught.value.violations)


@pytest.mark.parametrize("text", ["", "clients = 3", "[clients]", "x = = 1", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_file_without_clients_is_refused(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "clients.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError):
        read_clients(file)
    with pytest.raises(ConfigError):
        read_clients(tmp_path / "none.toml")


def test_a_key_set_gives_its_public_signing_keys() -> None:
    encryption = RSAKey.generate_key(2048, {"kid": "enc", "use": "enc"})
    public = RSA_KEY.as_dict(private=False)
    small = public | {"kid": "small", "n": str(public["n"])[:171]}
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"}
    odd = [
        None,
        7,
        "x",
        {},
        {"kty": "EC", "kid": "broken", "crv": "P-384", "x": "!", "y": "!"},
        {"kty": "AKP", "kid": "a"},
    ]
    nameless = {name: value for name, value in KEY.as_dict(private=False).items() if name != "kid"}
    listed = [*odd, small, secret, nameless, *json.loads(key_set(encryption, KEY, RSA_KEY, ED_KEY))["keys"]]
    assert set(parse_key_set(json.dumps({"keys": listed}).encode())) == {"k1", "r1", "e1"}
    assert set(parse_key_set(json.dumps(KEY.as_dict(private=False)).encode())) == {"k1"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": 3}',
        b'{"keys": []}',
        b"[" * 100_000,
        b"\xff",
        b'{"keys": [' + b"{}," * 200 + b"{}]}",
    ],
)
def test_what_is_no_key_set_is_a_fault(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^(is no|holds)"):
        parse_key_set(data)
