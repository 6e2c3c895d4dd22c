"""Invented laboratories: the limits that each prints, and what all of them together would say of a number.

Every laboratory prints limits that some real one prints (:mod:`training.known_limits`), or moves the catalog's: a model that sees many of
them learns that the usual interval is a hint, and how good a one.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from fhir_adapter.catalog import Analyte
from fhir_adapter.model import Panel, Sex
from training.examples import Shares
from training.known_limits import Limits
from training.known_limits import known as known_limits


@dataclass(slots=True)
class Laboratory:
    """An invented laboratory: its limits, its ways of writing, how sick its patients are.

    ``spread`` is how far its limits lie from the usual ones, as a share of the interval's width. ``sickness`` is the share of
    patients with a disease; ``one_for_both`` laboratories don't tell the sexes apart.
    """

    name: str
    chance: random.Random
    spread: float
    sickness: float
    one_for_both: bool
    named: bool
    """Sends names, and no LOINC codes."""
    flags_noise: float
    limits: dict[tuple[str, str, int], Limits | None] = field(default_factory=dict)

    def interval(self, analyte: Analyte, sex: Sex | None, age: float) -> Limits | None:
        """The laboratory's own limits in the analyte's canonical unit; None where it has none."""
        key = (analyte.id, "" if self.one_for_both else sex or "", band_of(age))
        if key not in self.limits:
            told = None if self.one_for_both else sex
            usual = analyte.interval_for(sex=told, age_years=age, pregnant=None)
            if age >= 18 and (printed := self._printed(analyte, told)) is not None:
                self.limits[key] = printed
            else:
                self.limits[key] = None if usual is None else self._moved(analyte, usual.low, usual.high)
        return self.limits[key]

    def _printed(self, analyte: Analyte, sex: Sex | None) -> Limits | None:
        """For two of three tests that some laboratories' limits are known of, one of those."""
        lists = known_limits().get(analyte.id)
        chance = random.Random(f"{self.name} printed {analyte.id}")
        if lists is None or chance.random() < 1 / 3:
            return None
        # A laboratory that doesn't tell the sexes apart prints the men's or the women's limits for both.
        return chance.choice(tuple(zip(lists["male"], lists["female"], strict=True)))[
            chance.randrange(2) if sex is None else sex == "female"
        ]

    def _moved(self, analyte: Analyte, low: float | None, high: float | None) -> Limits | None:
        # One stream of chance for each test: both sexes move together.
        chance = random.Random(f"{self.name} {analyte.id}")
        if chance.random() < 0.25:  # many laboratories do take the textbook's limits
            return low, high
        shifts = [chance.gauss(0, 1) / math.sqrt(chance.gammavariate(2, 0.5)) for _ in range(2)]  # heavy tails
        if low and high and low > 0:
            if high / low > 2.5:
                width = math.log(high / low)
                low = low * math.exp(self.spread * width * _held(shifts[0]))
                high = high * math.exp(self.spread * width * _held(shifts[1]))
            else:
                width = high - low
                low, high = low + self.spread * width * _held(shifts[0]), high + self.spread * width * _held(shifts[1])
        elif high:
            high = high * math.exp(2 * self.spread * _held(shifts[1]))
        elif low:
            low = low * math.exp(2 * self.spread * _held(shifts[0]))
        low, high = _rounded(low), _rounded(high)
        if low is not None and high is not None and low >= high:
            return None
        return low, high


def _held(shift: float) -> float:
    return max(-3.0, min(3.0, shift))


def _rounded(limit: float | None) -> float | None:
    """Two or three figures, as laboratories write limits."""
    if not limit:
        return limit
    return float(f"{limit:.2g}") if abs(limit) < 10 else float(f"{limit:.3g}")


def band_of(age: float) -> int:
    """0 for adults, else a number for each year of childhood: ages whose limits are the same."""
    return 0 if age >= 18 else 1 + int(age)


def laboratory(seed: int, number: int) -> Laboratory:
    """The invented laboratory of that number; the same for the same seed."""
    chance = random.Random(f"laboratory {seed} {number}")
    return Laboratory(
        name=f"simulated-{seed}-{number}",
        chance=chance,
        spread=chance.choice((0.04, 0.08, 0.12, 0.2)),
        sickness=chance.choice((0.2, 0.5, 0.8, 1.0)),
        one_for_both=chance.random() < 0.15,
        named=chance.random() < 0.25,
        flags_noise=0.002,
    )


class Laboratories:
    """Many invented laboratories, and how they judge together.

    Where a prompt withholds the interval, nothing in it tells whose laboratory the panel comes from: the best that can be said of a number is
    the share of laboratories that would call it low or high. Training takes that share in place of the word of the one laboratory that was
    drawn, which is right on average and no more: the same answer, learnt from far fewer panels.
    """

    def __init__(self, seed: int, count: int) -> None:
        self.all = [laboratory(seed, number) for number in range(count)]
        self._limits: dict[tuple[str, Sex | None, int], tuple[list[float], list[float], int]] = {}

    def shares(self, analyte: Analyte, sex: Sex | None, age: float, number: float) -> Shares | None:
        """The share of the laboratories that would call a number (in the canonical unit) low, and high; None where none has limits."""
        key = (analyte.id, sex, band_of(age))
        if key not in self._limits:
            found = [limits for one in self.all if (limits := one.interval(analyte, sex, age)) is not None]
            lows = sorted(low for low, _ in found if low is not None)
            highs = sorted(high for _, high in found if high is not None)
            self._limits[key] = lows, highs, len(found)
        lows, highs, count = self._limits[key]
        if not count:
            return None
        return (
            round((len(lows) - bisect_right(lows, number)) / count, 4),
            round(bisect_left(highs, number) / count, 4),
        )

    def of_panel(self, panel: Panel, sex: Sex | None, age: float) -> dict[int, Shares]:
        """The shares by index, for the results that are numbers of a known test."""
        return {
            index: shares
            for index, placed in enumerate(panel.results)
            if placed.analyte is not None
            and placed.canonical is not None
            and placed.interval is not None
            and (shares := self.shares(placed.analyte, sex, age, placed.canonical)) is not None
        }


def side(number: float, low: float | None, high: float | None) -> str:
    """N, L or H: a limit belongs to its interval."""
    return "L" if low is not None and number < low else "H" if high is not None and number > high else "N"
