"""Recognising an analyte by what a laboratory calls it.

Three kinds of names: those that mean one analyte by themselves ("serum sodium"), those that do so only in a specimen
("Glucose" in urine: key "urine|glucose"), and those that do so only in a unit ("Basophils" in %: key "basophils@%").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from fhir_adapter import units
from fhir_adapter.catalog.said import Reading, readings
from fhir_adapter.catalog.specimens import specimen_group as specimen_group
from fhir_adapter.folding import fold

if TYPE_CHECKING:
    from fhir_adapter.catalog.model import Analyte

LOINC_SYSTEMS = frozenset(
    {
        *("http://loinc.org", "https://loinc.org", "http://loinc.org/", "https://loinc.org/", "http://www.loinc.org"),
        *("urn:oid:2.16.840.1.113883.6.1", "2.16.840.1.113883.6.1", "LN", "LOINC"),
    }
)
"""How LOINC is named: FHIR's address, its misspellings, its OID and HL7 v2's."""

NPU = re.compile(r"NPU\d{5}\Z")
"""A code of the Nordic laboratories: the same digits mean nothing else, so that it counts under any system."""
_PERCENT = "%"
_COUNT = "10*9/L"


@lru_cache(maxsize=2048)
def unit_kind(unit: str | None) -> str | None:
    """ "%", "10*9/L" (any count over volume), or None."""
    code = units.normalize_unit(unit)
    if code in (_PERCENT, "/100{WBC}"):
        return _PERCENT
    if code == "{mil}/uL":  # a thousand or a million, yet a count
        return _COUNT
    return _COUNT if code is not None and code != "1" and units.factor(code, _COUNT) is not None else None


def contradicts(analyte: Analyte, unit: str | None) -> bool:
    """Whether a percentage came for a count, a count for a percentage, or a unit a thousand times off (transferrin in
    mg/dL under the code of the iron binding capacity in ug/dL)."""
    if not unit or analyte.unit is None or unit == analyte.unit:
        return False
    own, sent = unit_kind(analyte.unit), unit_kind(unit)
    if own is not None and sent is not None and own != sent:
        return True
    factor = units.factor(unit, analyte.unit)
    return factor is not None and not 0.001 < factor < 1000


def by_name(names: Mapping[str, Analyte], text: str, unit: str | None, group: str | None) -> Analyte | None:
    """The analyte a name means in that specimen group and unit, or None."""
    return _named(names, fold(text), unit, group, unit_kind(unit) if unit else None)


def by_reading(names: Mapping[str, Analyte], text: str, unit: str | None, group: str | None) -> Analyte | None:
    """The analyte that a name means without what laboratories add to it. More is asked than of a name as it stands: the
    specimen that it names mustn't be another, and its unit must be one of the analyte's."""
    for one in readings(text):
        if one.name and (found := _read(names, one, unit, group)) is not None:
            return found
    return None


def _read(names: Mapping[str, Analyte], one: Reading, unit: str | None, group: str | None) -> Analyte | None:
    if (group is not None and one.group is not None and group != one.group) or (one.measured and not unit):
        return None
    sent = unit_kind(unit) if unit else None
    if one.kind is not None and sent is not None and one.kind != sent:
        return None
    where, kind = group or one.group, sent or one.kind
    found = _named(names, one.name, unit, where, kind)
    if found is None or not fits(found, unit) or (one.kind is not None and unit_kind(found.unit) != one.kind):
        return None
    if one.cellfree and found.id in _IN_CELLS:
        return None
    if one.also is not None and _named(names, one.also, unit, where, kind) is not found:
        return None
    return found


_IN_CELLS = frozenset(("haemoglobin", "haematocrit", "erythrocytes", "leucocytes", "platelets", "hba1c"))
"""Of whole blood: "plasma hemoglobin" is another test, a thousandth of it."""


def _named(
    names: Mapping[str, Analyte], folded: str, unit: str | None, group: str | None, kind: str | None
) -> Analyte | None:
    keys = [folded]
    if group is not None:
        keys.insert(0, f"{group}|{folded}")
    if kind is not None:
        keys.insert(0, f"{group or 'blood'}|{folded}@{kind}")
    for key in keys:
        if (found := names.get(key)) is not None and _agrees(found, group) and not _another_quantity(found, unit):
            return found
    return _in_blood(names.get(f"blood|{folded}"), unit) if group is None else None


def _another_quantity(analyte: Analyte, unit: str | None) -> bool:
    """Whether a concentration came for a percentage, or the other way round: "TP" is a prothrombin activity in %, a total
    protein in g/dL; "Albumin" in % is a share."""
    if not unit or analyte.unit is None or (analyte.unit == "%") == ((code := units.normalize_unit(unit)) == "%"):
        return False
    concentration = code if analyte.unit == "%" else analyte.unit
    if concentration is None or not concentration.endswith(("g/dL", "g/L", "g/mL", "mol/L", "mol/mL")):
        return False
    return _scaled(analyte, unit) is None


def fits(analyte: Analyte, unit: str | None) -> bool:
    """Whether a unit, where one that is known came along, is one of the analyte's; a test answered in words has none."""
    if not unit or units.normalize_unit(unit) is None:
        return True
    return _scaled(analyte, unit) is not None


def measured_in(analyte: Analyte, unit: str, group: str | None) -> bool:
    """Whether a unit is one of the analyte's and not a thousand times off, and the specimen, where one is named, its own."""
    return _agrees(analyte, group) and _scaled(analyte, unit) is not None and not contradicts(analyte, unit)


def _scaled(analyte: Analyte, unit: str) -> float | None:
    if analyte.unit is None:
        return None
    factor = units.factor(unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)
    if factor is not None:
        return factor
    code = units.normalize_unit(unit)
    return next((one.factor for one in analyte.conversions if units.normalize_unit(one.unit) == code), None)


_SMALLEST = 0.005
"""Factors below this are units of urine (mg/dL of albumin), where the analyte in blood is reported in larger ones."""


def _in_blood(analyte: Analyte | None, unit: str | None) -> Analyte | None:
    """A bare name ("Sodium") without a specimen means blood, as laboratories use it, if its unit fits. pH doesn't: blood's
    and urine's share name and unit."""
    if analyte is None or analyte.unit is None or analyte.unit == "[pH]" or not unit:
        return None
    factor = _scaled(analyte, unit)
    return analyte if factor is not None and factor >= _SMALLEST else None


def _agrees(analyte: Analyte, group: str | None) -> bool:
    own = specimen_group(analyte.specimen)
    return group is None or own is None or own == group
