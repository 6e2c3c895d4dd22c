"""From what was read to what can be judged: analyte, unit, interval, critical limits, age, priors.

Nothing is guessed: a unit that isn't known or can't be converted leaves the interval out, and ``problem`` says so.
The laboratory's own interval comes first; it needs no catalog where value and interval share one unit string.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from msgspec.structs import replace

from fhir_adapter import doubts, intervals, printed, two_units, units
from fhir_adapter.catalog import Analyte, Catalog
from fhir_adapter.catalog.recognise import LOINC_SYSTEMS
from fhir_adapter.intervals import Bounds
from fhir_adapter.model import Answer, Intake, Interval, Measured, Panel, PanelResult, Patient, Quantity, Result
from fhir_adapter.priors import with_priors
from fhir_adapter.scale import same_unit, scale_into
from fhir_adapter.site.model import Around, Site, around
from fhir_adapter.unjudged import recognised
from fhir_adapter.usual import (
    NOT_PREGNANT,
    Pregnancy,
    figures,
    in_keeping,
    pregnancy,
    usual_critical,
    usual_interval,
)

DAYS_A_YEAR = 365.2425
_LITRES_OR_HOURS = frozenset({"L", "mL", "dL", "uL", "h", "min", "s", "d"})


def normalize(intake: Intake, catalog: Catalog, site: Site | None = None) -> Panel:
    """Places each result: one PanelResult per Result, in order. Where the laboratory sent no interval, the ``site``'s
    own is taken, else the catalog's usual one."""
    places = _Places(intake.patient, catalog, site)
    placed = [places.place(result) for result in intake.results]
    if site is not None:
        beside = around(placed) if site.looks_around else None
        placed = [_with_site(one, site, intake.patient, beside) for one in placed]
    return Panel(
        intake.patient, with_priors(placed), recognised(intake.not_assessed, catalog, site), intake.observations
    )


class _Setting(NamedTuple):
    """What a number is judged in, whatever it is. ``scale`` is (factor, offset) into the analyte's canonical unit."""

    analyte: Analyte | None
    display: str
    expected: tuple[str, ...] = ()
    unit: str | None = None
    scale: tuple[float, float] | None = None
    interval: Interval | None = None
    critical: Interval | None = None
    problem: str | None = None


class _Places:
    """Places one patient's results. Those of one test at one age that came with one interval share a setting."""

    def __init__(self, patient: Patient, catalog: Catalog, site: Site | None) -> None:
        self._patient, self._catalog, self._site = patient, catalog, site
        self._settings: dict[tuple[object, ...], _Setting] = {}

    def place(self, result: Result) -> PanelResult:
        result = self._unlettered(result)
        value = result.value
        measured = value if isinstance(value, Measured) else None
        age = age_years(self._patient.birth_date, result.effective or result.issued)
        form = None if measured is None else (measured.unit, measured.shown_unit, measured.from_text)
        state = pregnancy(self._patient, result) if self._patient.pregnant else NOT_PREGNANT
        same = (
            result.codings,
            result.name,
            result.specimen,
            result.comments,
            result.fasted,
            result.ranges,
            form,
            age,
            state,
        )
        found = self._settings.get(same)
        if found is None:
            found = self._settings[same] = self._setting(result, measured, age, state)
        if isinstance(measured, Quantity) and measured.from_text:
            measured = doubts.counted(measured, found.unit)
            if measured is not value:
                result = replace(result, value=measured)
        analyte, scale, interval = found.analyte, found.scale, found.interval
        number = measured.number if isinstance(measured, Quantity) else None
        canonical = None if number is None or scale is None else number * scale[0] + scale[1]
        return PanelResult(
            result,
            analyte=analyte,
            display=found.display,
            number=number,
            unit=found.unit,
            canonical=canonical,
            interval=interval,
            critical=found.critical,
            position=None
            if number is None or interval is None
            else intervals.position(number, interval.low, interval.high),
            expected=found.expected,
            implausible=_implausible(analyte, canonical),
            age_years=age,
            problem=found.problem,
        )

    def _unlettered(self, result: Result) -> Result:
        """The same, with its number read where a letter after it can only be a flag: a sodium of "118 L" is no volume."""
        value = result.value
        found = printed.lettered(value.text) if isinstance(value, Answer) and not value.codings else None
        if found is None:
            return result
        analyte = _analyte(result, None, self._catalog, self._site) or self._catalog.find(
            result.codings, result.name, specimen=result.specimen or "blood"
        )
        if analyte is None or analyte.unit is None or analyte.unit in _LITRES_OR_HOURS:
            return result
        number, flag = found
        return replace(result, value=number, interpretation=result.interpretation or ((flag,) if flag else ()))

    def _setting(self, result: Result, measured: Measured | None, age: float | None, state: Pregnancy) -> _Setting:
        """Of the result no more is looked at than ``place`` compares."""
        patient, site = self._patient, self._site
        unit = measured.unit if measured is not None else None
        if unit is None and measured is not None and site is not None and not measured.from_text:
            unit = site.unit_for(result.codings, result.name)
        normal = intervals.choose(result.ranges, "normal", patient, age) or intervals.choose(
            result.ranges, "target", patient, age
        )
        read = [found for found in (intervals.bounds(reference) for reference in normal) if found is not None]
        expected = tuple(answer for found in read if isinstance(found, tuple) for answer in found)
        own = [found for found in read if isinstance(found, Bounds)]
        if unit is None and measured is not None and measured.from_text:
            # A string has no place for a unit: the laboratory prints it on the line of its own interval, in that unit.
            unit = next((found.unit for found in own if found.unit), None)
        if unit is None and measured is not None and (named := printed.unit_in_name(result.name)) is not None:
            unit = named[1]
        analyte = _analyte(result, unit, self._catalog, site) or _by_interval(result, unit, own, self._catalog)
        display = _display(result, analyte)
        if measured is None:
            return _Setting(analyte, display, expected)
        if unit is not None and measured.unit == unit and measured.shown_unit != unit:
            unit = two_units.settled(measured, own, analyte)
            own = [two_units.beside(bound, measured, unit) for bound in own]

        problem: str | None = None
        own = [found for found in own if not doubts.placeholder(found, analyte)]
        if any(found.grouped for found in own):
            scales = {one: scale_into(one, analyte) for one in {unit, *(bound.unit for bound in own)}}
            own = doubts.settled(own, unit, analyte, scales)
        interval, problem = _lab_interval(own, unit, analyte)
        scale = scale_into(unit, analyte)
        if interval is None and analyte is not None and analyte.intervals:
            if scale is None:
                problem = problem or ("unit-unknown" if units.normalize_unit(unit) is None else "unit-mismatch")
            else:
                interval = usual_interval(analyte, scale, unit, patient.sex, age, result, state)
                problem = None if interval is not None else problem
        critical = _lab_critical(result, measured, patient, age, unit, analyte, interval)
        if critical is None and analyte is not None and scale is not None:
            critical = in_keeping(usual_critical(analyte, scale, unit, age), interval)
        return _Setting(analyte, display, expected, unit, scale, interval, critical, problem)


def _analyte(result: Result, unit: str | None, catalog: Catalog, site: Site | None) -> Analyte | None:
    """By LOINC; else by what the site says of its own codes, by names, and last by what the site calls it."""
    if site is None or not site.aliases:
        return catalog.find(result.codings, result.name, unit=unit, specimen=result.specimen)
    coded = any(coding.system in LOINC_SYSTEMS and coding.code in catalog.by_loinc for coding in result.codings)
    own = None if coded else site.analyte_of(result.codings, None)
    if own is not None and own in catalog.analytes:
        return catalog.analytes[own]
    found = catalog.find(result.codings, result.name, unit=unit, specimen=result.specimen)
    if found is None and (own := site.analyte_of((), result.name)) is not None:
        found = catalog.analytes.get(own)
    return found


def _by_interval(result: Result, unit: str | None, own: Sequence[Bounds], catalog: Catalog) -> Analyte | None:
    """A bare name in a small unit ("WBC" in cells/mm3) may be of blood or of another fluid: where nothing names the specimen, an
    interval like the usual one of blood does."""
    if not own or result.specimen is not None:
        return None
    found = catalog.find(result.codings, result.name, unit=unit, specimen="blood")
    if found is not None and found.unit == "[pH]":
        return found if all(doubts.ph_of_blood(bound) for bound in own) else None
    if not unit:
        return None
    scale = scale_into(unit, found)
    if found is None or scale is None:
        return None
    return found if all(doubts.like_usual(bound, found, scale) for bound in own) else None


def _with_site(one: PanelResult, site: Site, patient: Patient, beside: Around | None) -> PanelResult:
    """The same with the site's interval and critical limits, where the laboratory sent none."""
    if not isinstance(one.result.value, Measured):
        return one
    if site.critical and (one.critical is None or one.critical.source == "usual"):
        own = site.critical_for(one)
        one = one if own is None else replace(one, critical=own)
    if site.deltas and (limits := site.deltas_for(one)):
        one = replace(one, delta=limits)
    if one.interval is not None and one.interval.source == "lab":
        return one
    interval = site.interval_for(one, patient, beside)
    if interval is None:
        return one
    if patient.pregnant and pregnancy(patient, one.result)[0]:
        interval = replace(interval, about=("non-pregnant",))
    number = one.number
    where = None if number is None else intervals.position(number, interval.low, interval.high)
    return replace(one, interval=interval, position=where, problem=None)


def age_years(birth: date | None, at: datetime | None) -> float | None:
    """Age at a time in years, or None where either isn't known or the time lies before birth."""
    if birth is None or at is None:
        return None
    days = (at.date() - birth).days
    return days / DAYS_A_YEAR if days >= 0 else None


def _display(result: Result, analyte: Analyte | None) -> str:
    if analyte is not None:
        return analyte.name()
    if result.name:
        return result.name
    for coding in result.codings:
        if coding.display or coding.code:
            return coding.display or coding.code or ""
    return "Unnamed result"


def _into(bound: Bounds, unit: str | None, analyte: Analyte | None) -> Bounds | None:
    """A laboratory's interval in the unit of its value; None where that takes a guess. An interval without a unit is in the
    unit of the value: FHIR lets a laboratory leave it out."""
    if bound.unit is None or same_unit(bound.unit, unit):
        return bound
    if not unit:
        return None
    molar_mass, valence = (analyte.molar_mass, analyte.valence) if analyte is not None else (None, None)
    factor = units.factor(bound.unit, unit, molar_mass=molar_mass, valence=valence)
    offset = 0.0
    if factor is None:
        there, back = scale_into(bound.unit, analyte), scale_into(unit, analyte)
        if there is None or back is None or not back[0]:
            return None
        factor, offset = there[0] / back[0], (there[1] - back[1]) / back[0]
    low = None if bound.low is None else bound.low * factor + offset
    high = None if bound.high is None else bound.high * factor + offset
    text = intervals.show(figures(low), figures(high), bound.high_inclusive, bound.low_inclusive)
    return replace(bound, low=low, high=high, unit=unit, text=text)


def _lab_interval(
    own: Sequence[Bounds], unit: str | None, analyte: Analyte | None
) -> tuple[Interval | None, str | None]:
    converted = [bound for bound in (_into(bound, unit, analyte) for bound in own) if bound is not None]
    if not converted:
        if not own:
            return None, None
        return None, "unit-unknown" if not unit else "unit-mismatch"
    bound = intervals.hull(converted)
    if bound.low is None and bound.high is None:
        return None, None
    return (
        Interval(
            bound.low,
            bound.high,
            unit,
            "lab",
            low_inclusive=bound.low_inclusive,
            high_inclusive=bound.high_inclusive,
            text=bound.text,
        ),
        None,
    )


def _lab_critical(
    result: Result,
    measured: Measured,
    patient: Patient,
    age: float | None,
    unit: str | None,
    analyte: Analyte | None,
    normal: Interval | None,
) -> Interval | None:
    """The laboratory's own critical limits.

    Laboratories send them as limits (low 2.5, high 6.2) or as zones ("critical from 6.2"): a number on or above the high end
    of the normal interval is the high limit, one on or below its low end the low limit. Without a normal interval a
    number is the limit that its element's name says.
    """
    lows: list[float] = []
    highs: list[float] = []
    for reference in intervals.choose(result.ranges, "critical", patient, age):
        bound = intervals.bounds(reference)
        if not isinstance(bound, Bounds):
            continue
        if (bound := _into(two_units.beside(bound, measured, unit), unit, analyte)) is None:
            continue
        for number, named in ((bound.low, lows), (bound.high, highs)):
            if number is None:
                continue
            if normal is not None and normal.high is not None and number >= normal.high:
                highs.append(number)
            elif normal is not None and normal.low is not None and number <= normal.low:
                lows.append(number)
            else:
                named.append(number)
    if not lows and not highs:
        return None
    low, high = max(lows, default=None), min(highs, default=None)
    return Interval(low, high, unit, "lab", text=intervals.show(figures(low), figures(high)))


def _implausible(analyte: Analyte | None, canonical: float | None) -> bool:
    if analyte is None or canonical is None:
        return False
    low, high = analyte.implausible_low, analyte.implausible_high
    return (low is not None and canonical < low) or (high is not None and canonical > high)
