"""Iron by WHO's limits, and too many red cells."""

from __future__ import annotations

from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen

_CHILD = 5.0
"""Years, under which WHO's limits of ferritin are lower."""


def _low_ferritin(seen: Seen, spec: Spec) -> float | None:
    """The limit that the ferritin lies under; higher where CRP says that inflammation raises it, if the spec knows one."""
    reach, age = seen.reach("ferritin"), seen.age()
    if reach is None:
        return None
    child = age is not None and age < _CHILD
    inflamed = "inflamed" in spec.limits and seen.code("crp") in ("H", "HH")
    name = ("inflamed_child" if child else "inflamed") if inflamed else ("child" if child else "ferritin")
    limit = spec.limits[name]
    return limit if reach[1] < limit or (reach[1] == limit and not reach[2]) else None


def iron_deficiency_anaemia(seen: Seen, spec: Spec) -> Hit | None:
    """A low haemoglobin with a ferritin under WHO's limit."""
    if seen.code("haemoglobin") not in ("L", "LL"):
        return None
    near = seen.near("haemoglobin", spec.window * 15)  # iron stores don't change in a month
    limit = _low_ferritin(near, spec)
    return None if limit is None else Hit(near, {"limit": f"{limit:g}"})


def iron_deficiency(seen: Seen, spec: Spec) -> Hit | None:
    """A ferritin under WHO's limit, the haemoglobin still normal."""
    limit = _low_ferritin(seen, spec)
    if limit is None or seen.near("ferritin", spec.window * 15).code("haemoglobin") != "N":
        return None
    return Hit(seen, {"limit": f"{limit:g}"})


def polycythaemia(seen: Seen, spec: Spec) -> Hit | None:
    """A haematocrit or haemoglobin above the limit of the sex; unknown sex takes the men's."""
    women = seen.panel.patient.sex == "female"
    haematocrit, haemoglobin = seen.number("haematocrit"), seen.number("haemoglobin")
    limits = spec.limits
    by_volume = haematocrit is not None and haematocrit > limits["women" if women else "men"]
    by_mass = haemoglobin is not None and haemoglobin > limits["hb_women" if women else "hb_men"]
    return Hit(seen) if by_volume or by_mass else None


RULES: dict[str, Rule] = {
    "iron-deficiency-anaemia": iron_deficiency_anaemia,
    "iron-deficiency": iron_deficiency,
    "polycythaemia": polycythaemia,
}
