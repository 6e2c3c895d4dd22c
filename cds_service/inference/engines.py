"""The engines of a service: the default one, and one for each named adapter on the same model; re-read while it serves.

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

Load = Callable[[Path, str], Engine]
"""Makes the engine of an adapter's folder; the text is the setting that names it, for errors. Raises ConfigError."""
Fingerprint = Callable[[Path], str]


@dataclass(frozen=True, slots=True)
class Change:
    """What a reload did with one adapter. ``why`` names file and field where it was refused."""

    adapter: str
    outcome: Literal["unchanged", "loaded", "refused"]
    why: str = ""


class Engines:
    """``default`` answers requests that name no adapter; None where rules alone answer. Safe from several threads."""

    def __init__(
        self,
        default: Engine | None,
        folders: Mapping[str, Path] | None = None,
        *,
        load: Load | None = None,
        fingerprint: Fingerprint = lambda folder: "",
    ) -> None:
        self._default = default
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
    def default(self) -> Engine | None:
        """The engine of requests that name no adapter."""
        return self._default

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters that a request may name, in the order of the settings."""
        return tuple(self._folders)

    def get(self, adapter: str | None) -> Engine | None:
        """The engine for a request.

        Raises:
            InvalidInput: there is no adapter of that name; another one never answers in its place.
        """
        if not adapter:
            return self._default
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
        folder, where = self._folders[name], f"adapters.{name}"
        if self._load is None:
            raise ConfigError(
                "this engine takes no adapters", violations=(Violation(where, "this engine takes no adapters"),)
            )
        known = self._fingerprint(folder)
        return self._load(folder, where), known
