"""TLS of the gRPC door."""

from __future__ import annotations

from pathlib import Path

import grpc

from cds_service.trust import certificates
from fhir_adapter.errors import ConfigError


class Secured:
    """The door's TLS, whose files can be read again while it serves: connections that begin after that get what they hold.
    With ``client_ca`` a client needs a certificate too.

    Raises:
        ConfigError: naming each setting whose file can't be read or doesn't hold.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._files = (cert, key, client_ca)
        self._new: grpc.ServerCertificateConfiguration | None = None
        self.credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._read(),
            self._fetch,  # type: ignore[arg-type]  # may give None, as its documentation has it
            require_client_authentication=client_ca is not None,
        )

    def reload(self) -> None:
        """Reads certificate, key and authority again. What was is kept where they don't hold.

        Raises:
            ConfigError: as at the start.
        """
        self._new = self._read()

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Asked by gRPC before each handshake, from a thread of its own; None: nothing is new."""
        new, self._new = self._new, None
        return new

    def _read(self) -> grpc.ServerCertificateConfiguration:
        cert, key, client_ca = self._files
        if faults := certificates.faults(cert, key, client_ca):
            raise ConfigError(violations=tuple(faults))
        return grpc.ssl_server_certificate_configuration(
            [(key.read_bytes(), cert.read_bytes())],
            root_certificates=client_ca.read_bytes() if client_ca is not None else None,
        )
