"""The named adapters of a service, each an engine on the same model, read again while it serves.

Each engine is immutable: who took one for a request is answered by that one to the end, its threshold and name included,
whatever is swapped meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cds_service.inference.engine import Engine
from fhir_adapter.errors import ConfigError, InvalidInput, Violation

log = logging.getLogger(__name__)

Load = Callable[[str, Path], Engine]
"""Makes the engine of an adapter from its name and folder. Raises ConfigError."""
Fingerprint = Callable[[Path], str]
"""Something of a folder's content that changes with it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a reload did with one adapter. ``why`` names file and field where it was refused."""

    adapter: str
    outcome: Literal["unchanged", "loaded", "refused"]
    why: str = ""


class Engines:
    """An engine for each named adapter; none without folders. Safe from several threads.

    Raises:
        ConfigError: adapters that can't be loaded, all of them named.
    """

    def __init__(
        self,
        folders: Mapping[str, Path] | None = None,
        load: Load | None = None,
        fingerprint: Fingerprint = lambda folder: "",
    ) -> None:
        self._folders = dict(folders or {})
        self._load, self._fingerprint = load, fingerprint
        self._named: dict[str, tuple[Engine, str]] = {}
        self._reloading = threading.Lock()
        faults: list[Violation] = []
        for name in self._folders:
            try:
                self._named[name] = self._read(name)
            except ConfigError as error:
                faults.extend(error.violations)
        if faults:
            raise ConfigError("; ".join(fault.description for fault in faults), violations=tuple(faults))

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters that a request may name, in the order of the settings."""
        return tuple(self._folders)

    def get(self, adapter: str) -> Engine:
        """The engine of an adapter as it is now.

        Raises:
            InvalidInput: there is none of that name; another one never answers in its place.
        """
        found = self._named.get(adapter)
        if found is None:
            raise InvalidInput(violations=(Violation("labcue-adapter", "this service has no adapter of that name"),))
        return found[0]

    def reload(self) -> list[Change]:
        """Reads the adapters' folders again and swaps those that have changed. One that is refused leaves the old one in
        force and is logged with its reason. Requests go on meanwhile."""
        with self._reloading:
            changes = [self._again(name) for name in self._folders]
        for change in changes:
            if change.outcome == "refused":
                log.error("adapter %s: refused, the old one stays: %s", change.adapter, change.why)
            else:
                log.info("adapter %s: %s", change.adapter, change.outcome)
        return changes

    def _again(self, name: str) -> Change:
        if self._fingerprint(self._folders[name]) == self._named[name][1]:
            return Change(name, "unchanged")
        try:
            self._named[name] = self._read(name)
        except ConfigError as error:
            return Change(name, "refused", str(error))
        return Change(name, "loaded")

    def _read(self, name: str) -> tuple[Engine, str]:
        if self._load is None:
            raise ConfigError
        folder = self._folders[name]
        known = self._fingerprint(folder)  # before it is read: what changes meanwhile is seen by the next reload
        return self._load(name, folder), known
