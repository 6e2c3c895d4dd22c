"""`labcue explain`: the way of one bundle, step by step."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cds_service import words
from cds_service.clinical.show import interval_text, with_unit
from cds_service.markdown import plain
from cds_service.pipeline import Pipeline, Trace
from fhir_adapter.model import PanelResult
from fhir_adapter.prompt import render


def explain(pipeline: Pipeline, bundle: bytes, language: str | None) -> dict[str, Any]:
    """All that happened to one bundle, as plain data.

    Raises:
        InvalidInput: the bundle can't be read.
    """
    trace = pipeline.trace(bundle, language=language)
    said = trace.evaluation.language
    verdict = trace.evaluation.verdict
    return {
        "read": [
            {
                "path": placed.result.path,
                "observation": placed.result.observation,
                "name": placed.result.name,
                "loinc": placed.result.loinc,
                "value": with_unit(placed),
                "status": placed.result.status,
                "effective": placed.result.effective.isoformat() if placed.result.effective else None,
            }
            for placed in trace.panel.results
        ],
        "notAssessed": [
            {"path": entry.path, "code": entry.code, "reason": words.not_assessed(said, entry.code)}
            for entry in verdict.not_assessed
        ],
        "normalized": [_normalized(placed) for placed in trace.panel.results],
        "prompt": trace.prompt if trace.prompt is not None else render(trace.panel).text,
        "rules": _rules(trace),
        "scores": None if trace.scores is None else [{"slot": s.slot, "abnormal": s.abnormal} for s in trace.scores],
        "verdict": [
            {
                "path": flag.subject.result.path,
                "code": flag.code,
                "source": flag.source,
                "probability": flag.probability,
            }
            for flag in verdict.flags
        ],
        "patterns": [
            {"id": pattern.id, "text": words.say(said, pattern.said), "citation": pattern.citation}
            for pattern in verdict.patterns
        ],
        "degraded": verdict.degraded,
        "timings": dict(trace.evaluation.timings),
    }


def _normalized(placed: PanelResult) -> dict[str, Any]:
    interval, limits = placed.interval, placed.critical
    return {
        "path": placed.result.path,
        "analyte": placed.analyte.id if placed.analyte is not None else None,
        "display": placed.display,
        "canonical": placed.canonical,
        "canonicalUnit": placed.analyte.unit if placed.analyte is not None and placed.canonical is not None else None,
        "interval": None if interval is None else interval_text(interval, placed),
        "intervalSource": None if interval is None else interval.source,
        "citation": None if interval is None else interval.citation,
        "critical": None if limits is None else interval_text(limits, placed),
        "position": placed.position,
        "ageYears": placed.age_years,
        "priors": [{"number": prior.number, "effective": prior.effective.isoformat()} for prior in placed.priors],
        "implausible": placed.implausible,
        "problem": placed.problem,
    }


def _rules(trace: Trace) -> list[dict[str, Any]]:
    said = trace.evaluation.language
    return [
        {
            "path": flag.subject.result.path,
            "code": flag.code,
            "kind": basis.kind,
            "text": words.say(said, basis.said),
            "interval": basis.interval,
            "source": basis.citation or basis.interval_source,
        }
        for flag in trace.evaluation.verdict.flags
        for basis in flag.basis
    ]


def print_text(console: Console, shown: dict[str, Any]) -> None:
    """The explanation for people."""
    _section(console, "1 Read", shown["read"], ("path", "name", "loinc", "value", "status", "effective"))
    _section(console, "  Not assessed", shown["notAssessed"], ("path", "code", "reason"))
    columns = (
        "path",
        "analyte",
        "canonical",
        "canonicalUnit",
        "interval",
        "intervalSource",
        "critical",
        "position",
        "problem",
    )
    _section(console, "2 Normalized", shown["normalized"], columns)
    console.print(Text("3 Prompt", style="bold"))
    console.print(Text(shown["prompt"]))
    _section(console, "4 Rules that fired", shown["rules"], ("path", "code", "kind", "text", "source"))
    if shown["scores"] is not None:
        _section(console, "5 Model", shown["scores"], ("slot", "abnormal"))
    else:
        console.print(Text(f"5 Model: {shown['degraded'] or 'none, by setting'}", style="bold"))
    _section(console, "6 Verdict", shown["verdict"], ("path", "code", "source", "probability"))
    _section(console, "  Patterns", shown["patterns"], ("id", "text", "citation"))
    spent = " · ".join(f"{step} {milliseconds:.2f} ms" for step, milliseconds in shown["timings"].items())
    console.print(Text(f"7 Time: {spent}", style="bold"))


def _section(console: Console, title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    if not rows:
        return
    console.print(Text(title, style="bold"))
    table = Table(box=None, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row[column])) for column in columns))
    console.print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else plain(str(value), 300)
