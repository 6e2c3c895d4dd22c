"""A body height in the bundle: context for a formula (a child's eGFR), no result to judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from fhir_adapter import elements, units, wire
from fhir_adapter.subjects import Key

CODES = frozenset({"8302-2", "3137-7", "3138-5", "8306-3", "8301-4"})
"""LOINC: body height, measured, stated, lying, estimated."""
_PLAUSIBLE = (20.0, 250.0)
"""cm; anything else is an error of unit or entry."""


def is_height(loinc: frozenset[str]) -> bool:
    """Whether an Observation of these codes is a body height rather than a result."""
    return not CODES.isdisjoint(loinc)


@dataclass(slots=True)
class Heights:
    """What the bundle says of height: (whose, when, cm)."""

    said: list[tuple[Key | None, datetime | None, float]] = field(default_factory=list)

    def observe(self, sent: wire.Observation, key: Key | None, at: datetime | None) -> None:
        """Takes in a height in a unit of length; others are left."""
        try:
            value = None if sent.valueQuantity is None else elements.quantity(sent.valueQuantity, "valueQuantity")
        except elements.Fault:
            return
        factor = None if value is None or value.comparator is not None else units.factor(value.unit, "cm")
        if value is not None and factor is not None and _PLAUSIBLE[0] <= value.number * factor <= _PLAUSIBLE[1]:
            self.said.append((key, at, value.number * factor))

    def of(self, key: Key | None) -> float | None:
        """The newest of this patient, None where there is none."""
        mine = [(at, cm) for whose, at, cm in self.said if whose is None or key is None or whose.same(key)]
        dated = [(at, cm) for at, cm in mine if at is not None]
        if dated:
            return max(dated, key=lambda pair: pair[0])[1]
        return mine[-1][1] if mine else None
