"""Drug levels that need a time or a kidney beside them."""

from __future__ import annotations

import re
from math import pow

from cds_service.clinical.kidney import has_risen
from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence, Indicator, Said
from fhir_adapter.model import PanelResult

_HOURS = re.compile(
    r"(?<![\d.,])(\d{1,2}(?:[.,]\d{1,2})?)\s*(?:h|hr|hrs|hour|hours|heure|heures)\.?\s*(?:post|after|since|following|après|apres|depuis)"
    r"[\s-]*(?:l['’]?\s*)?(?:ingestion|overdose|dose|intake|prise)",
    re.IGNORECASE,
)


def hours_since_ingestion(placed: PanelResult) -> float | None:
    """Hours that a comment or the name says ("4 h post ingestion", "6 h après la prise"); None where none, or two."""
    texts = (*placed.result.comments, placed.result.name or "")
    found = {
        float(match[1].replace(",", ".")) for text in texts for match in _HOURS.finditer(text.replace(" la ", " "))
    }
    return found.pop() if len(found) == 1 else None


def treatment_line(hours: float, at_four: float) -> float:
    """µg/mL on the line that halves every four hours from its value at 4 h."""
    return at_four * pow(0.5, (hours - 4) / 4)


def paracetamol(seen: Seen, spec: Spec) -> Hit | None:
    """On or above the treatment line; without the hours, a level worth asking for them."""
    placed, level, limits = seen.result("paracetamol"), seen.number("paracetamol"), spec.limits
    if placed is None or level is None:
        return None
    near = spec.near(seen, "paracetamol")
    hours = hours_since_ingestion(placed)
    if hours is not None and limits["from"] <= hours <= limits["to"]:
        line = treatment_line(hours, limits["line"])
        if level < line - 1e-9:
            return None
        said = Said("paracetamol-line", {"hours": f"{hours:g}", "line": f"{line:.0f}"})
        return Hit(near, speaks_for=(Evidence(said=said),))
    if level < limits["unknown"]:
        return None
    said = Said("paracetamol-early" if hours is not None and hours < limits["from"] else "paracetamol-no-time")
    severity: Indicator = "critical" if level >= limits["line"] else "warning"
    return Hit(near, severity=severity, speaks_against=(Evidence(said=said),))


def vancomycin_kidney(seen: Seen, spec: Spec) -> Hit | None:
    """A high level with a creatinine that is high or has risen."""
    level = seen.number("vancomycin")
    if level is None or level <= spec.limits["level"]:
        return None
    near = spec.near(seen, "vancomycin")
    creatinine = near.result("creatinine")
    if creatinine is None or (near.code("creatinine") not in ("H", "HH") and not has_risen(creatinine)):
        return None
    return Hit(near)


RULES: dict[str, Rule] = {"paracetamol": paracetamol, "vancomycin-kidney": vancomycin_kidney}
