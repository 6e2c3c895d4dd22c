"""Glucose: crises, and the limits that define diabetes."""

from __future__ import annotations

import re
from typing import Literal

from cds_service.clinical.analytes import URINE_KETONES
from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence, Said
from fhir_adapter.fasting import fasting
from fhir_adapter.model import Answer, Quantity

_FEW_KETONES = re.compile(r"\s*(?:\+?\s*1\s*\+?|\+|\+/?-|±|tr(?:ace)?s?|small|few|weak.*|faible.*)\s*\Z", re.IGNORECASE)
_MANY_KETONES = 40.0
"""mg/dL that a strip calls 2+ ("moderate")."""
_SOME_KETONES = 0.6
"""mmol/L of beta-hydroxybutyrate, above which ketones are raised."""


def ketoacidosis(seen: Seen, spec: Spec) -> Hit | None:
    """High glucose, metabolic acidosis, and ketones or (where they weren't measured) a gap."""
    limits = spec.limits
    glucose = seen.number("glucose")
    if glucose is None or glucose < limits["glucose"]:
        return None
    near = spec.near(seen, "glucose")
    bicarbonate = _first(near, "bicarbonate-arterial", "bicarbonate-capillary", "bicarbonate")
    ph = _first(near, "ph", "ph-capillary", "ph-venous")
    acid = (bicarbonate is not None and bicarbonate < limits["bicarbonate"]) or (ph is not None and ph < limits["ph"])
    if not acid:
        return None
    ketones = _ketones(near, limits["bhb"])
    gap = near.number("anion-gap")
    if ketones == "none" or (ketones != "many" and not (gap is not None and gap > limits["gap"])):
        return None
    strip = near.newest.get(URINE_KETONES)
    return Hit(near, speaks_for=() if strip is None or near.findings[strip].code is None else (Evidence(index=strip),))


def _first(seen: Seen, *names: str) -> float | None:
    return next((number for name in names if (number := seen.number(name)) is not None), None)


def _ketones(seen: Seen, many: float) -> Literal["none", "few", "many"] | None:
    """What blood says, else the urine strip; None where neither was measured."""
    blood = seen.reach("beta-hydroxybutyrate")
    if blood is not None:
        return "many" if blood[0] >= many else "none" if blood[1] < _SOME_KETONES else "few"
    index = seen.newest.get(URINE_KETONES)
    if index is None or seen.findings[index].code is None:
        return None
    if seen.findings[index].code == "N":
        return "none"
    placed = seen.panel.results[index]
    value = placed.result.value
    few = isinstance(value, Answer) and _FEW_KETONES.match(value.text) is not None
    if isinstance(value, Quantity):
        few = placed.canonical is None or placed.canonical < _MANY_KETONES
    return "few" if few else "many"


def diabetes_range(seen: Seen, spec: Spec) -> Hit | None:
    """HbA1c or glucose in the range that defines diabetes; two of them confirm."""
    hba1c, glucose = seen.number("hba1c"), seen.number("glucose")
    by_hba1c = hba1c is not None and hba1c >= spec.limits["hba1c"] - 1e-9
    is_fasting = _is_fasting(seen)
    by_fasting = glucose is not None and is_fasting is True and glucose >= spec.limits["fasting"]
    by_random = glucose is not None and glucose >= spec.limits["random"]
    if not by_hba1c and not by_fasting and not by_random:
        return None
    members = tuple(name for name, met in (("hba1c", by_hba1c), ("glucose", by_fasting or by_random)) if met)
    again = "diabetes-confirmed" if by_hba1c and by_fasting else "diabetes-needs-second"
    point = Evidence(said=Said(again))
    both = by_hba1c and by_fasting
    return Hit(seen, members=members, speaks_for=(point,) if both else (), speaks_against=() if both else (point,))


def prediabetes_range(seen: Seen, spec: Spec) -> Hit | None:
    """HbA1c or a fasting glucose between normal and diabetes."""
    hba1c, glucose = seen.number("hba1c"), seen.number("glucose")
    by_hba1c = hba1c is not None and spec.limits["hba1c"] - 1e-9 <= hba1c < 6.5 - 1e-9
    by_fasting = glucose is not None and _is_fasting(seen) is True and spec.limits["fasting"] <= glucose < 126
    members = tuple(name for name, met in (("hba1c", by_hba1c), ("glucose", by_fasting)) if met)
    return Hit(seen, members=members) if members else None


def gestational_glucose(seen: Seen, spec: Spec) -> Hit | None:
    """A fasting glucose in pregnancy."""
    glucose = seen.number("glucose")
    if glucose is None or glucose < spec.limits["fasting"] or _is_fasting(seen) is not True:
        return None
    return Hit(seen)


def _is_fasting(seen: Seen) -> bool | None:
    placed = seen.result("glucose")
    return None if placed is None else fasting(placed.result)


RULES: dict[str, Rule] = {
    "ketoacidosis": ketoacidosis,
    "diabetes-range": diabetes_range,
    "prediabetes-range": prediabetes_range,
    "gestational-glucose": gestational_glucose,
}
