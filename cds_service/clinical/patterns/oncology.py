"""Tumour lysis by Cairo and Bishop's laboratory criteria."""

from __future__ import annotations

from cds_service.clinical.patterns.sample import spoiled
from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen


def tumour_lysis(seen: Seen, spec: Spec) -> Hit | None:
    """Two of four, and LDH or a third: kidney disease alone meets two."""
    if "uric-acid" not in seen.newest or spoiled(seen, "potassium") or spoiled(seen, "phosphate"):
        return None
    near, limits = spec.near(seen, "uric-acid"), spec.limits
    age = seen.age()
    phosphate = limits["phosphate_child" if age is not None and age < 18 else "phosphate"]
    calcium = near.number("calcium-corrected")
    calcium = near.number("calcium") if calcium is None else calcium
    met = [
        _reaches(near.number("uric-acid"), limits["urate"]),
        _reaches(near.number("potassium"), limits["potassium"]),
        _reaches(near.number("phosphate"), phosphate),
        calcium is not None and calcium <= limits["calcium"],
    ]
    if sum(met) < 2 or not (met[0] or met[1]) or not (sum(met) >= 3 or near.code("ldh") in ("H", "HH")):
        return None
    if _reaches(near.number("ck"), limits["ck"]) and not _cells(near, limits["cells"]):
        return None
    return Hit(near, {"count": str(sum(met))})


def _cells(seen: Seen, limit: float) -> bool:
    """Whether there is a leukaemia whose cells may be what breaks down."""
    blasts = seen.number("blasts")
    return (blasts is not None and blasts > 0) or _reaches(seen.number("leucocytes"), limit)


def _reaches(number: float | None, limit: float) -> bool:
    return number is not None and number >= limit


RULES: dict[str, Rule] = {"tumour-lysis": tumour_lysis}
