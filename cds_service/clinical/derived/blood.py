"""Blood counts and iron. Counts in 10*9/L, percentages of the white cells, iron in ug/dL, transferrin in mg/dL."""

from __future__ import annotations

from cds_service.clinical.derived.formula import SAME_DAY, Formula, Numbers, Person

DACIE = "Bain BJ, Bates I, Laffan MA, eds. Dacie and Lewis Practical Haematology. 12th ed. Elsevier; 2017"
MENTZER = "Mentzer WC. Differentiation of iron deficiency from thalassaemia trait. Lancet 1973;1:882"
BEILBY = "Beilby J, et al. Transferrin index: an alternative method for calculating the iron saturation of transferrin. Clin Chem 1992;38:2078-81"
HILLMAN = "Hillman RS, Finch CA. Red Cell Manual. 7th ed. F.A. Davis; 1996"
ZAHOREC = "Zahorec R. Ratio of neutrophil to lymphocyte counts: rapid and simple parameter of systemic inflammation and stress in critically ill. Bratisl Lek Listy 2001;102:5-14"
CTCAE = "National Cancer Institute. Common Terminology Criteria for Adverse Events (CTCAE) v5.0; 2017"

IRON_PER_TRANSFERRIN = 1.4017
"""ug of iron that 1 mg of transferrin binds: 25.1 umol/L of iron for each g/L (two atoms for each of its 79 570 g/mol)."""


def mentzer(mcv: float, erythrocytes: float) -> float:
    """MCV / erythrocytes in 10*6/uL."""
    return mcv / erythrocytes


def binding_capacity(transferrin: float) -> float:
    """TIBC in ug/dL from transferrin in mg/dL."""
    return transferrin * IRON_PER_TRANSFERRIN


def saturation(iron: float, tibc: float) -> float:
    """Transferrin saturation in %."""
    return 100 * iron / tibc


def absolute(leucocytes: float, percent: float) -> float:
    """A share of the white cells as a count."""
    return leucocytes * percent / 100


def reticulocyte_index(percent: float, haematocrit: float) -> float | None:
    """Reticulocyte production index: % x haematocrit / 45, over the days that early ones live on in the blood (1, 1.5, 2,
    2.5 from a haematocrit of 40, 30, 20, below); only in anaemia (haematocrit below 40)."""
    if haematocrit >= 40 or haematocrit <= 0:
        return None
    days = 1.5 if haematocrit >= 30 else 2.0 if haematocrit >= 20 else 2.5
    return percent * haematocrit / 45 / days


def _count(kind: str) -> Formula:
    percent = f"{kind}-percent"
    return Formula(
        kind,
        "10*9/L",
        ("leucocytes", percent),
        lambda x, _: absolute(x["leucocytes"], x[percent]),
        f"leucocytes × {kind} % / 100",
        "One sample.",
        DACIE,
        digits=2,
        reported=kind,
        tolerance=(0.3, 0.15),
    )


def _neutrophils(x: Numbers, _: Person) -> float | None:
    share = x["neutrophils-percent"] + x.get("bands", 0.0)
    return absolute(x["leucocytes"], share) if share <= 100 else None


FORMULAS = (
    Formula(
        "neutrophils",
        "10*9/L",
        ("leucocytes", "neutrophils-percent"),
        _neutrophils,
        "leucocytes × (neutrophils % + bands %) / 100",
        "One sample; bands count where they are given apart.",
        CTCAE,
        digits=2,
        optional=("bands",),
        interval=lambda person: (1.0, None) if person.age is not None and person.age >= 1 else (None, None),
        interval_source=CTCAE,
        flag="L",
        reported="neutrophils",
        tolerance=(0.3, 0.15),
    ),
    _count("lymphocytes"),
    _count("monocytes"),
    _count("eosinophils"),
    _count("basophils"),
    Formula(
        "neutrophil-lymphocyte-ratio",
        "",
        ("neutrophils", "lymphocytes"),
        lambda x, _: x["neutrophils"] / x["lymphocytes"] if x["lymphocytes"] > 0 else None,
        "neutrophils / lymphocytes",
        "One sample.",
        ZAHOREC,
    ),
    Formula(
        "mentzer-index",
        "",
        ("mcv", "erythrocytes"),
        lambda x, _: mentzer(x["mcv"], x["erythrocytes"]) if x["mcv"] < 80 and x["erythrocytes"] > 0 else None,
        "MCV / erythrocytes in 10⁶/µL",
        "MCV below 80 fL.",
        MENTZER,
    ),
    Formula(
        "tibc",
        "ug/dL",
        ("transferrin",),
        lambda x, _: binding_capacity(x["transferrin"]),
        "transferrin in g/L × 25.1 = µmol/L of iron",
        "Any.",
        BEILBY,
        digits=0,
        reported="tibc",
    ),
    Formula(
        "transferrin-saturation",
        "%",
        ("iron", "tibc"),
        lambda x, _: saturation(x["iron"], x["tibc"]) if x["tibc"] > 0 else None,
        "100 × iron / TIBC",
        "TIBC as measured, else from transferrin.",
        BEILBY,
        digits=0,
        window=SAME_DAY,
        reported="transferrin-saturation",
        tolerance=(5.0, 0.15),
    ),
    Formula(
        "reticulocyte-index",
        "",
        ("reticulocytes-percent", "haematocrit"),
        lambda x, _: reticulocyte_index(x["reticulocytes-percent"], x["haematocrit"]),
        "reticulocytes % × (haematocrit / 45) / maturation (1.5 from 30 %, 2 from 20 %, 2.5 below)",
        "Haematocrit below 40 %. Below 2: too few for the anaemia; above 3: the marrow answers.",
        HILLMAN,
        window=SAME_DAY,
    ),
)
