"""TLS of the gRPC door."""

from __future__ import annotations

from pathlib import Path

import grpc

from cds_service.trust import certificates
from fhir_adapter.errors import ConfigError


def server_credentials(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """The credentials of a server; with ``client_ca`` a client needs a certificate too.

    Raises:
        ConfigError: naming each setting whose file can't be read or doesn't hold.
    """
    if faults := certificates.faults(cert, key, client_ca):
        raise ConfigError(violations=tuple(faults))
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())],
        root_certificates=client_ca.read_bytes() if client_ca is not None else None,
        require_client_auth=client_ca is not None,
    )
