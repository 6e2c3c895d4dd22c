"""The rules: one Finding per result, from the laboratory's interval to the patterns."""

from __future__ import annotations

from functools import lru_cache

from cds_service.clinical import bilirubin, context, patterns, qualitative, series, taint, titre
from cds_service.clinical.derived.compute import with_derived
from cds_service.clinical.interpretation import meaning
from cds_service.clinical.interval import Side, beyond, side
from cds_service.clinical.seen import see
from cds_service.clinical.show import interval_text
from cds_service.domain import Basis, Code, Finding, Findings, Pattern, Said, unjudged
from fhir_adapter.model import (
    Answer,
    IntervalSource,
    Measured,
    Panel,
    PanelResult,
    Patient,
    Quantity,
    Span,
    Titre,
)

_SAID_SIDE = {"N": "inside", "L": "below", "H": "above"}
_CRITICAL = ("LL", "HH", "AA")
CRITICAL_ANSWERS = frozenset({"blood-culture", "csf-culture", "blood-parasites"})
"""Where a finding is phoned whatever it is."""
PHONED = (
    "Royal College of Pathologists. The communication of critical and unexpected pathology results (G158). London; 2017"
)


def assess(panel: Panel) -> Findings:
    """Judges every result of a panel, in order; linear, and pure."""
    times, colours = taint.haemolysis_times(panel), taint.coloured_times(panel)
    findings = tuple(_judge(index, placed, times, colours, panel.patient) for index, placed in enumerate(panel.results))
    seen = with_derived(see(panel, findings))
    found = patterns.find(seen)
    return Findings(_judged_by(found, findings), found, tuple(seen.derived.values()))


def _judged_by(found: tuple[Pattern, ...], findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """A result without any interval that leads a pattern has met a cited limit: that judges it."""
    judged = {one.indices[0]: one for one in found if findings[one.indices[0]].code is None}
    if not judged:
        return findings
    made = list(findings)
    for index, pattern in judged.items():
        made[index] = Finding(index, "A", (Basis("pattern", Said("pattern-judges"), citation=pattern.citation),))
    return tuple(made)


def _judge(
    index: int,
    placed: PanelResult,
    times: frozenset[object],
    colours: frozenset[tuple[str, object]],
    patient: Patient,
) -> Finding:
    value = placed.result.value
    if isinstance(value, Measured):
        code, basis, floor, reason = _number(placed, value)
    elif isinstance(value, Answer):
        code, basis, floor, reason = _answer(placed, value)
    else:
        code, basis, floor, reason = _titre(placed, value)
    if reason == "no-interval" and (newborn := bilirubin.judge(placed, patient)) is not None:
        code, reason, floor = newborn[0], "", newborn[0] == "HH"
        basis.append(newborn[1])
    if placed.interval is not None and placed.interval.about:
        basis.extend(context.bases(placed, code, patient))
    code, floor = _laboratory_says(placed, code, basis, floor)
    if code is None or (reason == "implausible" and code == "N"):
        return Finding(index, None, not_assessed=unjudged(placed, reason))
    if reason == "implausible":
        basis.append(Basis("taint", Said("implausible-called")))
    basis.extend(taint.bases(placed, times, colours))
    basis.extend(series.bases(placed))
    if placed.result.status == "preliminary":
        basis.append(Basis("preliminary", Said("preliminary")))
    return Finding(index, code, tuple(basis), floor)


def _number(placed: PanelResult, value: Quantity | Span) -> tuple[Code | None, list[Basis], bool, str]:
    """(code, basis, floor, reason if None) of a number against its interval and critical limits."""
    interval, limits = placed.interval, placed.critical
    by_lab = interval is not None and interval.source == "lab"
    if placed.implausible and not by_lab:
        return None, [], False, "implausible"
    basis: list[Basis] = []
    code: Code | None = None
    reason = placed.problem or "no-interval"
    if interval is not None:
        where = side(value, interval)
        if where is None:
            reason = "indeterminate"
        else:
            code = where
            basis.append(_within(where, interval.source, interval.citation, interval_text(interval, placed)))
    floor = by_lab and code not in (None, "N")
    past = beyond(value, limits) if limits is not None else None
    if past is not None and limits is not None:
        code, floor = past, True
        shown = interval_text(limits, placed)
        key = "critical-low" if past == "LL" else "critical-high"
        limit = limits.low if past == "LL" else limits.high
        said = Said(key, {"limit": f"{limit:.10g}"})
        basis.append(Basis("critical", said, shown, limits.source, limits.citation))
    if placed.implausible:
        basis.append(Basis("taint", Said("implausible")))
    return code, basis, floor, reason if code is None else ""


@lru_cache(maxsize=4096)
def _within(where: Side, source: IntervalSource, citation: str | None, shown: str) -> Basis:
    """Where a number lies. One for all results of a test: an interval is said of it, no value."""
    return Basis("interval", Said(f"{_SAID_SIDE[where]}-{source}", {"interval": shown}), shown, source, citation)


def _titre(placed: PanelResult, value: Titre | Answer) -> tuple[Code | None, list[Basis], bool, str]:
    """A dilution against the laboratory's own limit ("< 1:40"); no usual one is known. Above it is A, as laboratories
    code it: a titre is a finding, not an amount."""
    found = titre.judge(value, placed.result.ranges)
    if found is None:
        return None, [], False, placed.problem or "no-interval"
    where, shown = found
    basis = Basis("interval", Said(f"{_SAID_SIDE[where]}-lab", {"interval": shown}), shown, "lab")
    return ("N" if where == "N" else "A"), [basis], where != "N", ""


def _answer(placed: PanelResult, answer: Answer) -> tuple[Code | None, list[Basis], bool, str]:
    judged = qualitative.judge(placed, answer)
    if judged is None:
        code, bases, floor, _ = _titre(placed, answer)
        return code, bases, floor, "" if code is not None else "unknown-answer"
    found, by = judged
    if found == "descriptive":
        return None, [], False, "not-interpretable" if by == "analyte" else "inconclusive"
    source = placed.analyte.qualitative_source if placed.analyte is not None and by == "analyte" else None
    expected = ", ".join(placed.expected) or None
    said = Said(f"answer-{found}")
    bases = [Basis("qualitative", said, expected, "lab" if expected else None, source)]
    if found == "abnormal" and placed.analyte is not None and placed.analyte.id in CRITICAL_ANSWERS:
        bases.append(Basis("qualitative", Said("answer-critical"), citation=PHONED))
        return "AA", bases, True, ""
    return ("A" if found == "abnormal" else "N"), bases, found == "abnormal" and by in ("laboratory", "organism"), ""


def _laboratory_says(
    placed: PanelResult, code: Code | None, basis: list[Basis], floor: bool
) -> tuple[Code | None, bool]:
    """Joins the laboratory's own interpretation: it decides where nothing else does, and where it disagrees the more
    urgent of the two is taken, and said."""
    own = meaning(placed.result.interpretation)
    if own is None:
        return code, floor
    if code is None:
        basis.append(Basis("interpretation", Said("laboratory-says", {"code": own})))
        return own, own != "N"
    if (own == "N") != (code == "N"):
        key = "laboratory-says-normal" if own == "N" else "laboratory-says-abnormal"
        basis.append(Basis("disagreement", Said(key, {"code": own})))
        return (code, floor) if own == "N" else (own, True)
    raised = own in _CRITICAL and code not in _CRITICAL
    if {own[0], code[0]} == {"L", "H"}:
        basis.append(Basis("disagreement", Said("laboratory-says-other-side", {"code": own})))
    elif raised:
        basis.append(Basis("interpretation", Said("laboratory-says", {"code": own})))
    return (own if raised else code), floor or own != "N"
