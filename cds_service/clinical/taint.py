"""What spoils a sample: haemolysis, by a comment or by the sample's own index."""

from __future__ import annotations

import re

from cds_service.domain import Basis, Said
from fhir_adapter.model import Answer, Panel, PanelResult, Quantity

SENSITIVE = frozenset({"potassium", "potassium-blood", "ldh", "ast", "phosphate", "magnesium"})
"""Analytes that leak from red cells; a haemolysed sample reads them too high."""
SOURCE = "CLSI C56-A: Hemolysis, Icterus, and Lipemia/Turbidity Indices as Indicators of Interference, 2012"

_HAEMOLYSED = re.compile(r"h[aeéæ]{1,2}mol[yi][sz]|hémoly", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:no|not|non|without|pas|sans|absence|negative|nil)\b[^.;,:]{0,24}h[aeéæ]{1,2}mol", re.IGNORECASE
)
_INDEX_LIMIT = 50.0
"""mg/dL of free haemoglobin (the usual scale of the index) from which potassium is noticeably raised."""


def haemolysed(placed: PanelResult) -> bool:
    """Whether the result's own comments call the sample haemolysed."""
    return any(_HAEMOLYSED.search(comment) and not _DENIED.search(comment) for comment in placed.result.comments)


def haemolysis_times(panel: Panel) -> frozenset[object]:
    """Times at which the panel's own haemolysis index says haemolysed."""
    found = set()
    for placed in panel.results:
        if placed.analyte is None or placed.analyte.id != "haemolysis-index":
            continue
        value = placed.result.value
        graded = isinstance(value, Answer) and re.match(
            r"^\s*(?:[2-4]\s*\+|\+{2,4}|moderate|gross|marked)", value.text, re.I
        )
        if graded or (isinstance(value, Quantity) and value.comparator is None and value.number > _INDEX_LIMIT):
            found.add(placed.result.effective)
    return frozenset(found)


def bases(placed: PanelResult, times: frozenset[object]) -> tuple[Basis, ...]:
    """A warning on a result that haemolysis spoils."""
    if placed.analyte is None or placed.analyte.id not in SENSITIVE:
        return ()
    if haemolysed(placed) or (times and placed.result.effective in times):
        return (Basis("taint", Said("haemolysed"), citation=SOURCE),)
    return ()
