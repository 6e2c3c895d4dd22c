"""What SIGHUP does: what lies in files is read again while requests go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from fhir_adapter.errors import LabCueError

log = logging.getLogger(__name__)


class Reloads:
    """Parts by name, each a function that reads again and raises where what it finds doesn't hold.

    One that doesn't hold is named in the log, what was read before counts on, and the other parts are read all the same.
    """

    def __init__(self, parts: Mapping[str, Callable[[], object]]) -> None:
        self._parts = parts
        self._one_at_a_time = asyncio.Lock()
        self._running: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """Begins to read again, for a signal handler."""
        running = asyncio.ensure_future(self.run())
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def run(self) -> None:
        """Reads everything again, in a thread."""
        async with self._one_at_a_time:
            for name, read in self._parts.items():
                try:
                    await asyncio.to_thread(read)
                except LabCueError as error:
                    for fault in error.violations:
                        log.error("%s not read again: %s: %s", name, fault.path, fault.description)
                    if not error.violations:
                        log.error("%s not read again: %s", name, error.code)
                except Exception as error:
                    log.error("%s not read again: %s", name, type(error).__name__)
                else:
                    log.info("%s read again", name)
