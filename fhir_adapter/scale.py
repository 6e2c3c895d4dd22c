"""How the units of one test convert into each other: never guessed, None where it isn't known."""

from __future__ import annotations

from fhir_adapter import units
from fhir_adapter.catalog import Analyte
from fhir_adapter.model import PanelResult


def same_unit(one: str | None, other: str | None) -> bool:
    """Whether two unit strings are the same unit: equal as written, or the same UCUM code. Both missing counts as the same."""
    if one == other:
        return True
    if not one or not other:
        return not one and not other
    known = units.normalize_unit(one)
    return known is not None and known == units.normalize_unit(other)


def conversion(one: PanelResult, other: PanelResult) -> tuple[float, float] | None:
    """(factor, offset) from the unit of ``one`` into that of ``other``, a result of the same test; None where it isn't known."""
    if one.unit == other.unit or same_unit(one.unit, other.unit):
        return 1.0, 0.0
    there, back = scale_into(one.unit, one.analyte), scale_into(other.unit, other.analyte)
    if there is None or back is None or not back[0]:
        return None
    return there[0] / back[0], (there[1] - back[1]) / back[0]


def to_canonical(placed: PanelResult) -> tuple[float, float] | None:
    """(factor, offset) from the unit of a result into its analyte's canonical one; None where it isn't known."""
    return scale_into(placed.unit, placed.analyte)


def scale_into(unit: str | None, analyte: Analyte | None) -> tuple[float, float] | None:
    """(factor, offset) from the reported unit into the analyte's canonical one; None where it isn't known."""
    if analyte is None or analyte.unit is None:
        return None
    if not unit:
        return (1.0, 0.0) if analyte.unit in ("1", "[pH]") else None
    factor = units.factor(unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)
    if factor is not None:
        return factor, 0.0
    known = units.normalize_unit(unit)
    for conversion in analyte.conversions:
        if known is not None and known == units.normalize_unit(conversion.unit):
            return conversion.factor, conversion.offset
    return None
