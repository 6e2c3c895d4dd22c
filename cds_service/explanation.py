"""The way of one bundle, step by step, as plain data: `labcue explain` prints it, the workbench draws it."""

from __future__ import annotations

from typing import Any

from cds_service import trends, words
from cds_service.clinical.show import interval_text, unit_text, with_unit
from cds_service.domain import Flag, Thresholds
from cds_service.pipeline import Pipeline, Trace
from cds_service.said import derived_name, derived_value, evidence, reported, value
from fhir_adapter.model import Interval, PanelResult, Quantity, ReferenceRange, Result
from fhir_adapter.prompt import LABELS, PROMPT_VERSION, render


def explain(pipeline: Pipeline, bundle: bytes, language: str | None) -> dict[str, Any]:
    """All that happened to one bundle, as plain data.

    Raises:
        InvalidInput: the bundle can't be read.
    """
    return described(pipeline.trace(bundle, language=language))


def described(trace: Trace) -> dict[str, Any]:
    """All that a trace holds; texts in its language. Lists of results are in input order, and ``path`` joins them."""
    said = trace.evaluation.language
    verdict = trace.evaluation.verdict
    patient = trace.panel.patient
    return {
        "resourceType": trace.intake.resource_type,
        "observations": trace.evaluation.observations,
        "patient": {
            "sex": patient.sex,
            "birthDate": patient.birth_date.isoformat() if patient.birth_date else None,
            "pregnant": patient.pregnant,
            "heightCm": patient.height_cm,
        },
        "read": [_read(placed) for placed in trace.panel.results],
        "notAssessed": [
            {
                "path": entry.path,
                "observation": entry.observation,
                "code": entry.code,
                "reason": words.not_assessed(said, entry.code),
                "name": entry.called(said) or None,
                "detail": None if entry.absent is None else words.absent(said, entry.absent),
            }
            for entry in verdict.not_assessed
        ],
        "normalized": [_normalized(placed, said) for placed in trace.panel.results],
        "trends": trends.shown(trace.panel, said),
        "promptVersion": PROMPT_VERSION,
        "prompt": trace.prompt if trace.prompt is not None else render(trace.panel).text,
        "rules": [rule for flag in verdict.flags for rule in _rules(flag, said)],
        "labels": list(LABELS),
        "scores": _scores(trace),
        "verdict": [_verdict(flag, trace.thresholds) for flag in verdict.flags],
        "patterns": [
            {
                "id": pattern.id,
                "title": words.say(said, pattern.title),
                "text": words.say(said, pattern.said),
                "severity": pattern.severity,
                "paths": [verdict.flags[index].subject.result.path for index in pattern.indices],
                "citation": pattern.citation,
                "for": [evidence(one, verdict.flags, said) for one in pattern.speaks_for],
                "against": [evidence(one, verdict.flags, said) for one in pattern.speaks_against],
            }
            for pattern in verdict.patterns
        ],
        "derived": [
            {
                "id": one.id,
                "name": derived_name(one, said),
                "value": derived_value(one, said),
                "code": one.code,
                "interval": one.interval,
                "paths": [placed.result.path for placed in one.inputs],
                "reported": reported(one, said) or None,
                "citation": one.citation,
            }
            for one in verdict.derived
        ],
        "cards": [{"indicator": card.indicator, "summary": card.summary} for card in trace.evaluation.cards],
        "model": None
        if verdict.model is None
        else {"name": verdict.model.name, "version": verdict.model.version, "adapter": verdict.model.adapter},
        "degraded": verdict.degraded,
        "catalogVersion": trace.evaluation.catalog_version,
        "timings": dict(trace.evaluation.timings),
    }


def _read(placed: PanelResult) -> dict[str, Any]:
    result = placed.result
    return {
        "path": result.path,
        "observation": result.observation,
        "name": result.name or placed.display,
        "codes": [
            {"system": coding.system, "code": coding.code, "display": coding.display} for coding in result.codings
        ],
        "loinc": result.loinc,
        "value": with_unit(placed),
        "status": result.status,
        "effective": result.effective.isoformat() if result.effective else None,
        "ranges": [_range(one) for one in result.ranges],
        "interpretation": list(result.interpretation),
    }


def _range(sent: ReferenceRange) -> dict[str, Any]:
    """A reference range as the laboratory sent it; what it left out is left out."""
    shown = {
        "low": _quantity(sent.low),
        "high": _quantity(sent.high),
        "text": sent.text,
        "type": list(sent.type_codes) or None,
        "appliesTo": [coding.display or coding.code for coding in sent.applies_to] or None,
        "ageYearsFrom": sent.age_low,
        "ageYearsTo": sent.age_high,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _quantity(limit: Quantity | None) -> str | None:
    if limit is None:
        return None
    return f"{limit.text or format(limit.number, 'g')} {limit.shown_unit or limit.unit or ''}".strip()


def _normalized(placed: PanelResult, language: str) -> dict[str, Any]:
    interval, limits, analyte = placed.interval, placed.critical, placed.analyte
    return {
        "path": placed.result.path,
        "analyte": analyte.id if analyte is not None else None,
        "display": analyte.name(language) if analyte is not None else placed.display,
        "shown": value(placed, language),
        "number": placed.number,
        "unit": unit_text(placed),
        "canonical": placed.canonical,
        "canonicalUnit": analyte.unit if analyte is not None and placed.canonical is not None else None,
        "interval": None if interval is None else interval_text(interval, placed),
        "limits": _limits(interval),
        "intervalSource": None if interval is None else interval.source,
        "citation": None if interval is None else interval.citation,
        "critical": None if limits is None else interval_text(limits, placed),
        "criticalLimits": _limits(limits),
        "criticalSource": None if limits is None else limits.source,
        "criticalCitation": None if limits is None else limits.citation,
        "expected": list(placed.expected),
        "position": placed.position,
        "ageYears": placed.age_years,
        "priors": [
            {"observation": prior.observation, "number": prior.number, "effective": prior.effective.isoformat()}
            for prior in placed.priors
        ],
        "newest": placed.newest,
        "implausible": placed.implausible,
        "problem": placed.problem,
    }


def _limits(interval: Interval | None) -> dict[str, float | None] | None:
    """An interval as numbers, in the unit of its result."""
    return None if interval is None else {"low": interval.low, "high": interval.high}


def _rules(flag: Flag, language: str) -> list[dict[str, Any]]:
    return [
        {
            "path": flag.subject.result.path,
            "code": flag.code,
            "kind": basis.kind,
            "text": words.say(language, basis.said),
            "interval": basis.interval,
            "source": basis.citation or basis.interval_source or _own_source(flag.subject.result, basis.kind),
        }
        for basis in flag.basis
    ]


def _own_source(result: Result, kind: str) -> str | None:
    """Where a basis without a citation comes from."""
    if kind in ("interpretation", "disagreement"):
        return f"{result.path}.interpretation"
    if kind in ("delta", "trend"):
        return "earlier results of this bundle"
    if kind == "preliminary":
        return f"{result.path}.status"
    return "the model" if kind == "model" else None


def _scores(trace: Trace) -> list[dict[str, Any]] | None:
    if trace.scores is None:
        return None
    return [
        {
            "path": trace.panel.results[score.slot].result.path,
            "slot": score.slot,
            "abnormal": score.abnormal,
            "probabilities": list(score.probabilities),
        }
        for score in trace.scores
    ]


def _verdict(flag: Flag, thresholds: Thresholds) -> dict[str, Any]:
    return {
        "path": flag.subject.result.path,
        "code": flag.code,
        "abnormal": flag.abnormal,
        "critical": flag.critical,
        "source": flag.source,
        "probability": flag.probability,
        "threshold": None if flag.probability is None else thresholds.of(flag.subject),
    }
