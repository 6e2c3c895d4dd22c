"""TLS of the HTTP door, by the same settings as gRPC's."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from cds_service.config import Settings
from cds_service.hooks.protocol import Bounded
from cds_service.trust import certificates
from fhir_adapter.errors import ConfigError


def context(settings: Settings) -> ssl.SSLContext | None:
    """The server's TLS, 1.2 or newer; with ``tls_client_ca`` a client needs a certificate too. None where TLS is off.

    Raises:
        ConfigError: naming each setting whose file can't be read or doesn't hold.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    if faults := certificates.faults(settings.tls_cert, settings.tls_key, settings.tls_client_ca):
        raise ConfigError(violations=tuple(faults))
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.tls_client_ca)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    found.load_cert_chain(settings.tls_cert, settings.tls_key)
    if settings.tls_client_ca is not None:
        found.verify_mode = ssl.CERT_REQUIRED
        # A connection that is taken up again isn't asked for its certificate again: an authority taken away would go on to count.
        found.options |= ssl.OP_NO_TICKET
        found.num_tickets = 0
    return found


class Secured:
    """The door's TLS, whose files can be read again while it serves: connections that begin after that get what they hold.

    Raises:
        ConfigError: as :func:`context`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._chosen = self.listening = context(settings)
        if self.listening is not None:
            # Called for each connection, whether it names a server or not.
            self.listening.sni_callback = self._choose

    def reload(self) -> None:
        """Reads certificate, key and authority again. What was is kept where they don't hold.

        Raises:
            ConfigError: as :func:`context`.
        """
        self._chosen = context(self._settings)

    def _choose(self, connection: ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
        if self._chosen is not None:
            connection.context = self._chosen


class WithCertificate(Bounded):
    """The bounded protocol, with the client's verified certificate in the scope, where the ASGI TLS extension has it."""

    _chain: tuple[str, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        found: Any = transport.get_extra_info("ssl_object")
        der = found.getpeercert(binary_form=True) if found is not None else None
        if der:
            self._chain = (ssl.DER_cert_to_PEM_cert(der),)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._chain:
            self.scope.setdefault("extensions", {})["tls"] = {"client_cert_chain": self._chain}
