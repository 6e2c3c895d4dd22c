"""All derived values, in the order in which they are computed: one may rest on those before it."""

from __future__ import annotations

from cds_service.clinical.derived import acid_base, blood, electrolytes, kidney, liver, metabolic
from cds_service.clinical.derived.formula import Formula

FORMULAS: tuple[Formula, ...] = (
    *electrolytes.FORMULAS,
    *acid_base.FORMULAS,
    *kidney.FORMULAS,
    *liver.FORMULAS,
    *blood.FORMULAS,
    *metabolic.FORMULAS,
)
