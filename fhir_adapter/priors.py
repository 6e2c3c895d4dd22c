"""Each number's earlier ones of the same test, and what a newer one has overtaken."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from fhir_adapter.folding import fold
from fhir_adapter.model import PanelResult, Prior, Quantity, Result
from fhir_adapter.scale import same_unit, scale_into
from fhir_adapter.usual import back

MAX_PRIORS = 8
"""Priors kept per result: enough for a trend, and the work stays linear."""


def with_priors(placed: list[PanelResult]) -> tuple[PanelResult, ...]:
    """Gives each number the earlier ones of the same test, and marks what a newer one has overtaken."""
    groups: dict[str, list[int]] = {}
    for index, one in enumerate(placed):
        if one.result.effective is not None and (key := one.series) is not None:
            groups.setdefault(key, []).append(index)
    for members in groups.values():
        if len(members) < 2:
            continue
        members.sort(key=lambda index: placed[index].result.effective or datetime.min)
        last = placed[members[-1]].result.effective
        before: deque[tuple[PanelResult, Prior] | None] = deque(maxlen=MAX_PRIORS + 4)
        """Newest first, each with how it stands before another of the same unit and sample; None for what is no exact number."""
        for index in members:
            one = placed[index]
            priors = _priors(one, before)
            newest = one.result.effective == last
            if priors or not newest:
                placed[index] = _in_series(one, priors, newest)
            before.appendleft(_as_prior(one))
    return tuple(placed)


def _in_series(one: PanelResult, priors: tuple[Prior, ...], newest: bool) -> PanelResult:
    """The same with its place in time; spelled out, since ``dataclasses.replace`` costs more than all else here."""
    return PanelResult(
        one.result,
        one.analyte,
        one.display,
        one.number,
        one.unit,
        one.canonical,
        one.interval,
        one.critical,
        one.position,
        one.expected,
        one.implausible,
        one.age_years,
        priors,
        newest,
        one.problem,
        one.delta,
    )


def _as_prior(one: PanelResult) -> tuple[PanelResult, Prior] | None:
    """None where a later result can't be held against it."""
    value, when = one.result.value, one.result.effective
    if one.implausible or when is None or not isinstance(value, Quantity) or value.comparator is not None:
        return None
    return one, Prior(one.result.observation, value.number, when)


def _priors(one: PanelResult, before: Iterable[tuple[PanelResult, Prior] | None]) -> tuple[Prior, ...]:
    found: list[Prior] = []
    at = one.result.effective
    if one.number is None or at is None:
        return ()
    for known in before:
        if known is None or known[1].effective >= at:
            continue
        other, prior = known
        number = prior.number if other.unit == one.unit else _comparable(other, one)
        if number is not None:
            alike = _alike(other.result, one.result)
            same = alike and number == prior.number
            found.append(prior if same else Prior(prior.observation, number, prior.effective, alike))
            if len(found) == MAX_PRIORS:
                break
    return tuple(found)


def _alike(one: Result, other: Result) -> bool:
    """Whether two results may come from one kind of sample and one method: what isn't named doesn't differ."""
    if one.specimen == other.specimen and one.method == other.method:
        return True
    for first, second in ((one.specimen, other.specimen), (one.method, other.method)):
        if first != second and first and second and fold(first) != fold(second):
            return False
    return True


def _comparable(other: PanelResult, one: PanelResult) -> float | None:
    """The other's number in this one's unit; None where that isn't known."""
    if other.number is None:
        return None
    if same_unit(other.unit, one.unit):
        return other.number
    scale = scale_into(one.unit, one.analyte)
    return back(other.canonical, scale) if other.canonical is not None and scale is not None else None
