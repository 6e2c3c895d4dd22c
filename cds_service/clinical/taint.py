"""What spoils a sample: haemolysis, lipaemia, icterus, by a comment or by the sample's own index."""

from __future__ import annotations

import re
from dataclasses import dataclass

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


def _index_is_high(placed: PanelResult, usual: float | None = _INDEX_LIMIT) -> bool:
    value = placed.result.value
    if isinstance(value, Answer):
        return _GRADED.match(value.text) is not None
    if not isinstance(value, Quantity) or value.comparator in ("<", "<="):
        return False
    limit = placed.interval.high if placed.interval is not None and placed.interval.source == "lab" else None
    limit = usual if limit is None else limit
    if limit is None:
        return False
    return value.number > limit or (value.comparator == ">" and value.number == limit)


@dataclass(frozen=True, slots=True)
class _Colour:
    """What else turns a sample: its words, its index, and the analytes that it misleads."""

    key: str
    word: re.Pattern[str]
    denied: re.Pattern[str]
    index: str
    analytes: frozenset[str]


def _colour(key: str, stem: str, index: str, *analytes: str) -> _Colour:
    denied = rf"\b(?:no|not|non|without|pas|sans|absence|negative|nil)\b[^.;,:]{{0,24}}{stem}|{stem}\w*[^.;,]{{0,12}}(?:none|nil|absent|negative|:\s*(?:no|non|0)\b)"
    word = re.compile(rf"\b{stem}", re.IGNORECASE)
    return _Colour(key, word, re.compile(denied, re.IGNORECASE), index, frozenset(analytes))


_COLOURS = (
    _colour(
        "lipaemic", r"lip[aeéæ]{1,2}mi", "lipaemia-index", "sodium", "chloride", "haemoglobin", "mch", "mchc", "albumin"
    ),
    _colour("icteric", r"ict[eèé]r", "icterus-index", "creatinine", "cholesterol", "triglycerides", "uric-acid"),
)
"""Lipaemia displaces plasma water and scatters light; bilirubin absorbs it and reacts. Their indices have no common scale:
only the laboratory's own limit, or a graded answer, calls one high."""


def coloured_times(panel: Panel) -> frozenset[tuple[str, object]]:
    """(lipaemic or icteric, time) where the panel's own index says so."""
    return frozenset(
        (colour.key, placed.result.effective)
        for placed in panel.results
        if placed.analyte is not None
        for colour in _COLOURS
        if placed.analyte.id == colour.index and _index_is_high(placed, None)
    )


def bases(
    placed: PanelResult, times: frozenset[object], colours: frozenset[tuple[str, object]] = frozenset()
) -> tuple[Basis, ...]:
    """Warnings on a result that its sample spoils; on a normal one too: haemolysis may hide a low value."""
    if placed.analyte is None:
        return ()
    found = []
    if placed.analyte.id in LEAKING and (haemolysed(placed) or (times and placed.result.effective in times)):
        found.append(Basis("taint", Said("haemolysed"), citation=SOURCE))
    if not colours and not placed.result.comments:
        return tuple(found)
    for colour in _COLOURS:
        if placed.analyte.id not in colour.analytes:
            continue
        said = any(colour.word.search(one) and not colour.denied.search(one) for one in placed.result.comments)
        if said or (colour.key, placed.result.effective) in colours:
            found.append(Basis("taint", Said(colour.key), citation=SOURCE))
    return tuple(found)
