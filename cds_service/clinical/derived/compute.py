"""From a panel to its derived values: inputs taken together, the laboratory's own result first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, NamedTuple

from cds_service.clinical.analytes import UNITS
from cds_service.clinical.derived.formula import INTO, Formula, Limits, Person, limits
from cds_service.clinical.derived.registry import FORMULAS
from cds_service.clinical.kidney import has_risen
from cds_service.clinical.seen import Seen
from cds_service.clinical.show import unit_text
from cds_service.domain import Derived
from fhir_adapter.fasting import fasting
from fhir_adapter.intervals import show
from fhir_adapter.model import PanelResult, Quantity

_LIMIT = "/limit"
_PLAIN_UNITS = {
    "mm[Hg]": "mm Hg",
    "mosm/kg": "mOsm/kg",
    "mL/min/{1.73_m2}": "mL/min/1.73 m²",
    "10*9/L": "×10⁹/L",
    "ug/dL": "µg/dL",
}
_ARTERIAL = ("arter", "artér")


class _Source(NamedTuple):
    """An analyte that an input may be: its number times ``factor``, or (``times_limit``) as a multiple of its high limit."""

    analyte: str
    factor: float
    times_limit: bool


class _Input(NamedTuple):
    """One input of a formula, passed by its ``name``: the first of ``sources`` that is there."""

    name: str
    sources: tuple[_Source, ...]
    optional: bool


class _Plan(NamedTuple):
    """A formula with its inputs read. ``needed``: of each set an analyte must be there; most formulas are left at a glance."""

    formula: Formula
    inputs: tuple[_Input, ...]
    needed: tuple[frozenset[str], ...]


def _planned(formula: Formula) -> _Plan:
    inputs = (
        *(_read(text, optional=False) for text in formula.inputs),
        *(_read(text, optional=True) for text in formula.optional),
    )
    needed = tuple(frozenset(source.analyte for source in one.sources) for one in inputs if not one.optional)
    return _Plan(formula, inputs, needed)


def _read(text: str, *, optional: bool) -> _Input:
    first, *others = text.split("|")
    sources = (_source(first, 1.0), *(_source(name, INTO[(name, first)]) for name in others))
    return _Input(first, sources, optional)


def _source(name: str, factor: float) -> _Source:
    return _Source(name.removesuffix(_LIMIT), factor, name.endswith(_LIMIT))


_PLANS = tuple(_planned(formula) for formula in FORMULAS)


def with_derived(seen: Seen) -> Seen:
    """The same with every value that can be computed from it."""
    person = Person(seen.age(), seen.panel.patient.sex, seen.panel.patient.pregnant, seen.panel.patient.height_cm)
    found: dict[str, Derived] = {}
    whole = replace(seen, derived=found)
    there = set(seen.newest)
    for plan in _PLANS:
        if any(names.isdisjoint(there) for names in plan.needed):
            continue
        one = _compute(plan, whole, person)
        if one is not None:
            found[one.id] = one
            there.add(one.id)
    return whole


def _compute(plan: _Plan, seen: Seen, person: Person) -> Derived | None:
    formula = plan.formula
    numbers: dict[str, float] = {}
    used: list[PanelResult] = []
    at: datetime | None = None
    for wanted in plan.inputs:
        got = _input(wanted, seen)
        if got is None or not all(_together(one, at, formula) for one in got[1]):
            if wanted.optional:
                continue
            return None
        numbers[wanted.name] = got[0]
        used += (one for one in got[1] if not any(one is known for known in used))
        if at is None:
            at = next((one.result.effective for one in used if one.result.effective is not None), None)
    if not _may(formula, seen):
        return None
    value = formula.compute(numbers, person)
    if value is None:
        return None
    own = seen.result(formula.reported) if formula.reported is not None else None
    if own is not None and not _together(own, at, formula):
        own = None
    if own is not None and not _differs(value, formula, seen):
        return None
    return _made(formula, value, tuple(used), person, own)


def _input(wanted: _Input, seen: Seen) -> tuple[float, Sequence[PanelResult]] | None:
    """An input's number and the results that it rests on."""
    for name, factor, times_limit in wanted.sources:
        placed = seen.result(name)
        if times_limit:
            times = seen.times_limit(name)
            if times is not None and placed is not None:
                return times, (placed,)
            continue
        if placed is None:
            derived = seen.derived.get(name)
            if derived is not None:
                return derived.value, derived.inputs
            continue
        number = _fraction(placed) if name == "fio2" else seen.number(name)
        if number is None or (name == "po2" and not _arterial(placed)):
            continue
        return number * factor, (placed,)
    return None


def _fraction(placed: PanelResult) -> float | None:
    """Inspired oxygen as a fraction: 21-100 %, or 0.21-1 without a unit; anything else is not guessed."""
    value = placed.result.value
    if not isinstance(value, Quantity) or value.comparator is not None:
        return None
    if placed.unit == "%" and 21 <= value.number <= 100:
        return value.number / 100
    return value.number if placed.unit in (None, "", "1", "{fraction}") and 0.21 <= value.number <= 1 else None


def _arterial(placed: PanelResult) -> bool:
    """Whether a gas that may be venous is said to be arterial, by specimen or name."""
    texts = (placed.result.specimen, placed.result.name, *(coding.display for coding in placed.result.codings))
    return any(word in text.lower() for text in texts if text for word in _ARTERIAL)


def _together(placed: PanelResult, at: datetime | None, formula: Formula) -> bool:
    when = placed.result.effective
    return at is None or when is None or abs(when - at) <= formula.window


def _may(formula: Formula, seen: Seen) -> bool:
    """What a formula asks of its inputs beyond numbers: a steady creatinine, a fasting glucose."""
    if formula.id in ("egfr", "egfr-creatinine-cystatin", "egfr-schwartz"):
        creatinine = seen.result("creatinine")
        return creatinine is None or not has_risen(creatinine)
    if formula.id == "homa-ir":
        glucose = seen.result("glucose")
        return glucose is not None and fasting(glucose.result) is True
    return True


def _differs(value: float, formula: Formula, seen: Seen) -> bool:
    """Whether the laboratory's own result is materially another."""
    reach = seen.reach(formula.reported or "")
    if reach is None:
        return False
    low, high, _ = reach
    near = min(max(value, low), high)
    absolute, relative = formula.tolerance
    return abs(value - near) > max(absolute, relative * abs(near))


def _made(
    formula: Formula, value: float, used: tuple[PanelResult, ...], person: Person, own: PanelResult | None
) -> Derived:
    factor, unit = _shown(formula, used)
    bounds = limits(formula, person)
    code = _code(round(value, formula.digits), bounds)  # as printed: 59.7 is an eGFR of 60
    digits = max(0, formula.digits + _more_digits(factor))
    text = f"{value * factor:.{digits}f}"
    interval = None
    if bounds != (None, None):
        low, high = (None if one is None else f"{one * factor:.4g}" for one in bounds)
        interval = f"{show(low, high)} {unit}".strip()
    return Derived(
        id=formula.id,
        value=value,
        unit=formula.unit,
        text=text,
        shown_unit=unit,
        inputs=used,
        citation=formula.source,
        code=code,
        interval=interval,
        interval_citation=formula.interval_source if interval is not None else None,
        flagged=code is not None and code in formula.flag,
        reported=own,
    )


def _shown(formula: Formula, used: Sequence[PanelResult]) -> tuple[float, str]:
    """(factor, unit) for printing: the reported unit of the input that the value is a kind of."""
    for placed in used:
        if (
            placed.analyte is not None
            and placed.analyte.id == formula.shown_like
            and placed.number
            and placed.canonical
        ):
            same = placed.analyte.unit == formula.unit or UNITS.get(placed.analyte.id) == formula.unit
            if same:
                return placed.number / placed.canonical, unit_text(placed)
    return 1.0, _PLAIN_UNITS.get(formula.unit, formula.unit)


def _more_digits(factor: float) -> int:
    """Decimals that a smaller unit needs, or a larger one can do without: mmol/L of cholesterol take two more than mg/dL."""
    return 2 if factor < 0.05 else 1 if factor < 0.2 else 0 if factor < 10 else -1


def _code(value: float, bounds: Limits) -> Literal["N", "L", "H"] | None:
    low, high = bounds
    if low is None and high is None:
        return None
    if low is not None and value < low:
        return "L"
    return "H" if high is not None and value > high else "N"
