"""What spoils a sample: haemolysis, by a comment or by the sample's own index."""

from __future__ import annotations

import re

from cds_service.clinical.analytes import HAEMOLYSIS_INDEX, LEAKING
from cds_service.domain import Basis, Said
from fhir_adapter.model import Answer, Panel, PanelResult, Quantity

SOURCE = "CLSI C56-A: Hemolysis, Icterus, and Lipemia/Turbidity Indices as Indicators of Interference, 2012"

_STEM = r"h[aeéæ]{1,2}\u0301?moly[sz]"
_HAEMOLYSED = re.compile(rf"\b{_STEM}", re.IGNORECASE)
_DENIED = re.compile(
    rf"\b(?:no|not|non|without|pas|sans|absence|negative|nil)\b[^.;,:]{{0,24}}{_STEM}"
    rf"|\b{_STEM}\w*(?:\s+ind(?:ex|ice))?\s*(?:"
    r"(?:[:=-]|is|was|est)?\s*(?:none|nil|abs[ea]nt|negative|négati|not (?:detected|seen|present|observed|noted|visible))"
    r"|[:=]\s*(?:no|non)\b"
    r"|[:=]?\s*(?:[0-4]?\d|50)(?:[.,]\d+)?(?![\d%])(?!\s*\+))",
    re.IGNORECASE,
)
"""No haemolysis: denied before or after the word, or an index of at most 50."""
_GRADED = re.compile(
    r"\s*(?:[2-4]\s*\+|\+\s*[2-4]|\+{2,4}|moder|modér|gross|marked|strong|severe|sévère|import|fort)", re.IGNORECASE
)
_INDEX_LIMIT = 50.0
"""mg/dL of free haemoglobin (the usual scale of the index) from which potassium is noticeably raised; used where the
laboratory gives its index no limit of its own."""


def haemolysed(placed: PanelResult) -> bool:
    """Whether the result's own comments call the sample haemolysed."""
    return any(_HAEMOLYSED.search(comment) and not _DENIED.search(comment) for comment in placed.result.comments)


def haemolysis_times(panel: Panel) -> frozenset[object]:
    """Times at which the panel's own haemolysis index says haemolysed."""
    return frozenset(
        placed.result.effective
        for placed in panel.results
        if placed.analyte is not None and placed.analyte.id == HAEMOLYSIS_INDEX and _index_is_high(placed)
    )


def _index_is_high(placed: PanelResult) -> bool:
    value = placed.result.value
    if isinstance(value, Answer):
        return _GRADED.match(value.text) is not None
    if not isinstance(value, Quantity) or value.comparator in ("<", "<="):
        return False
    limit = placed.interval.high if placed.interval is not None and placed.interval.source == "lab" else None
    limit = _INDEX_LIMIT if limit is None else limit
    return value.number > limit or (value.comparator == ">" and value.number == limit)


def bases(placed: PanelResult, times: frozenset[object]) -> tuple[Basis, ...]:
    """A warning on a result that haemolysis spoils, a normal one too: it may hide a low value."""
    if placed.analyte is None or placed.analyte.id not in LEAKING:
        return ()
    if haemolysed(placed) or (times and placed.result.effective in times):
        return (Basis("taint", Said("haemolysed"), citation=SOURCE),)
    return ()
