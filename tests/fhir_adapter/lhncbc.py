"""The catalog's usual intervals beside those of the LHNCBC flowsheet (h17.json), by LOINC."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fhir_adapter.catalog import Catalog
from fhir_adapter.units import factor

TOLERANCE = 0.15
_UNITS = {"cells/mcL": "10*6/uL", "seconds": "s", "units/L": "U/L", "mcg/mL": "ug/mL", "INR(POC)": "1"}


@dataclass(frozen=True)
class Difference:
    """One limit that differs by more than TOLERANCE; numbers in the catalog's unit."""

    analyte: str
    loinc: str
    side: str
    ours: float
    theirs: float
    unit: str

    @property
    def row(self) -> str:
        """As a row of the table in docs/clinical-sources.md, without the decision."""
        return f"| {self.analyte} | {self.loinc} | {self.side} | {self.ours:g} | {self.theirs:.4g} | {self.unit} |"


def compare(catalog: Catalog, file: Path) -> tuple[int, list[Difference]]:
    """How many limits could be compared, and those that differ (adult, both sexes joined)."""
    compared = 0
    differences: list[Difference] = []
    for entry in json.loads(file.read_text(encoding="utf-8"))[1:]:
        analyte = catalog.by_loinc.get(entry.get("E", ""))
        usual = analyte.interval_for(sex=None, age_years=None, pregnant=None) if analyte else None
        if analyte is None or usual is None or analyte.unit is None:
            continue
        unit = _UNITS.get(entry.get("H", ""), entry.get("H", ""))
        ratio = factor(unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)
        if ratio is None:
            continue
        for side, ours, key in (("low", usual.low, "J"), ("high", usual.high, "K")):
            theirs = entry.get(key)
            if ours is None or not isinstance(theirs, int | float) or not theirs:
                continue
            compared += 1
            if abs(theirs * ratio - ours) > TOLERANCE * max(abs(ours), 1e-9):
                differences.append(Difference(analyte.id, entry["E"], side, ours, theirs * ratio, analyte.unit))
    return compared, sorted(differences, key=lambda one: (one.analyte, one.loinc, one.side))
