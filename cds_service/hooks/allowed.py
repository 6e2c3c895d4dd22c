"""Which FHIR servers may be asked: those on the allowlist, at addresses that are no inner ones.

A call names its own FHIR server, so whoever may call could make the service ask anything that it can reach (SSRF). The
allowlist says which base addresses are meant; the name is resolved here, once, every address that comes back is looked at,
and the connection goes to the one looked at, so that a name can't point elsewhere a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """The server or address may not be asked. ``str()`` says why, in fixed words."""


@dataclass(frozen=True, slots=True)
class Base:
    """The base address of a FHIR server, normalized: lower case, explicit port, no slash at the end."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    def holds(self, other: Base) -> bool:
        """Whether ``other`` is this base or lies below it."""
        return self.origin == other.origin and (other.path == self.path or other.path.startswith(self.path + "/"))

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def base_of(url: str) -> Base:
    """The base that a URL names.

    Raises:
        Refused: it isn't a plain http(s) address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("it is no address of a FHIR server") from None
    host = (parts.hostname or "").lower().rstrip(".")
    plain = url.isascii() and url.isprintable() and "\\" not in url and not any(space in url for space in " \t")
    if parts.scheme not in _PORTS or not host or parts.username is not None or not plain:
        raise Refused("it is no address of a FHIR server")
    path = parts.path.rstrip("/")
    if any(segment in (".", "..") for segment in path.split("/")) or "%" in path or "//" in path:
        raise Refused("it is no plain address of a FHIR server")
    return Base(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, path)


def allowed(url: str, allowlist: Sequence[str], *, plain_http: bool) -> Base:
    """The base of a FHIR server that the operator has allowed.

    Raises:
        Refused: it isn't on the allowlist, or it isn't https.
    """
    base = base_of(url)
    if not any(base_of(entry).holds(base) for entry in allowlist):
        raise Refused("this FHIR server is not on the allowlist (fhir_servers)")
    if base.scheme != "https" and not plain_http:
        raise Refused("this FHIR server is not asked without TLS (fhir_plain_http)")
    return base


async def address_of(host: str, port: int, *, private: bool, resolve: Resolve | None = None) -> str:
    """The address to connect to.

    Raises:
        Refused: the name can't be resolved, or one of its addresses is not to be asked.
    """
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        try:
            found = list(await (resolve or _system)(host, port))
        except OSError:
            found = []
    if not found:
        raise Refused("the name of this FHIR server can't be resolved")
    if not all(may_ask(ipaddress.ip_address(address), private=private) for address in found):
        raise Refused("this FHIR server has a private address (fhir_private_addresses)")
    return found[0]


def may_ask(address: Address, *, private: bool) -> bool:
    """Whether an address may be asked: a public one; with ``private`` a private or loopback one too, never a link-local
    one (where clouds keep their credentials), multicast, or an IPv6 form that hides an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return may_ask(address.ipv4_mapped, private=private)
        if address.sixtofour is not None or address.teredo is not None or address in _NAT64:
            return False
    if address.is_loopback:
        return private
    if address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved:
        return False
    return address.is_global or (private and address.is_private)


async def _system(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]).partition("%")[0] for entry in found]
