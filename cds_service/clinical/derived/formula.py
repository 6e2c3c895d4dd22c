"""What a derived value is made of: its formula, what it needs, where it holds and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from fhir_adapter.model import Sex

Numbers = Mapping[str, float]
"""Input numbers by analyte, in the canonical units of :data:`cds_service.clinical.analytes.UNITS`."""
Limits = tuple[float | None, float | None]
"""(low, high) in the formula's unit."""

SAME_DRAW = timedelta(hours=1)
"""What acid-base and electrolytes need: blood gas and chemistry of one moment."""
SAME_DAY = timedelta(hours=24)
"""What slower quantities need: the tubes of one day."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who the results are about. Age in years; None is unknown, and nothing that needs it is then computed."""

    age: float | None = None
    sex: Sex | None = None
    pregnant: bool | None = None
    height_cm: float | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """One derived value.

    ``inputs`` are analytes, in canonical units; "a|b" takes a, else b converted by ``INTO``; "alt/limit" is the result as
    a multiple of the high limit of its own interval. ``optional`` ones are passed where they are there. ``compute`` gets
    the numbers by the first name of each input, and gives None outside the formula's domain. The value is in ``unit`` with
    ``digits`` decimals, printed in the reported unit of ``shown_like`` where that is set. ``interval`` are its limits,
    ``flag`` the sides ("L", "H", "LH") on which lying outside is worth a
    clinician's eye. ``reported`` is the analyte under which laboratories report
    the same quantity; a difference of more than ``tolerance`` (absolute, or share of the reported number) is material.
    ``formula`` and ``domain`` are for people to check.
    """

    id: str
    unit: str
    inputs: tuple[str, ...]
    compute: Callable[[Numbers, Person], float | None]
    formula: str
    domain: str
    source: str
    digits: int = 1
    optional: tuple[str, ...] = ()
    window: timedelta = SAME_DRAW
    interval: Limits | Callable[[Person], Limits] = (None, None)
    interval_source: str | None = None
    flag: str = ""
    shown_like: str | None = None
    reported: str | None = None
    tolerance: tuple[float, float] = (0.0, 0.1)


INTO: Mapping[tuple[str, str], float] = {
    ("urea", "urea-nitrogen"): 2.80134,
    ("bicarbonate-arterial", "bicarbonate"): 1.0,
    ("bicarbonate", "bicarbonate-arterial"): 1.0,
    ("bicarbonate-capillary", "bicarbonate-arterial"): 1.0,
    ("ph-capillary", "ph"): 1.0,
    ("ph-venous", "ph"): 1.0,
    ("po2", "po2-arterial"): 1.0,
}
"""Factors from the canonical unit of one analyte into another's: urea in mmol/L holds 28.0134 mg of nitrogen per mmol."""


def adult(person: Person) -> bool:
    """Whether the age is known and at least 18 years."""
    return person.age is not None and person.age >= 18


def limits(formula: Formula, person: Person) -> Limits:
    """The formula's interval for a person."""
    return formula.interval(person) if callable(formula.interval) else formula.interval
