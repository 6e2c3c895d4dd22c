"""A newborn's bilirubin by the hour of age: NICE CG98's treatment lines for 38 weeks and more, as data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from cds_service.clinical.show import unit_text
from cds_service.domain import Basis, Code, Said
from fhir_adapter.model import PanelResult, Patient

PHOTOTHERAPY: Sequence[tuple[float, float]] = ((0, 100), (24, 200), (96, 350))
"""(hours, µmol/L), straight between, level after the last: 100 at birth, 200 at 24 h, 350 from 96 h on."""
EXCHANGE: Sequence[tuple[float, float]] = ((0, 100), (42, 450))
"""(hours, µmol/L): 100 at birth, 450 from 42 h on."""
UMOL_PER_MG_DL = 17.104
"""µmol/L of bilirubin in 1 mg/dL (584.66 g/mol)."""
LAST_HOUR = 14 * 24.0
NICE = "NICE. Jaundice in newborn babies under 28 days (CG98), treatment threshold table for 38 weeks and more; 2010, updated 2023"

Line = Literal["phototherapy", "exchange"]


def threshold(line: Sequence[tuple[float, float]], hours: float) -> float:
    """The line at an age in hours, µmol/L."""
    for (start, low), (end, high) in pairwise(line):
        if hours <= end:
            return low + (high - low) * (hours - start) / (end - start)
    return line[-1][1]


def age_hours(patient: Patient, at: datetime | None) -> tuple[float, float] | None:
    """(youngest, oldest) age in hours at a time: one number twice where the hour of birth is known, a day apart by the
    date alone; None where neither is known or the time lies before birth."""
    if at is None:
        return None
    if patient.birth_time is not None:
        hours = (at - patient.birth_time).total_seconds() / 3600
        return (hours, hours) if hours >= 0 else None
    if patient.birth_date is None:
        return None
    midnight = datetime.combine(patient.birth_date, datetime.min.time(), at.tzinfo)
    oldest = (at - midnight) / timedelta(hours=1)
    return (max(0.0, oldest - 24), oldest) if oldest >= 0 else None


def above(placed: PanelResult, patient: Patient) -> tuple[Line | None, float, float] | None:
    """(which line it lies above, the phototherapy line in µmol/L, the age in hours that was taken); None where it can't be
    judged: no number, no age, past 14 days. By the date alone the oldest possible age is taken: its line is the highest."""
    ages = age_hours(patient, placed.result.effective)
    if ages is None or placed.canonical is None or ages[1] > LAST_HOUR:
        return None
    micromol = placed.canonical * UMOL_PER_MG_DL
    light, exchange = threshold(PHOTOTHERAPY, ages[1]), threshold(EXCHANGE, ages[1])
    line: Line | None = "exchange" if micromol > exchange else "phototherapy" if micromol > light else None
    return line, light, ages[1]


def surely_below(placed: PanelResult, patient: Patient) -> bool:
    """Whether it lies on or below the phototherapy line at every age it may have."""
    ages = age_hours(patient, placed.result.effective)
    if ages is None or placed.canonical is None or ages[1] > LAST_HOUR:
        return False
    return placed.canonical * UMOL_PER_MG_DL <= threshold(PHOTOTHERAPY, ages[0])


def shown(placed: PanelResult, light: float, hours: float) -> dict[str, str]:
    """The phototherapy line in the unit of the result, and the hours, as texts' parameters."""
    if placed.number and placed.canonical and placed.unit and placed.number / placed.canonical < UMOL_PER_MG_DL / 2:
        limit = light / UMOL_PER_MG_DL * placed.number / placed.canonical
        return {"limit": f"{limit:.1f} {unit_text(placed)}", "hours": f"{hours:.0f}"}
    return {"limit": f"{light:.0f} µmol/L", "hours": f"{hours:.0f}"}


def judge(placed: PanelResult, patient: Patient) -> tuple[Code, Basis] | None:
    """A newborn's total bilirubin where the laboratory gives no interval: HH above the exchange line, H above that for
    phototherapy, N where it lies below at every age it may have; None where the age leaves it open."""
    if placed.analyte is None or placed.analyte.id != "bilirubin-total":
        return None
    found = above(placed, patient)
    if found is None:
        return None
    line, light, hours = found
    params = shown(placed, light, hours)
    if line is not None:
        code: Code = "HH" if line == "exchange" else "H"
        return code, Basis("interval", Said(f"bilirubin-{line}-line", params), citation=NICE)
    if not surely_below(placed, patient):
        return None
    return "N", Basis("interval", Said("bilirubin-below-line", params), citation=NICE)
