"""Signs of infection with organs that suffer, and the CSF."""

from __future__ import annotations

from cds_service.clinical.kidney import aki_stage
from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen

_ANCHORS = ("lactate", "lactate-arterial", "lactate-capillary", "procalcitonin", "leucocytes", "crp", "blood-culture")


def sepsis_suggestive(seen: Seen, spec: Spec) -> Hit | None:
    """A marker of infection, and lactate or two organs."""
    anchor = next((name for name in _ANCHORS if name in seen.newest), None)
    if anchor is None:
        return None
    near = spec.near(seen, anchor)
    if not _infection(near, spec):
        return None
    if (
        not _over(near, spec.limits["lactate"], "lactate", "lactate-arterial", "lactate-capillary", strictly=True)
        and _organs(near, spec) < 2
    ):
        return None
    return Hit(near)


def _infection(seen: Seen, spec: Spec) -> bool:
    cells = seen.number("leucocytes")
    return (cells is not None and cells < spec.limits["low"]) or _beyond_leucopenia(seen, spec)


def _beyond_leucopenia(seen: Seen, spec: Spec) -> bool:
    limits = spec.limits
    cells = seen.number("leucocytes")
    return (
        _over(seen, limits["pct"], "procalcitonin")
        or _over(seen, limits["crp"], "crp")
        or (cells is not None and cells > limits["high"])
        or _over(seen, limits["bands"], "bands", strictly=True)
        or seen.code("blood-culture") in ("A", "AA")
        or seen.code("csf-culture") in ("A", "AA")
    )


def _organs(seen: Seen, spec: Spec) -> int:
    limits = spec.limits
    platelets, creatinine = seen.reach("platelets"), seen.result("creatinine")
    kidney = _over(seen, limits["creatinine"], "creatinine") or (creatinine is not None and aki_stage(creatinine) > 0)
    few = platelets is not None and platelets[1] < limits["platelets"]
    if few and seen.code("haemoglobin") in ("L", "LL") and not _beyond_leucopenia(seen, spec):
        few = False
    return sum(
        (
            few,
            _over(seen, limits["bilirubin"], "bilirubin-total"),
            kidney,
            _over(seen, limits["inr"], "inr", strictly=True),
        )
    )


def _over(seen: Seen, limit: float, *names: str, strictly: bool = False) -> bool:
    """Whether one of them is at the limit or above it."""
    for name in names:
        reach = seen.reach(name)
        if reach is not None and (reach[0] > limit or (reach[0] == limit and not strictly)):
            return True
    return False


def bacterial_meningitis(seen: Seen, spec: Spec) -> Hit | None:
    """Cells in the CSF, with little sugar or much protein."""
    cells, limits = seen.number("csf-leucocytes"), spec.limits
    if cells is None:
        return None
    near = spec.near(seen, "csf-leucocytes")
    red = near.number("csf-erythrocytes") or 0.0
    if cells - red / limits["red"] < limits["cells"]:
        return None
    sugar, blood, protein = near.number("csf-glucose"), near.number("glucose"), near.number("csf-protein")
    low = sugar is not None and (sugar < limits["glucose"] or (blood is not None and sugar < limits["ratio"] * blood))
    if not low and not (protein is not None and protein >= limits["protein"]):
        return None
    return Hit(near)


RULES: dict[str, Rule] = {"sepsis-suggestive": sepsis_suggestive, "meningitis-bacterial": bacterial_meningitis}
