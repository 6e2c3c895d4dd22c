"""`labcue clients`: the file of clients from an operator's side."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cds_service.trust.audience import normal
from cds_service.trust.clients import NAME, NAME_RULE, PERMISSIONS, Client, read_clients, secret_digest
from cds_service.trust.gate import FIXED_BEARER
from cds_service.trust.signing import Signer, new_key, read_private_key
from fhir_adapter.errors import ConfigError, Violation

_ISSUER = re.compile(r"[!#-\[\]-~]+")
"""Printable, without blanks, quotes and backslashes: what stands in a TOML string as it is."""


def shown(file: Path, *, allow_loopback_http: bool) -> str:
    """The clients of a file, one paragraph each.

    Raises:
        ConfigError: with every fault of it.
    """
    clients = read_clients(file, allow_loopback_http=allow_loopback_http)
    return "\n".join(_paragraph(client) for client in clients.by_name.values())


def _paragraph(client: Client) -> str:
    lines = [client.name, f"  may       {', '.join(one for one in PERMISSIONS if one in client.permissions)}"]
    if client.issuer is not None:
        lines.append(f"  tokens    from {client.issuer}" + (f", tenant {client.tenant}" if client.tenant else ""))
    if client.keys is not None:
        lines.append(f"  keys      by file: {', '.join(client.keys)}")
        lines += [f"  jku       {url} (taken as a name, not fetched)" for url in client.jku]
    else:
        lines += [f"  keys      from {url}" for url in client.jku]
    lines += [f"  knows     certificate {name}" for name in client.certificates]
    lines += [f"  secret    {digest[:12]}…, for notify alone" for digest in client.secrets]
    rate = f"{client.per_minute:g} a minute, {client.burst} at once" if client.per_minute else "no limit of its own"
    return "\n".join([*lines, f"  rate      {rate}"])


def new(name: str, file: Path, issuer: str, permissions: list[str]) -> str:
    """Makes keys for a client and adds it to ``file``; says what was made.

    Raises:
        ConfigError: a name, issuer or permission that isn't one, a client that is there already, a file that can't be written.
    """
    private, public = file.parent / f"{name}.private.jwk.json", file.parent / f"{name}.jwks.json"
    faults = _faults(name, file, [private, public])
    if not _ISSUER.fullmatch(issuer):
        faults.append(Violation("--issuer", "printable characters without blanks and quotes"))
    faults += [
        Violation("--permission", f"{one}: one of {', '.join(PERMISSIONS)}")
        for one in permissions
        if one not in PERMISSIONS
    ]
    if faults:
        raise ConfigError("The client can't be made.", violations=tuple(faults))
    key = new_key()
    listed = ", ".join(f'"{one}"' for one in dict.fromkeys(permissions))
    entry = f'issuer = "{issuer}"\nkey_file = "{public.name}"\npermissions = [{listed}]\n'
    with _files_said(file):
        _write(private, json.dumps(key.as_dict(private=True), indent=2), 0o600)
        _write(public, json.dumps({"keys": [key.as_dict(private=False)]}, indent=2), 0o644)
        _append(file, name, entry)
    return f"{file}: client {name} added\n{private}: its private key, for the client alone\n{public}: its public key"


def new_with_secret(name: str, file: Path) -> str:
    """Makes a secret for a client that can only send the same header always, and adds it to ``file``.

    Raises:
        ConfigError: as :func:`new`.
    """
    kept = file.parent / f"{name}.secret"
    if faults := _faults(name, file, [kept]):
        raise ConfigError("The client can't be made.", violations=tuple(faults))
    secret = f"{FIXED_BEARER}{secrets.token_urlsafe(32)}"
    with _files_said(file):
        _write(kept, secret, 0o600)
        _append(file, name, f'secrets_sha256 = ["{secret_digest(secret)}"]\npermissions = ["notify"]\n')
    return f"{file}: client {name} added\n{kept}: its secret, for the client alone: Authorization: Bearer …"


def _faults(name: str, file: Path, made: list[Path]) -> list[Violation]:
    """Why a client of that name, with those files, can't be made."""
    faults = [] if NAME.fullmatch(name) else [Violation("NAME", NAME_RULE)]
    faults += [Violation(str(path), "is there already") for path in made if path.exists()]
    if not faults and file.exists() and name in read_clients(file, allow_loopback_http=True).by_name:
        faults.append(Violation("NAME", f"{file} has a client {name} already"))
    return faults


@contextmanager
def _files_said(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(violations=(Violation(str(error.filename or file), str(error.strerror)),)) from None


def _append(file: Path, name: str, entry: str) -> None:
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    table = f"[clients.{name}]\n{entry}"
    file.write_text(f"{before.rstrip()}\n\n{table}" if before.strip() else table, encoding="utf-8")


def _write(path: Path, text: str, mode: int) -> None:
    """A new file that never had wider rights than ``mode``."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as out:
        out.write(text + "\n")


def token(name: str, url: str, file: Path, key: Path | None, life_s: int) -> str:
    """A token of a client for one call of ``url``.

    Raises:
        ConfigError: no such client, no private key, or no URL.
    """
    client = read_clients(file, allow_loopback_http=True).by_name.get(name)
    if client is None or client.issuer is None:
        raise ConfigError(violations=(Violation("NAME", f"{file} has no client {name} with an issuer"),))
    if normal(url) is None:
        raise ConfigError(violations=(Violation("--url", "must be the http(s) URL that will be called"),))
    private = read_private_key(key or file.parent / f"{name}.private.jwk.json")
    return Signer(private, client.issuer, url, client.tenant, next(iter(client.jku), None), life_s)()
