"""The clients that the service knows: who they are, how they prove it, what they may do."""

from __future__ import annotations

import hashlib
import hmac
import re
import tomllib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from cds_service.trust.key_sets import may_fetch
from cds_service.trust.keys import Keys, read_key_file
from fhir_adapter.errors import ConfigError, Violation

Permission = Literal["evaluate", "feedback", "notify", "audit", "admin"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
CERTIFICATE = re.compile(r"(dns|uri|subject):.+|sha256:[0-9a-f]{64}")
"""How a client certificate is named: a name of its subjectAltName, its subject (RFC 4514), or its fingerprint."""
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
NAME_RULE = "a name has small letters, digits and hyphens, at most 64, and begins with a letter"

Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


@dataclass(frozen=True, slots=True)
class Client:
    """One client. ``keys`` are those given by a file; without them they are fetched from ``jku``."""

    name: str
    issuer: str | None
    tenant: str | None
    jku: tuple[str, ...]
    keys: Keys | None
    certificates: tuple[str, ...]
    secrets: tuple[str, ...]
    permissions: frozenset[Permission]
    per_minute: float | None
    burst: int

    def may(self, permission: Permission) -> bool:
        """Whether the client has a permission; ``admin`` implies all others."""
        return permission in self.permissions or "admin" in self.permissions


@dataclass(frozen=True, slots=True)
class Clients:
    """All clients, and whom a token or a certificate belongs to."""

    by_name: Mapping[str, Client]
    _by_issuer: Mapping[tuple[str, str | None], Client]
    _by_certificate: Mapping[str, Client]

    def of_issuer(self, issuer: str, tenant: str | None) -> Client | None:
        """The client with that issuer and tenant, else the one that takes any tenant of the issuer."""
        return self._by_issuer.get((issuer, tenant)) or self._by_issuer.get((issuer, None))

    def of_certificate(self, names: tuple[str, ...]) -> Client | None:
        """The client that one of a certificate's names stands for (see CERTIFICATE)."""
        return next((self._by_certificate[name] for name in names if name in self._by_certificate), None)

    def of_secret(self, secret: str) -> Client | None:
        """The client that has a secret. All of them are compared, each in constant time."""
        shown, found = secret_digest(secret), None
        for client in self.by_name.values():
            for known in client.secrets:
                if hmac.compare_digest(shown, known):
                    found = client
        return found


def secret_digest(secret: str) -> str:
    """What a clients file holds of a secret: SHA-256, enough for one that is random and long."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


_CURRENT: ContextVar[Client | None] = ContextVar("labcue_client", default=None)


def set_current(client: Client) -> None:
    """Says on whose behalf the current task works."""
    _CURRENT.set(client)


def current_client() -> Client | None:
    """On whose behalf the current task works; None where nobody has to say who they are."""
    return _CURRENT.get()


class _Entry(BaseModel):
    """A table [clients.NAME] as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Text | None = None
    tenant: Text | None = None
    jku: list[Text] = []
    key_file: Path | None = None
    certificates: list[Text] = []
    secrets_sha256: list[Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]] = []
    permissions: list[Permission]
    rate_per_minute: float | None = Field(None, gt=0)
    burst: int | None = Field(None, ge=1)


def read_clients(path: Path, *, allow_loopback_http: bool = False) -> Clients:
    """The clients of a TOML file, and the keys of the files it names (relative to its folder).

    Raises:
        ConfigError: with a Violation for every fault there is.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(violations=(Violation("clients", f"{path}: {error.strerror}"),)) from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise ConfigError(violations=(Violation("clients", f"{path} is no TOML: {error}"),)) from None
    faults = [
        Violation(name, "is not known; a client is a table [clients.NAME]") for name in document if name != "clients"
    ]
    tables = document.get("clients", {})
    if not isinstance(tables, dict) or not tables:
        faults.append(Violation("clients", "there is no client; add a table [clients.NAME]"))
        tables = {}
    found = [_client(name, table, path.parent, faults, allow_loopback_http) for name, table in tables.items()]
    clients = [client for client in found if client is not None]
    by_issuer = _index(((client.issuer, client.tenant), client) for client in clients if client.issuer is not None)
    by_certificate: dict[str, Client] = {}
    for client in clients:
        key = (client.issuer, client.tenant)
        if client.issuer is not None and by_issuer[client.issuer, client.tenant] is not client:
            faults.append(Violation(f"clients.{client.name}.issuer", f"is that of {by_issuer[key].name} too"))  # type: ignore[index]
        for name in client.certificates:
            if by_certificate.setdefault(name, client) is not client:
                faults.append(
                    Violation(f"clients.{client.name}.certificates", f"{name} is {by_certificate[name].name}'s too")
                )
    if faults:
        raise ConfigError(f"{path} doesn't hold.", violations=tuple(faults))
    return Clients({client.name: client for client in clients}, by_issuer, by_certificate)


def _index(pairs: Any) -> dict[tuple[str, str | None], Client]:
    index: dict[tuple[str, str | None], Client] = {}
    for key, client in pairs:
        index.setdefault(key, client)
    return index


def _client(
    name: str, table: object, folder: Path, faults: list[Violation], allow_loopback_http: bool
) -> Client | None:
    """One client; what is wrong with it is added to ``faults``."""
    where = f"clients.{name}"
    try:
        entry = _Entry.model_validate(table)
    except ValidationError as error:
        faults += [Violation(".".join([where, *map(str, one["loc"])]), one["msg"]) for one in error.errors()]
        return None
    before = len(faults)
    if not NAME.fullmatch(name):
        faults.append(Violation(where, NAME_RULE))
    if entry.issuer is None and not entry.certificates and not entry.secrets_sha256:
        faults.append(
            Violation(
                where, "give an issuer (for tokens), certificates (for mutual TLS), or secrets_sha256 (for notify)"
            )
        )
    if entry.secrets_sha256 and "notify" not in entry.permissions:
        faults.append(
            Violation(f"{where}.secrets_sha256", "are good for notify alone, which isn't among the permissions")
        )
    if entry.issuer is None and (entry.jku or entry.key_file or entry.tenant):
        faults.append(Violation(f"{where}.issuer", "is needed with jku, key_file or tenant"))
    if entry.issuer is not None and not entry.jku and entry.key_file is None:
        faults.append(Violation(where, "an issuer needs its keys: key_file, or jku to fetch them from"))
    if not entry.permissions:
        faults.append(Violation(f"{where}.permissions", f"give some of {', '.join(PERMISSIONS)}"))
    if entry.burst is not None and entry.rate_per_minute is None:
        faults.append(Violation(f"{where}.burst", "needs rate_per_minute"))
    faults += [
        Violation(f"{where}.jku", "must begin with https://")
        for url in entry.jku
        # With a file at hand nothing is fetched, so the address is only a name.
        if entry.key_file is None and not may_fetch(url, allow_loopback_http=allow_loopback_http)
    ]
    faults += [
        Violation(
            f"{where}.certificates", f"{one}: write dns:NAME, uri:URI, subject:CN=…, or sha256: and 64 hex digits"
        )
        for one in entry.certificates
        if not CERTIFICATE.fullmatch(one)
    ]
    keys = None
    if entry.key_file is not None:
        try:
            keys = read_key_file(folder / entry.key_file)
        except ValueError as error:
            faults.append(Violation(f"{where}.key_file", str(error)))
    if len(faults) > before:
        return None
    rate = entry.rate_per_minute
    return Client(
        name=name,
        issuer=entry.issuer,
        tenant=entry.tenant,
        jku=tuple(entry.jku),
        keys=keys,
        certificates=tuple(entry.certificates),
        secrets=tuple(entry.secrets_sha256),
        permissions=frozenset(entry.permissions),
        per_minute=rate,
        burst=entry.burst if entry.burst is not None else max(1, round((rate or 0) / 6)),
    )
