"""The URL that a caller called: what the ``aud`` of its token has to be."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
"""A name, or an IPv6 address without its brackets; in lower case."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


def normal(url: str) -> str | None:
    """A URL in one spelling: scheme and host in lower case, no default port. None where it is no http(s) URL, or has a
    query, a fragment or a user."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host or not _HOST.fullmatch(host):
        return None
    if "@" in parts.netloc or "?" in url or "#" in url:
        return None
    shown = f"[{host}]" if ":" in host else host
    colon = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{shown}{colon}{parts.path}"


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own and no other's: 127.0.0.0/8, ::1, localhost."""
    bare = host.strip("[]").lower()
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost"


@dataclass(frozen=True, slots=True)
class Audience:
    """What may stand in ``aud``: a base, then one of the paths. Without bases any base on loopback counts."""

    paths: tuple[str, ...]
    bases: tuple[str, ...] | None

    def includes(self, aud: object) -> bool:
        """Whether a token's ``aud``, a string or an array of them, names the URL called."""
        named = aud if isinstance(aud, list) else [aud]
        return any(isinstance(one, str) and self._is(one) for one in named)

    def _is(self, aud: str) -> bool:
        url = normal(aud)
        if url is None:
            return False
        if self.bases is not None:
            return url in {base + path for base in self.bases for path in self.paths}
        parts = urlsplit(url)
        return is_loopback(parts.hostname or "") and parts.path in self.paths


def called_base(
    scheme: str, host: str, peer: str | None, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network]
) -> str | None:
    """Scheme and host of the URL called. Only a trusted proxy's X-Forwarded-Proto and X-Forwarded-Host count.

    ``peer`` is the address of whoever connected. None where what was sent makes no URL.
    """
    if peer is not None and _is_among(peer, trusted):
        sent = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"x-forwarded-")}
        # The last value is what the proxy next to us wrote; what stands before it came from further away.
        scheme = sent.get(b"x-forwarded-proto", scheme).rsplit(",", 1)[-1].strip().lower()
        host = sent.get(b"x-forwarded-host", host).rsplit(",", 1)[-1].strip()
    base = normal(f"{scheme}://{host}")
    return base if base is not None and urlsplit(base).path == "" else None


def _is_among(peer: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in networks)
