"""Why a door can't listen where the settings say, by the setting that has to change and what to do."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Literal

from cds_service.config import Settings
from fhir_adapter.errors import ConfigError, Violation

Port = Literal["port", "http_port"]


def check_host(settings: Settings) -> None:
    """Nothing where ``host`` is an address, or a name that has one.

    Raises:
        ConfigError: nobody knows the name.
    """
    with suppress(UnicodeError):
        try:
            socket.getaddrinfo(_bare(settings), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except socket.gaierror:
            pass
        else:
            return
    why = f"{settings.host} is neither an address nor a name that is known here: {_OWN}"
    raise ConfigError(violations=(Violation("host", why),))


def listening(settings: Settings, port: Port) -> socket.socket:
    """A socket that listens on ``host`` and this port.

    Raises:
        ConfigError: it can't.
    """
    host = _bare(settings)
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, getattr(settings, port)))
        found.listen(2048)
    except OSError as error:
        found.close()
        raise ConfigError(violations=(_why(settings, port, error),)) from None
    return found


def refused(settings: Settings, port: Port) -> ConfigError:
    """Why gRPC could not listen, which keeps it to itself: the same is tried by a plain socket."""
    try:
        listening(settings, port).close()
    except ConfigError as error:
        return error
    return ConfigError(violations=(_why(settings, port, OSError()),))


_OWN = "give an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 or :: for all that it has"


def _why(settings: Settings, port: Port, error: OSError) -> Violation:
    number, option = getattr(settings, port), f"--{port.replace('_', '-')}"
    where = f"can't listen on {settings.host}:{number}"
    match error.errno:
        case errno.EADDRINUSE:
            return Violation(port, f"{where}: something else does; stop that, or give another {option} (0: a free one)")
        case errno.EADDRNOTAVAIL:
            return Violation("host", f"{where}: this machine has no such address; {_OWN}")
        case errno.EACCES | errno.EPERM:
            return Violation(
                port,
                f"{where}: this user may not; give a {option} of 1024 or more, or the right to lower ones (CAP_NET_BIND_SERVICE)",
            )
    said = f" ({error.strerror})" if error.strerror else ""
    return Violation(port, f"{where}{said}; give another --host or {option}")


def _bare(settings: Settings) -> str:
    return settings.host.strip("[]")
