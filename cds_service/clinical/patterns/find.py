"""Which patterns a panel shows: criteria, then what a larger pattern makes needless to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from cds_service.clinical.patterns.condition import Condition
from cds_service.clinical.patterns.registry import RULES
from cds_service.clinical.patterns.spec import Hit, Spec, specs
from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence, Pattern, Said

_URGENCY = {"critical": 0, "warning": 1, "info": 2}


def find(seen: Seen) -> tuple[Pattern, ...]:
    """All patterns of a panel that no other says already, most urgent first."""
    age, patient = seen.age(), seen.panel.patient
    hits: dict[str, tuple[Spec, Hit]] = {}
    there = {*seen.newest, *seen.derived}
    for spec, needs in _plans():
        if needs and needs.isdisjoint(there):
            continue
        if not spec.concerns(age, patient.sex, patient.pregnant):
            continue
        hit = spec.declared(seen) if spec.rule is None else RULES[spec.rule](seen, spec)
        if hit is not None:
            hits[spec.id] = spec, hit
    said = {id for spec, _ in hits.values() for id in spec.subsumes}
    found = [made for id, (spec, hit) in hits.items() if id not in said and (made := _pattern(spec, hit)) is not None]
    return tuple(sorted(found, key=lambda pattern: _URGENCY[pattern.severity]))


@cache
def _plans() -> tuple[tuple[Spec, frozenset[str]], ...]:
    """Each pattern with names of which one must be there: most patterns are left at a glance."""
    return tuple((spec, _needs(spec)) for spec in specs())


def _needs(spec: Spec) -> frozenset[str]:
    if spec.rule is not None:
        return frozenset(spec.members)
    groups = (
        [spec.all[0].names]
        if spec.all
        else [tuple(name for one in spec.any[0] for name in one.names)]
        if spec.any
        else []
    )
    return frozenset(groups[0]) if groups else frozenset()


def _pattern(spec: Spec, hit: Hit) -> Pattern | None:
    indices = hit.seen.indices(*(spec.members if hit.members is None else hit.members))
    if not indices:
        return None
    said: Mapping[str, str] = hit.params
    return Pattern(
        spec.id,
        Said(f"pattern-{spec.id}-title", said),
        Said(f"pattern-{spec.id}", said),
        hit.severity or spec.severity,
        indices,
        spec.citation,
        (*_evidence(spec.speaks_for, hit.seen, indices), *hit.speaks_for),
        (*_evidence(spec.speaks_against, hit.seen, ()), *hit.speaks_against),
    )


def _evidence(conditions: Sequence[Condition], seen: Seen, shown: Sequence[int]) -> tuple[Evidence, ...]:
    """What is met beyond the members, which stand in the card's table already."""
    found: dict[object, Evidence] = {}
    for one in conditions:
        evidence = one.evidence(seen)
        if evidence is not None and evidence.index not in shown:
            found.setdefault(evidence.index if evidence.derived is None else evidence.derived.id, evidence)
    return tuple(found.values())
