"""Callers of the service for tests: their keys, tokens, certificates, and the place where they publish keys."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

NOW = 1_800_000_000.0
"""When it is in tests that set the clock."""
ISSUER = "https://ehr.example.org"
KEY = ECKey.generate_key("P-384", {"kid": "k1", "use": "sig", "alg": "ES384"})
OTHER_KEY = ECKey.generate_key("P-384", {"kid": "k1", "use": "sig", "alg": "ES384"})
"""Another's key under the same name."""
RSA_KEY = RSAKey.generate_key(2048, {"kid": "r1", "use": "sig"})
ED_KEY = OKPKey.generate_key("Ed25519", {"kid": "e1", "use": "sig"})
P256_KEY = ECKey.generate_key("P-256", {"kid": "p1"})
AnyKey = ECKey | RSAKey | OKPKey

_count = iter(range(1_000_000))


def key_set(*keys: AnyKey) -> bytes:
    """A JWK Set of public keys."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def claims(aud: Any, *, now: float = NOW, **changed: Any) -> dict[str, Any]:
    """Claims as an EHR sends them; what is None is left out."""
    said = {"iss": ISSUER, "aud": aud, "iat": int(now), "exp": int(now) + 300, "jti": f"jti-{next(_count)}"} | changed
    return {name: value for name, value in said.items() if value is not None}


def token(said: dict[str, Any] | bytes, key: AnyKey = KEY, **header: Any) -> str:
    """A compact JWT, signed whatever it says; a header member that is None is left out."""
    named = {"typ": "JWT", "alg": "ES384", "kid": key.kid} | header
    named = {name: value for name, value in named.items() if value is not None}
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    return jws.serialize_compact(named, payload, key, registry=_Signing(strict_check_header=False))


class _Signing(jws.JWSRegistry):
    """Signs by whatever algorithm there is."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def clients_file(folder: Path, text: str | None = None, **keys: bytes) -> Path:
    """A clients.toml with one client, ``ehr``, whose key is KEY; or one of ``text``. ``keys`` become NAME.json."""
    for name, data in ({"ehr": key_set(KEY, RSA_KEY, ED_KEY, P256_KEY)} | keys).items():
        (folder / f"{name}.json").write_bytes(data)
    file = folder / "clients.toml"
    file.write_text(
        text
        or f'[clients.ehr]\nissuer = "{ISSUER}"\njku = ["{ISSUER}/jwks.json"]\nkey_file = "ehr.json"\n'
        'permissions = ["evaluate", "feedback"]\n'
    )
    return file


@dataclass
class Clock:
    """A clock that stands until it is moved; ``sleep`` moves it."""

    now: float = NOW
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Published:
    """A place on loopback where a client publishes its keys, as the test says; it counts who asks."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    before: Callable[[], object] = lambda: None


@contextmanager
def published(body: bytes = b"", *, certificate: tuple[Path, Path] | None = None) -> Iterator[Published]:
    """A real HTTP server, or HTTPS with a certificate and its key."""
    place = Published(body=body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place.asked.append(self.path)
            place.before()
            self.send_response(place.status)
            for name, value in place.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(place.body)

        def log_message(self, *args: Any) -> None:
            pass

        def log_error(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if certificate is not None:
            scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        place.url = f"{scheme}://localhost:{server.server_address[1]}/jwks.json"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield place
        finally:
            server.shutdown()
            thread.join()


def certificates(folder: Path) -> dict[str, Path]:
    """A CA, a server certificate for localhost, and client certificates "client" and "stranger", as PEM files."""
    now = datetime.datetime.now(datetime.UTC)
    made: dict[str, Path] = {}
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])

    def write(name: str, data: bytes) -> None:
        made[name] = folder / f"{name}.pem"
        made[name].write_bytes(data)

    def certify(name: str, key: ec.EllipticCurvePrivateKey, names: list[x509.GeneralName]) -> None:
        authority = name == "ca"
        builder = (
            x509.CertificateBuilder()
            .subject_name(authority_name if authority else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(not authority, *[False] * 4, authority, authority, False, False), critical=True
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(authority_key, hashes.SHA256())
        write(f"{name}-cert", certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write(f"{name}-key", private)

    certify("ca", authority_key, [])
    for name, names in {
        "server": [x509.DNSName("localhost")],
        "client": [x509.DNSName("engine.example.org"), x509.UniformResourceIdentifier("spiffe://example.org/engine")],
        "stranger": [x509.DNSName("stranger.example.org")],
    }.items():
        certify(name, ec.generate_private_key(ec.SECP256R1()), names)
    return made
