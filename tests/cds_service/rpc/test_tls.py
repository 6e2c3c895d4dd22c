"""TLS and mutual TLS, with certificates made for the test."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from cds_service.client import AsyncLabCueClient, Retry, Tls
from cds_service.rpc.tls import server_credentials
from fhir_adapter.errors import ConfigError, LabCueError
from tests.bundles import PANEL
from tests.cds_service.rpc.conftest import Serve

x509 = pytest.importorskip("cryptography.x509", reason="the package cryptography makes the certificates")

ONCE = Retry(attempts=1)


def _certificates(folder: Path) -> dict[str, Path]:
    """A CA, a server certificate for localhost and a client certificate, as PEM files."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)
    made: dict[str, Path] = {}
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])

    def write(name: str, data: bytes) -> None:
        made[name] = folder / f"{name}.pem"
        made[name].write_bytes(data)

    def certify(name: str, key: ec.EllipticCurvePrivateKey, authority: bool) -> None:
        subject = authority_name if authority else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        )
        certificate = builder.sign(authority_key, hashes.SHA256())
        write(f"{name}-cert", certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write(f"{name}-key", private)

    certify("ca", authority_key, True)
    for name in ("server", "client"):
        certify(name, ec.generate_private_key(ec.SECP256R1()), False)
    return made


async def test_tls(serve: Serve, tmp_path: Path) -> None:
    pem = _certificates(tmp_path)
    async with serve(tls_cert=pem["server-cert"], tls_key=pem["server-key"]) as served:
        target = f"localhost:{served.server.port}"
        async with AsyncLabCueClient(target, tls=Tls(ca=pem["ca-cert"])) as client:
            assert (await client.evaluate(PANEL)).cards
        async with AsyncLabCueClient(target, retry=ONCE) as plain:
            with pytest.raises(LabCueError):
                await plain.evaluate(PANEL, timeout=3)


async def test_mutual_tls_refuses_a_client_without_a_certificate(serve: Serve, tmp_path: Path) -> None:
    pem = _certificates(tmp_path)
    settings = {"tls_cert": pem["server-cert"], "tls_key": pem["server-key"], "tls_client_ca": pem["ca-cert"]}
    async with serve(**settings) as served:
        target = f"localhost:{served.server.port}"
        known = Tls(pem["ca-cert"], pem["client-cert"], pem["client-key"])
        async with AsyncLabCueClient(target, tls=known) as client:
            assert (await client.evaluate(PANEL)).cards
        async with AsyncLabCueClient(target, tls=Tls(ca=pem["ca-cert"]), retry=ONCE) as nobody:
            with pytest.raises(LabCueError):
                await nobody.evaluate(PANEL, timeout=3)


def test_a_key_of_another_certificate_is_refused_before_grpc_sees_it(tmp_path: Path) -> None:
    pem = _certificates(tmp_path)
    with pytest.raises(ConfigError) as caught:
        server_credentials(pem["server-cert"], pem["client-key"], pem["ca-cert"])
    (fault,) = caught.value.violations
    assert fault.path == "tls_cert"
    assert "KEY_VALUES_MISMATCH" in fault.description
