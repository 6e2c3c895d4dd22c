"""`labcue catalog learn`: a site's file from its bundles."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cds_service.bundles import read_all, total_bytes
from cds_service.commands.common import complain
from fhir_adapter import catalog as catalogs
from fhir_adapter.errors import LabCueError
from fhir_adapter.normalize import normalize
from fhir_adapter.read import Limits, read
from fhir_adapter.site import Learner, write_site

MAX_BYTES = 64 * 1024 * 1024
_LIMITS = Limits(max_bytes=MAX_BYTES, max_observations=100_000)
_NOTHING = 2


def learn(paths: Sequence[str], out: Path, name: str) -> int:
    """Reads every bundle once, writes the profile, and says what it found; what can't be read is named and passed over."""
    catalog, learner = catalogs.load(), Learner()
    read_in = left_out = 0
    console = Console(stderr=True, markup=False, emoji=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("learning", total=total_bytes(paths))
        for source in read_all(paths, max_bytes=MAX_BYTES):
            try:
                if source.data is None:
                    raise LabCueError(source.fault)
                learner.add(normalize(read(source.data, limits=_LIMITS), catalog))
                read_in += 1
            except LabCueError as error:
                left_out += 1
                complain(f"{source.name}: {error}")
            progress.update(task, advance=source.consumed, description=f"{read_in:,} bundles")
    site = learner.site(name)
    entries = [one for group in site.intervals.values() for one in group]
    if not entries:
        complain("labcue: no test carried the same interval often enough to learn it")
        return _NOTHING
    try:
        write_site(site, out)
    except OSError as error:
        complain(f"labcue: {out}: {error.strerror}")
        return _NOTHING
    mixed = sum(bool(one.others) for one in entries)
    print(
        f"{len(entries)} intervals of {len(site.intervals)} tests and units, {len(site.aliases)} names, from {read_in:,} bundles "
        f'({left_out} left out) → {out}\n{mixed} of them were chosen over others: see "others" there.',
        file=sys.stderr,
    )
    return 0
