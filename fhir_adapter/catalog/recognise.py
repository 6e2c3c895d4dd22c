"""Recognising an analyte by what a laboratory calls it.

Three kinds of names: those that mean one analyte by themselves ("serum sodium"), those that do so only in a specimen
("Glucose" in urine: key "urine|glucose"), and those that do so only in a unit ("Basophils" in %: key "basophils@%").
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from fhir_adapter import units
from fhir_adapter.folding import fold

if TYPE_CHECKING:
    from fhir_adapter.catalog.model import Analyte

LOINC_SYSTEMS = frozenset({"http://loinc.org", "https://loinc.org", "urn:oid:2.16.840.1.113883.6.1"})

_GROUPS: dict[str, str] = {
    "blood": "blood", "serum": "blood", "plasma": "blood", "sang": "blood", "arterial": "blood", "venous": "blood",
    "arteriel": "blood", "veineux": "blood", "capillary": "blood", "capillaire": "blood", "sanguin": "blood",
    "whole": "blood", "ser": "blood", "plas": "blood", "bld": "blood", "serique": "blood", "edta": "blood",
    "urine": "urine", "urines": "urine", "urinary": "urine", "ur": "urine", "urinaire": "urine", "miction": "urine",
    "csf": "csf", "cerebrospinal": "csf", "lcr": "csf", "lcs": "csf", "cephalorachidien": "csf", "rachidien": "csf",
    "pleural": "fluid", "ascites": "fluid", "peritoneal": "fluid", "joint": "fluid", "synovial": "fluid",
    "fluid": "fluid", "ascite": "fluid", "liquide": "fluid", "dialysate": "fluid", "amniotic": "fluid",
    "stool": "stool", "feces": "stool", "faeces": "stool", "selles": "stool", "fecal": "stool",
    "marrow": "marrow", "moelle": "marrow", "saliva": "saliva", "salive": "saliva", "sweat": "sweat",
    "sputum": "respiratory", "nasopharyngeal": "respiratory", "swab": "swab", "tissue": "tissue", "hair": "hair",
}  # fmt: skip
_FIRST = ("csf", "marrow", "urine", "stool", "fluid")
"""Where a text names several ("urine, not blood"; "bone marrow blood"), the first of these decides."""
_SNOMED: dict[str, str] = {
    "119297000": "blood", "119364003": "blood", "119361006": "blood", "258580003": "blood", "122552005": "blood",
    "122555007": "blood", "122554006": "blood", "122575003": "urine", "258574006": "urine", "258450006": "csf",
    "119339001": "stool", "119359002": "marrow", "418564007": "fluid", "309201001": "fluid",
}  # fmt: skip
_PERCENT = "%"
_COUNT = "10*9/L"


@lru_cache(maxsize=2048)
def specimen_group(text: str | None) -> str | None:
    """blood (serum and plasma too), urine, csf, fluid (of a body cavity), stool...; None where unknown."""
    if not text:
        return None
    words = fold(text).split()
    found = [group for word in words if (group := _GROUPS.get(word) or _SNOMED.get(word))]
    return next((group for group in _FIRST if group in found), found[0] if found else None)


@lru_cache(maxsize=2048)
def unit_kind(unit: str | None) -> str | None:
    """ "%", "10*9/L" (any count over volume), or None."""
    code = units.normalize_unit(unit)
    if code in (_PERCENT, "/100{WBC}"):
        return _PERCENT
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
    folded = fold(text)
    kind = unit_kind(unit) if unit else None
    keys = [folded]
    if group is not None:
        keys.insert(0, f"{group}|{folded}")
    if kind is not None:
        keys.insert(0, f"{group or 'blood'}|{folded}@{kind}")
    for key in keys:
        if (found := names.get(key)) is not None and _agrees(found, group):
            return found
    return _in_blood(names.get(f"blood|{folded}"), unit) if group is None else None


_SMALLEST = 0.005
"""Factors below this are units of urine (mg/dL of albumin), where the analyte in blood is reported in larger ones."""


def _in_blood(analyte: Analyte | None, unit: str | None) -> Analyte | None:
    """A bare name ("Sodium") without a specimen means blood, as laboratories use it, if its unit fits. pH doesn't: blood's
    and urine's share name and unit."""
    if analyte is None or analyte.unit is None or analyte.unit == "[pH]" or not unit:
        return None
    factor = units.factor(unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)
    return analyte if factor is not None and factor >= _SMALLEST else None


def _agrees(analyte: Analyte, group: str | None) -> bool:
    own = specimen_group(analyte.specimen)
    return group is None or own is None or own == group
