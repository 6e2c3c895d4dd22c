"""The patterns that take code, by the name that their TOML entry gives."""

from __future__ import annotations

from collections.abc import Mapping

from cds_service.clinical.patterns import (
    acid_base,
    cardiac,
    coagulation,
    diabetes,
    drugs,
    electrolytes,
    haematology,
    infection,
    kidney,
    liver,
    neonate,
    oncology,
    sample,
)
from cds_service.clinical.patterns.spec import Rule

RULES: Mapping[str, Rule] = {
    **kidney.RULES,
    **sample.RULES,
    **electrolytes.RULES,
    **acid_base.RULES,
    **diabetes.RULES,
    **liver.RULES,
    **haematology.RULES,
    **coagulation.RULES,
    **oncology.RULES,
    **cardiac.RULES,
    **infection.RULES,
    **neonate.RULES,
    **drugs.RULES,
}
