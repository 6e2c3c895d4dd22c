"""Certificates: how a client's is named, and whether the server's files hold.

gRPC doesn't say why it refuses a certificate; the standard library does, so it is asked first.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fhir_adapter.errors import Violation


@lru_cache(maxsize=256)
def names_of(certificate: bytes) -> tuple[str, ...]:
    """The names of a client certificate (PEM or DER) as a clients file writes them: ``dns:``, ``uri:``, ``subject:``,
    ``sha256:``. Only for one whose chain was verified; empty where it can't be read."""
    try:
        pem = certificate.lstrip().startswith(b"-----BEGIN")
        found = x509.load_pem_x509_certificate(certificate) if pem else x509.load_der_x509_certificate(certificate)
        names = [f"subject:{found.subject.rfc4514_string()}", f"sha256:{found.fingerprint(hashes.SHA256()).hex()}"]
        try:
            other = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return tuple(names)
        names += [f"dns:{name.lower()}" for name in other.get_values_for_type(x509.DNSName)]
        names += [f"uri:{uri}" for uri in other.get_values_for_type(x509.UniformResourceIdentifier)]
    except ValueError:
        return ()
    return tuple(names)


def faults(cert: Path, key: Path, client_ca: Path | None) -> list[Violation]:
    """What is wrong with the files of ``tls_cert``, ``tls_key`` and ``tls_client_ca``; nothing where they hold."""
    settings = {"tls_cert": cert, "tls_key": key} | ({"tls_client_ca": client_ca} if client_ca is not None else {})
    found = []
    for name, path in settings.items():
        try:
            path.read_bytes()
        except OSError as error:
            found.append(Violation(name, f"{path}: {error.strerror}"))
    if found:
        return found
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An encrypted key would ask for its password on the terminal; gRPC can't read one at all.
        context.load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "not PEM"
        why = f"{cert} and {key} are no PEM certificate with its unencrypted private key ({reason})"
        found.append(Violation("tls_cert", why))
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (ssl.SSLError, OSError, ValueError):
            found.append(Violation("tls_client_ca", f"{client_ca} holds no PEM certificate"))
    return found
