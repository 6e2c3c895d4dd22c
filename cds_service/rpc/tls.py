"""TLS of the server: certificate, key and client CA, checked before gRPC sees them.

gRPC doesn't say why it refuses a certificate; the standard library does, so it is asked first.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from fhir_adapter.errors import ConfigError, Violation


def server_credentials(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """The credentials of a server; with ``client_ca`` a client needs a certificate too.

    Raises:
        ConfigError: naming each setting whose file can't be read or doesn't hold.
    """
    settings = {"tls_cert": cert, "tls_key": key} | ({"tls_client_ca": client_ca} if client_ca is not None else {})
    found: dict[str, bytes] = {}
    faults: list[Violation] = []
    for name, path in settings.items():
        try:
            found[name] = path.read_bytes()
        except OSError as error:
            faults.append(Violation(name, f"{path}: {error.strerror}"))
    if not faults:
        faults = _faults(cert, key, client_ca)
    if faults:
        raise ConfigError(violations=tuple(faults))
    authority = found.get("tls_client_ca")
    return grpc.ssl_server_credentials(
        [(found["tls_key"], found["tls_cert"])],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def _faults(cert: Path, key: Path, client_ca: Path | None) -> list[Violation]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    faults = []
    try:
        # An encrypted key would ask for its password on the terminal; gRPC can't read one at all.
        context.load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "not PEM"
        why = f"{cert} and {key} are no PEM certificate with its unencrypted private key ({reason})"
        faults.append(Violation("tls_cert", why))
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (ssl.SSLError, OSError, ValueError):
            faults.append(Violation("tls_client_ca", f"{client_ca} holds no PEM certificate"))
    return faults
