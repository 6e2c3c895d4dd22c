"""From an Evaluation to the JSON of a CDS Hooks response. Nothing is decided here.

It says what ``rpc.wire`` says in protobuf, member for member (a test holds the two together); written from the domain
because protobuf's own JSON takes longer than the judgement. Nothing is null or empty but ``cards``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from cds_service import said, words
from cds_service.clinical.show import interval_text, unit_text, value_text
from cds_service.domain import Action, Basis, Card, Derived, Flag, FlagsListed, ModelInfo, Said
from cds_service.pipeline import Evaluation
from fhir_adapter.model import IntervalSource, Result

_PLACES = ("Bundle.", "$this")
EVALUATION, SUBJECT, DATA = "org.labcue.evaluation", "org.labcue.card", "org.labcue.data"


def response(
    evaluation: Evaluation,
    *,
    trace_id: str = "",
    where: Callable[[str], str] = lambda path: path,
    listed: FlagsListed = "all",
) -> dict[str, Any]:
    """The response of one evaluation; texts in its language. ``where`` turns a FHIRPath of what was judged into a path of
    what was sent. Some of it are Structs: :func:`encoded` makes JSON of it."""
    verdict, language = evaluation.verdict, evaluation.language
    flags = verdict.flags
    shown = verdict.listed(listed)
    timings = {f"{step}Ms": round(spent, 3) for step, spent in evaluation.timings.items()}
    found = {
        "flags": _flags(shown, language, where),
        "normalUnlisted": len(flags) - len(shown),
        "notAssessed": [
            _filled(
                path=where(entry.path),
                reason=words.not_assessed(language, entry.code),
                code=entry.code,
                observation=_named(entry.observation, where),
                display=entry.called(language),
                detail=None if entry.absent is None else words.absent(language, entry.absent),
            )
            for entry in verdict.not_assessed
        ],
        "patterns": [
            _filled(
                id=pattern.id,
                title=words.say(language, pattern.title),
                text=words.say(language, pattern.said),
                severity=pattern.severity,
                observations=[_reference(flags[index].subject.result, where) for index in pattern.indices],
                citation=pattern.citation,
                speaksFor=[said.evidence(one, flags, language) for one in pattern.speaks_for],
                speaksAgainst=[said.evidence(one, flags, language) for one in pattern.speaks_against],
            )
            for pattern in verdict.patterns
        ],
        "derived": [_derived(derived, language, where) for derived in verdict.derived],
        "model": None if verdict.model is None else model(verdict.model),
        "modelPrompts": evaluation.prompts,
        "degraded": verdict.degraded,
        "traceId": trace_id,
        "auditId": evaluation.audit_id,
        "timings": {name: spent for name, spent in timings.items() if spent},
        "heldBack": [
            _filled(
                reason=held.reason,
                summary=held.card.summary,
                indicator=held.card.indicator,
                subject=_subject(held.card, flags, where),
                instead=held.instead,
            )
            for held in evaluation.held_back
        ],
        "language": language,
        "observations": evaluation.observations,
        "catalogVersion": evaluation.catalog_version,
    }
    return {
        "cards": [_card(card, flags, where) for card in evaluation.cards],
        "extension": {EVALUATION: _filled(**found)},
    }


encoded = msgspec.json.encode
"""The JSON of a response."""


def _filled(**members: Any) -> dict[str, Any]:
    """The members that say something; False and 0.0 do."""
    return {name: value for name, value in members.items() if value or value is False or type(value) is float}


def model(info: ModelInfo) -> dict[str, Any]:
    """Which model took part."""
    return _filled(name=info.name, version=info.version, adapter=info.adapter, promptVersion=info.prompt_version)


class _BasisForm(Struct, omit_defaults=True):
    """A basis as it is sent: what says nothing is left out."""

    kind: str
    text: str = ""
    interval: str | None = None
    intervalSource: str | None = None
    citation: str | None = None


class _FlagForm(Struct, omit_defaults=True, kw_only=True):
    """A flag as it is sent."""

    observation: str = ""
    loinc: str | None = None
    display: str = ""
    code: str
    abnormal: bool
    critical: bool
    probability: float | None = None
    source: str
    basis: list[_BasisForm] = []
    value: str = ""
    unit: str = ""
    position: float | None = None
    path: str = ""
    effective: str | None = None


def _flags(flags: Sequence[Flag], language: str, where: Callable[[str], str]) -> list[_FlagForm]:
    """In one loop: there are hundreds, and calls would cost as much as what is done."""
    written: dict[int, _BasisForm] = {}
    """By the basis itself: results of one test share that of their interval."""
    moments: dict[int, str] = {}
    """By the time itself: results of one draw share it, and it takes longer to write than all else of a flag."""
    made: list[_FlagForm] = []
    for flag in flags:
        subject = flag.subject
        result, interval, analyte = subject.result, subject.interval, subject.analyte
        basis: list[_BasisForm] = []
        for one in flag.basis:
            form = written.get(id(one))
            if form is None:
                form = written[id(one)] = _basis(one, language)
            basis.append(form)
        if interval is not None and "interval" not in [form.kind for form in basis]:
            shown = interval_text(interval, subject) or None
            basis.append(
                _BasisForm("interval", interval=shown, intervalSource=interval.source, citation=interval.citation)
            )
        effective = None
        if (at := result.effective) is not None and (effective := moments.get(id(at))) is None:
            effective = moments[id(at)] = at.isoformat()
        made.append(
            _FlagForm(
                observation=_reference(result, where),
                loinc=result.loinc,
                display=analyte.name(language) if analyte is not None else subject.display,
                code=flag.code,
                abnormal=flag.abnormal,
                critical=flag.critical,
                probability=flag.probability,
                source=flag.source,
                basis=basis,
                value=value_text(subject),
                unit=unit_text(subject),
                position=subject.position,
                path=where(result.path),
                effective=effective,
            )
        )
    return made


def _derived(derived: Derived, language: str, where: Callable[[str], str]) -> dict[str, Any]:
    return _filled(
        id=derived.id,
        display=said.derived_name(derived, language),
        value=derived.value,
        unit=derived.unit,
        text=derived.text,
        shownUnit=derived.shown_unit,
        code=derived.code,
        interval=derived.interval,
        intervalCitation=derived.interval_citation,
        flagged=derived.flagged,
        inputs=[where(placed.result.path) for placed in derived.inputs],
        citation=derived.citation,
        reported=None if derived.reported is None else where(derived.reported.result.path),
    )


def _reference(result: Result, where: Callable[[str], str]) -> str:
    """The reference of an Observation; one without an id or a fullUrl is named by its path."""
    return _named(result.observation, where) or ""


def _named(reference: str | None, where: Callable[[str], str]) -> str | None:
    return where(reference) if reference is not None and reference.startswith(_PLACES) else reference


def _basis(basis: Basis, language: str) -> _BasisForm:
    if basis.kind == "interval" and basis.said.params == {"interval": basis.interval}:
        return _within(language, basis.said.key, basis.interval or "", basis.interval_source, basis.citation)
    return _form(basis, language)


@lru_cache(maxsize=4096)
def _within(language: str, key: str, shown: str, source: IntervalSource | None, citation: str | None) -> _BasisForm:
    """The place in an interval, as it is said again and again: of a test, no value in it."""
    return _form(Basis("interval", Said(key, {"interval": shown}), shown, source, citation), language)


def _form(basis: Basis, language: str) -> _BasisForm:
    return _BasisForm(
        basis.kind,
        words.say(language, basis.said),
        basis.interval or None,
        basis.interval_source,
        basis.citation or None,
    )


def _card(card: Card, flags: tuple[Flag, ...], where: Callable[[str], str]) -> dict[str, Any]:
    return _filled(
        uuid=card.uuid,
        summary=card.summary,
        detail=card.detail,
        indicator=card.indicator,
        source=_filled(label=card.source_label, url=card.source_url),
        suggestions=[
            _filled(
                label=suggestion.label,
                uuid=suggestion.uuid,
                isRecommended=suggestion.is_recommended or None,
                actions=[_action(action) for action in suggestion.actions],
            )
            for suggestion in card.suggestions
        ],
        selectionBehavior="at-most-one" if card.suggestions else None,
        overrideReasons=[
            _filled(code=reason.code, system=reason.system, display=reason.display) for reason in card.override_reasons
        ],
        links=[_filled(label=link.label, url=link.url, type=link.type) for link in card.links],
        extension={SUBJECT: _subject(card, flags, where)} if card.flags else None,
    )


def _subject(card: Card, flags: tuple[Flag, ...], where: Callable[[str], str]) -> dict[str, Any]:
    results = [flags[index].subject.result for index in card.flags]
    return _filled(
        observations=[_reference(result, where) for result in results],
        paths=[where(result.path) for result in results],
        pattern=card.pattern,
    )


def _action(action: Action) -> dict[str, Any]:
    return _filled(
        type=action.type,
        description=action.description,
        resource=None if action.resource is None else dict(action.resource),
    )
