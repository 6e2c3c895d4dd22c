"""Who may certify the FHIR servers that are asked and sent to: the system's authorities, and the site's own in ``fhir_ca``."""

from __future__ import annotations

import ssl
from pathlib import Path

from fhir_adapter.errors import ConfigError, Violation


class Authorities:
    """The authorities in force, whose file can be read again while the service runs: for connections to come.

    Raises:
        ConfigError: the file can't be read, or holds no certificate.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.context = _read(file)
        """Replaced as a whole: what was connected under another one has to be let go of."""

    def reload(self) -> None:
        """Reads the file again. What was is kept where it doesn't hold.

        Raises:
            ConfigError: as at the start.
        """
        self.context = _read(self._file)


def _read(file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if file is None:
        return context
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        why = f"{file} holds no PEM certificate, or one that is broken"
    except OSError as error:
        why = f"{file} can't be read: {error.strerror}"
    else:
        return context
    raise ConfigError(violations=(Violation("fhir_ca", why),)) from None
