"""Invented laboratories and patients: panels with their labels, for a machine without data and for laboratories never seen.

What is physiology here (which tests move together, and how far in a disease) is a rough sketch in units of the reference
interval's half width; it teaches a model what an interval is worth, not medicine. Bodies don't know who will measure them: where the interval
is withheld, values lie around the usual one, whatever the laboratory prints (:mod:`training.laboratories`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from msgspec.structs import replace

from fhir_adapter.catalog import Analyte, Catalog
from fhir_adapter.model import (
    Answer,
    Coding,
    Intake,
    Panel,
    PanelResult,
    Patient,
    Quantity,
    ReferenceRange,
    Result,
    Sex,
    Value,
)
from fhir_adapter.normalize import normalize
from training.examples import SHUFFLED, Example, Told, make, without_history
from training.known_limits import Limits
from training.laboratories import Laboratories, Laboratory, side
from training.physiology import ABNORMAL_ANSWERS, FACTORS, NORMAL_ANSWERS, ORDERS, STATES

LOINC = "http://loinc.org"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Person:
    """A simulated patient: for each analyte how far from the middle, in half widths of its interval."""

    sex: Sex
    age: float
    shifts: Mapping[str, float]
    factors: Mapping[str, float]


def person(chance: random.Random, sickness: float) -> Person:
    """A patient, well or with one or two diseases of any severity."""
    sex: Sex = "female" if chance.random() < 0.5 else "male"
    age = chance.uniform(0.1, 17.9) if chance.random() < 0.1 else min(95.0, max(18.0, chance.gauss(58, 18)))
    shifts: dict[str, float] = {}
    if chance.random() < sickness:
        for state in chance.sample(sorted(STATES), chance.choice((1, 1, 2, 3))):
            severity = chance.uniform(0.15, 1.6)
            for analyte, shift in STATES[state].items():
                shifts[analyte] = shifts.get(analyte, 0.0) + shift * severity * chance.uniform(0.6, 1.4)
    return Person(sex, age, shifts, {name: chance.gauss(0, 1) for name in FACTORS})


def place(analyte: Analyte, someone: Person, chance: random.Random) -> float:
    """Where the value lies: 0 the middle of the interval, -1 and +1 its limits. A well person's 95 % lie inside; a third of the results are
    drawn near a limit, where the judgement is hard."""
    if chance.random() < 0.12:
        return chance.choice((-1, 1)) * chance.uniform(0.75, 1.3)
    common = sum(
        weights[analyte.id] * someone.factors[name] for name, weights in FACTORS.items() if analyte.id in weights
    )
    shared = min(0.95, sum(weights[analyte.id] ** 2 for weights in FACTORS.values() if analyte.id in weights))
    own = 0.5 * (common + math.sqrt(1 - shared) * chance.gauss(0, 1))
    return max(-8.0, min(16.0, own + someone.shifts.get(analyte.id, 0.0)))


def number_at(where: float, low: float | None, high: float | None) -> float:
    """The number at a place in an interval; on a log scale where the limits lie far apart."""
    if low is not None and high is not None and (low <= 0 or high / low < 2.5):
        if low == 0:
            return max(0.0, high * math.exp((where - 1) * 0.6)) if where > 1 else max(0.0, high * (where + 1) / 2)
        return (low + high) / 2 + where * (high - low) / 2
    if low is not None and high is not None:
        return math.sqrt(low * high) * math.exp(where * math.log(high / low) / 2)
    if high is not None:
        return high * math.exp((where - 1) * 0.6)
    assert low is not None
    return low * math.exp((where + 1) * 0.35)


def figures(number: float, low: float | None, high: float | None) -> float:
    """As many decimals as a laboratory that writes such limits would report."""
    scale = max(abs(high or 0.0), abs(low or 0.0), 1e-6)
    decimals = max(0, 2 - math.floor(math.log10(scale)))
    return round(number, decimals)


def examples(catalog: Catalog, *, count: int, seed: int = 1, laboratories: int = 400) -> Iterator[Example]:
    """``count`` panels of invented laboratories, a new patient each, in all cases of :data:`training.examples.CASES`."""
    chance = random.Random(f"simulate {seed}")
    known = Laboratories(seed, laboratories)
    judged = {id: analyte for id, analyte in catalog.analytes.items() if analyte.intervals and not analyte.descriptive}
    for number in range(count):
        where = chance.choice(known.all)
        case = chance.choices(("given", "site", "usual"), (0.25, 0.25, 0.5))[0]
        someone = person(chance, where.sickness)
        panel, told = simulate(where, someone, _order(chance, judged), case, catalog, chance)
        shares = known.of_panel(panel, someone.sex, someone.age) if case == "usual" else None
        if told:
            yield from make(
                panel,
                told,
                source="simulated",
                group=f"simulated-{seed}-{number}",
                case=case,
                shares=shares,
                shuffle=chance if chance.random() < SHUFFLED else None,
            )


def _order(chance: random.Random, judged: Mapping[str, Analyte]) -> list[str]:
    """The tests that were ordered: one to four usual panels, or anything at all."""
    if chance.random() < 0.25:
        return chance.sample(sorted(judged), chance.randint(1, 25))
    wanted: list[str] = []
    for name in chance.sample(sorted(ORDERS), chance.choice((1, 1, 2, 3))):
        wanted += [id for id in ORDERS[name] if chance.random() < 0.92]
    return list(dict.fromkeys(wanted))[:40]


def simulate(
    where: Laboratory, someone: Person, order: Sequence[str], case: str, catalog: Catalog, chance: random.Random
) -> tuple[Panel, dict[int, Told]]:
    """One panel as the service would place it, and the truth of each result: its laboratory's own interval."""
    birth = NOW.date() - timedelta(days=int(someone.age * 365.2425))
    results: list[Result] = []
    truth: list[str] = []
    own: list[Limits | None] = []
    for id in order:
        analyte = catalog.analytes.get(id)
        if analyte is None:
            continue
        made = _result(len(results), where, analyte, someone, case, chance)
        if made is None:
            continue
        result, label, limits = made
        results.append(result)
        truth.append(label if chance.random() >= where.flags_noise else "N")
        own.append(limits)
    intake = Intake(
        Patient("p", someone.sex, date(birth.year, birth.month, birth.day)), tuple(results), (), len(results)
    )
    panel = normalize(intake, catalog)
    if case == "site":
        panel = replace(panel, results=tuple(as_site(one) for one in panel.results))
    if chance.random() < 0.1:
        panel = replace(
            panel, patient=Patient("p"), results=tuple(replace(one, age_years=None) for one in panel.results)
        )
    return without_history(panel), {index: (label, "simulated") for index, label in enumerate(truth)}


def as_site(one: PanelResult) -> PanelResult:
    """The same result, with its laboratory's interval shown as one that the site has learnt."""
    if one.interval is None or one.interval.source != "lab":
        return one
    return replace(one, interval=replace(one.interval, source="site"))


def _result(
    number: int, where: Laboratory, analyte: Analyte, someone: Person, case: str, chance: random.Random
) -> tuple[Result, str, Limits | None] | None:
    limits = where.interval(analyte, someone.sex, someone.age)
    ranges: tuple[ReferenceRange, ...] = ()
    if limits is None or (limits[0] is None and limits[1] is None):
        if analyte.intervals:
            return None
        abnormal = chance.random() < 0.3
        value: Value = Answer(chance.choice(ABNORMAL_ANSWERS if abnormal else NORMAL_ANSWERS))
        if case == "given" and chance.random() < 0.4:
            ranges = (ReferenceRange(text="Negative"),)
        return _observation(number, where, analyte, value, ranges, chance), "A" if abnormal else "N", None
    low, high = around = limits
    if case == "usual":
        usual = analyte.interval_for(sex=someone.sex, age_years=someone.age, pregnant=None)
        around = limits if usual is None else (usual.low, usual.high)
    at = figures(number_at(place(analyte, someone, chance), *around), *around)
    if analyte.implausible_low is not None and at < analyte.implausible_low:
        at = low if low is not None else 0.0
    if analyte.implausible_high is not None and at > analyte.implausible_high:
        return None
    label = side(at, low, high)
    shown = Quantity(at, analyte.unit, text=f"{at:g}")
    if high is not None and low in (None, 0, 0.0) and at < high * 0.15 and chance.random() < 0.3:
        shown = Quantity(figures(high * 0.15, low, high), analyte.unit, "<")
        label = "N"
    if case in ("given", "site"):
        ends = [None if end is None else Quantity(end, analyte.unit) for end in limits]
        ranges = (ReferenceRange(low=ends[0], high=ends[1]),)
    return _observation(number, where, analyte, shown, ranges, chance), label, limits


def _observation(
    number: int,
    where: Laboratory,
    analyte: Analyte,
    value: Value,
    ranges: tuple[ReferenceRange, ...],
    chance: random.Random,
) -> Result:
    name = chance.choice((analyte.names["en"], *analyte.aliases)) if where.named else analyte.names["en"]
    codings: tuple[Coding, ...] = () if where.named or not analyte.loinc else (Coding(LOINC, analyte.loinc[0]),)
    if chance.random() < 0.03:  # a test that nobody knows: its interval is all there is
        codings, name = (), _typo(name, chance)
    return Result(
        path=f"Bundle.entry[{number}].resource",
        observation=f"Observation/{number}",
        codings=codings,
        name=name,
        value=value,
        effective=NOW,
        ranges=ranges,
        specimen=analyte.specimen,
    )


def _typo(name: str, chance: random.Random) -> str:
    at = chance.randrange(len(name))
    return (
        name[:at] + chance.choice(("", name[at] * 2, "x")) + name[at + 1 :] + chance.choice((" new", " XL", " 2", ""))
    )
