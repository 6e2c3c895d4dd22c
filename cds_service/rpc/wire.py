"""From an Evaluation to protobuf, and from there to CDS Hooks JSON. Nothing is decided here."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from cds_service import said, words
from cds_service.clinical.show import interval_text, unit_text, value_text
from cds_service.domain import Action, Basis, Card, Derived, Flag, FlagsListed, Held, ModelInfo
from cds_service.pipeline import Evaluation
from labcue.v1 import cds_pb2


def to_response(evaluation: Evaluation, *, trace_id: str = "", listed: FlagsListed = "all") -> cds_pb2.EvaluateResponse:
    """The response of one evaluation; texts in its language."""
    verdict, language = evaluation.verdict, evaluation.language
    response = cds_pb2.EvaluateResponse()
    for card in evaluation.cards:
        _card(response.cards.add(), card, verdict.flags)
    out = response.extension.evaluation
    shown = verdict.listed(listed)
    for flag in shown:
        _flag(out.flags.add(), flag, language)
    out.normal_unlisted = len(verdict.flags) - len(shown)
    for entry in verdict.not_assessed:
        out.not_assessed.add(
            path=entry.path,
            reason=words.not_assessed(language, entry.code),
            code=entry.code,
            observation=entry.observation or "",
            display=entry.called(language),
            detail="" if entry.absent is None else words.absent(language, entry.absent),
        )
    for pattern in verdict.patterns:
        out.patterns.add(
            id=pattern.id,
            title=words.say(language, pattern.title),
            text=words.say(language, pattern.said),
            severity=pattern.severity,
            observations=[verdict.flags[index].subject.result.observation for index in pattern.indices],
            citation=pattern.citation,
            speaks_for=[said.evidence(one, verdict.flags, language) for one in pattern.speaks_for],
            speaks_against=[said.evidence(one, verdict.flags, language) for one in pattern.speaks_against],
        )
    for derived in verdict.derived:
        _derived(out.derived.add(), derived, language)
    if verdict.model is not None:
        set_model(out.model, verdict.model)
    out.degraded = verdict.degraded or ""
    out.model_prompts = evaluation.prompts
    out.trace_id, out.audit_id = trace_id, evaluation.audit_id
    for step, milliseconds in evaluation.timings.items():
        setattr(out.timings, f"{step}_ms", round(milliseconds, 3))
    for held in evaluation.held_back:
        _held_back(out.held_back.add(), held, verdict.flags)
    out.language = language
    out.observations = evaluation.observations
    out.catalog_version = evaluation.catalog_version
    return response


def set_model(out: cds_pb2.Model, model: ModelInfo) -> None:
    """Copies a ModelInfo."""
    out.name, out.version, out.prompt_version = model.name, model.version, model.prompt_version
    out.adapter = model.adapter or ""


def _flag(out: cds_pb2.Flag, flag: Flag, language: str) -> None:
    subject = flag.subject
    out.observation = subject.result.observation
    out.loinc = subject.result.loinc or ""
    out.display = subject.analyte.name(language) if subject.analyte is not None else subject.display
    out.code = flag.code
    out.abnormal, out.critical = flag.abnormal, flag.critical
    if flag.probability is not None:
        out.probability = flag.probability
    out.source = flag.source
    for basis in flag.basis:
        _basis(out.basis.add(), basis, language)
    out.value, out.unit = value_text(subject), unit_text(subject)
    if subject.position is not None:
        out.position = subject.position
    out.path = subject.result.path
    if subject.result.effective is not None:
        out.effective = subject.result.effective.isoformat()
    if subject.interval is not None and not any(basis.kind == "interval" for basis in flag.basis):
        out.basis.add(
            kind="interval",
            interval=interval_text(subject.interval, subject),
            interval_source=subject.interval.source,
            citation=subject.interval.citation or "",
        )


def _derived(out: cds_pb2.Derived, derived: Derived, language: str) -> None:
    out.id, out.display = derived.id, said.derived_name(derived, language)
    out.value, out.unit = derived.value, derived.unit
    out.text, out.shown_unit = derived.text, derived.shown_unit
    out.code = derived.code or ""
    out.interval, out.interval_citation = derived.interval or "", derived.interval_citation or ""
    out.flagged = derived.flagged
    out.inputs.extend(placed.result.path for placed in derived.inputs)
    out.citation = derived.citation
    if derived.reported is not None:
        out.reported = derived.reported.result.path


def _basis(out: cds_pb2.Basis, basis: Basis, language: str) -> None:
    out.kind, out.text = basis.kind, words.say(language, basis.said)
    out.interval, out.interval_source = basis.interval or "", basis.interval_source or ""
    out.citation = basis.citation or ""


def _card(out: cds_pb2.Card, card: Card, flags: tuple[Flag, ...]) -> None:
    out.uuid, out.summary, out.detail, out.indicator = card.uuid, card.summary, card.detail, card.indicator
    out.source.label, out.source.url = card.source_label, card.source_url or ""
    for suggestion in card.suggestions:
        made = out.suggestions.add(label=suggestion.label, uuid=suggestion.uuid)
        if suggestion.is_recommended:
            made.is_recommended = True
        for action in suggestion.actions:
            _action(made.actions.add(), action)
    if card.suggestions:
        out.selection_behavior = "at-most-one"
    for reason in card.override_reasons:
        out.override_reasons.add(code=reason.code, system=reason.system, display=reason.display)
    for link in card.links:
        out.links.add(label=link.label, url=link.url, type=link.type)
    if card.flags:
        _subject(out.extension.subject, card, flags)


def _subject(out: cds_pb2.CardSubject, card: Card, flags: tuple[Flag, ...]) -> None:
    out.observations.extend(flags[index].subject.result.observation for index in card.flags)
    out.paths.extend(flags[index].subject.result.path for index in card.flags)
    out.pattern = card.pattern or ""


def _held_back(out: cds_pb2.HeldBack, held: Held, flags: tuple[Flag, ...]) -> None:
    out.reason, out.instead = held.reason, held.instead
    out.summary, out.indicator = held.card.summary, held.card.indicator
    _subject(out.subject, held.card, flags)


def _action(out: cds_pb2.Action, action: Action) -> None:
    out.type, out.description = action.type, action.description
    if action.resource is not None:
        json_format.ParseDict(dict(action.resource), out.resource)


def to_json(response: cds_pb2.EvaluateResponse) -> dict[str, Any]:
    """The response as CDS Hooks JSON: ``cards`` always there, nothing else empty."""
    found: dict[str, Any] = json_format.MessageToDict(response)
    found.setdefault("cards", [])
    return found
