"""What is expected beside a measured acid-base value, and oxygen across the lung. mm[Hg], mmol/L."""

from __future__ import annotations

from cds_service.clinical.derived.formula import Formula, adult

WINTERS = "Albert MS, Dell RB, Winters RW. Quantitative displacement of acid-base equilibrium in metabolic acidosis. Ann Intern Med 1967;66:312-22"
BEREND = "Berend K, de Vries APJ, Gans ROB. Physiological approach to assessment of acid-base disturbances. N Engl J Med 2014;371:1434-45"
MELLEMGAARD = (
    "Mellemgaard K. The alveolar-arterial oxygen difference: its size and components in normal man. "
    "Acta Physiol Scand 1966;67:10-20"
)
BERLIN = "ARDS Definition Task Force. Acute respiratory distress syndrome: the Berlin Definition. JAMA 2012;307:2526-33"

SEA_LEVEL, WATER, QUOTIENT = 760.0, 47.0, 0.8
"""mm[Hg] of the air and of water vapour at 37 °C; the usual respiratory quotient."""


def winters(bicarbonate: float) -> float:
    """Expected pCO2 in metabolic acidosis: 1.5 x HCO3 + 8 (within 2)."""
    return 1.5 * bicarbonate + 8


def alkalosis_pco2(bicarbonate: float) -> float:
    """Expected pCO2 in metabolic alkalosis: 0.7 x (HCO3 - 24) + 40 (within 2)."""
    return 0.7 * (bicarbonate - 24) + 40


def expected_bicarbonate(pco2: float, *, acute: bool) -> float:
    """Expected HCO3 in a respiratory disorder, per 10 mm[Hg] of pCO2 away from 40: +1 or +4 (acute, chronic) above, -2 or
    -4 below."""
    away = (pco2 - 40) / 10
    if away >= 0:
        return 24 + away * (1 if acute else 4)
    return 24 + away * (2 if acute else 4)


def expected_pco2(ph: float, bicarbonate: float) -> float | None:
    """By Winters' formula in metabolic acidosis (pH < 7.38, HCO3 < 22), its counterpart in metabolic alkalosis (pH > 7.42,
    HCO3 > 26)."""
    if ph < 7.38 and bicarbonate < 22:
        return winters(bicarbonate)
    return alkalosis_pco2(bicarbonate) if ph > 7.42 and bicarbonate > 26 else None


def alveolar_arterial_gradient(fraction: float, pco2: float, po2: float) -> float:
    """FiO2 x (760 - 47) - PaCO2 / 0.8 - PaO2, at sea level."""
    return fraction * (SEA_LEVEL - WATER) - pco2 / QUOTIENT - po2


FORMULAS = (
    Formula(
        "pco2-expected",
        "mm[Hg]",
        ("ph|ph-capillary", "bicarbonate-arterial|bicarbonate-capillary|bicarbonate"),
        lambda x, _: expected_pco2(x["ph"], x["bicarbonate-arterial"]),
        "Metabolic acidosis: 1.5 × HCO₃ + 8; metabolic alkalosis: 0.7 × (HCO₃ − 24) + 40; each within 2 mm Hg",
        "pH below 7.38 with HCO₃ below 22, or pH above 7.42 with HCO₃ above 26.",
        f"{WINTERS}; {BEREND}",
        digits=0,
        shown_like="pco2",
    ),
    Formula(
        "alveolar-arterial-gradient",
        "mm[Hg]",
        ("po2-arterial|po2", "pco2", "fio2"),
        lambda x, person: (
            alveolar_arterial_gradient(x["fio2"], x["pco2"], x["po2-arterial"]) if adult(person) else None
        ),
        "FiO₂ × (760 − 47) − PaCO₂ / 0.8 − PaO₂",
        "Adults, arterial blood, at sea level. Breathing air, 2.5 + 0.21 × age is usual; no interval is known on oxygen.",
        MELLEMGAARD,
        digits=0,
        shown_like="pco2",
        reported="alveolar-arterial-gradient",
        tolerance=(15.0, 0.2),
    ),
    Formula(
        "pf-ratio",
        "mm[Hg]",
        ("po2-arterial|po2", "fio2"),
        lambda x, _: x["po2-arterial"] / x["fio2"],
        "PaO₂ / FiO₂",
        "Arterial blood. Below 300 with PEEP of 5 cm H₂O or more counts in the Berlin definition.",
        BERLIN,
        digits=0,
    ),
)
