"""Examples from FHIR bundles: the laboratory's interpretation is the label, else its interval.

Reads a .json bundle, an .ndjson file with a bundle a line, or a folder of both. A result with neither stands in the prompt without a
label: the catalog's opinion is what a model is to improve on, so it is no label here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from cds_service.bundles import read_all
from cds_service.clinical.assess import assess
from fhir_adapter.catalog import Catalog
from fhir_adapter.errors import LabCueError
from fhir_adapter.model import Panel, PanelResult
from fhir_adapter.normalize import normalize
from fhir_adapter.prompt import LABELS
from fhir_adapter.read import read
from training.examples import DataError, Example, Told, group_of, make
from training.split import Split, split_of

SOURCE = "fhir"
_SAME = {
    "HU": "HH",
    "LU": "LL",
    "POS": "A",
    "DET": "A",
    "RR": "A",
    "NEG": "N",
    "ND": "N",
    "NR": "N",
    "H>": "HH",
    "L<": "LL",
}


def examples(path: Path, catalog: Catalog, *, seed: int = 1) -> Iterator[tuple[Split, Example]]:
    """Each bundle with the laboratory's intervals and, where a label doesn't rest on them alone being shown, withheld.

    Raises:
        DataError: nothing could be read at ``path``.
    """
    chance = random.Random(f"bundles {seed}")
    used = 0
    for data, name in _read(path):
        try:
            intake = read(data)
        except LabCueError:
            continue
        panel = normalize(intake, catalog)
        told = labels(panel)
        if not told:
            continue
        used += 1
        group = group_of(SOURCE, panel.patient.reference or name)
        bare = replace(intake, results=tuple(replace(result, ranges=()) for result in intake.results))
        for case, shown in (("given", panel), ("usual", normalize(bare, catalog))):
            for example in make(shown, told, source=SOURCE, group=group, case=case, shuffle=chance):
                yield split_of(group), example
    if not used:
        raise DataError(f"{path}: holds no bundle with an interpretation or an interval to learn from")


def _read(path: Path) -> Iterator[tuple[bytes, str]]:
    for one in read_all([str(path)]):
        if one.data is not None:
            yield one.data, one.name


def labels(panel: Panel) -> dict[int, Told]:
    """The label of each result that its laboratory judged, by index in the panel."""
    found: dict[int, Told] = {}
    by_rule = {finding.index: finding for finding in assess(panel).results}
    for index, placed in enumerate(panel.results):
        coded = _interpreted(placed)
        if coded is not None:
            found[index] = coded, "interpretation"
            continue
        finding = by_rule[index]
        if finding.code is not None and placed.interval is not None and placed.interval.source == "lab":
            found[index] = finding.code, "interval"
    return found


def _interpreted(placed: PanelResult) -> str | None:
    for code in placed.result.interpretation:
        label = _SAME.get(code, code)
        if label in LABELS:
            return label
    return None
