"""A progress bar on stderr for long input; nothing where nobody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Protocol, TypeVar


class Consuming(Protocol):
    """What came of a piece of the input, and how many bytes of it that took."""

    @property
    def consumed(self) -> int: ...


Item = TypeVar("Item", bound=Consuming)

PATIENCE_S = 1.0
"""The bar comes when the work has lasted this long."""


def watched(outcomes: Iterator[Item], total: int | None) -> Iterator[Item]:
    """The same outcomes, with a bar while they come. ``total`` is the input's size in bytes, None where it isn't known.

    Only where stderr is a terminal and stdout is not: answers that scroll by are progress enough.
    """
    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield from outcomes
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[count]} bundles"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %" if total else ""),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, markup=False, emoji=False)
    progress = Progress(*columns, console=console, transient=True, redirect_stdout=False)
    task = progress.add_task("", total=total, count=0)
    begun, shown = time.monotonic(), False
    try:
        for count, outcome in enumerate(outcomes, start=1):
            progress.update(task, advance=outcome.consumed, count=count)
            if not shown and time.monotonic() - begun > PATIENCE_S:
                progress.start()
                shown = True
            yield outcome
    finally:
        if shown:
            progress.stop()
