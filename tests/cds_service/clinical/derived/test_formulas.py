"""Each formula against worked examples, and what must hold of it whatever the numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.clinical.derived import acid_base, blood, electrolytes, kidney, liver, metabolic
from cds_service.clinical.derived.registry import FORMULAS


@pytest.mark.parametrize(
    ("creatinine", "age", "sex", "expected"),
    [(1.0, 50, "male", 92), (1.0, 50, "female", 69), (0.5, 30, "female", 129), (2.5, 70, "male", 27)],
)
def test_egfr_2021_by_creatinine(creatinine: float, age: float, sex: str, expected: int) -> None:
    """As the National Kidney Foundation's calculator says."""
    assert round(kidney.egfr_creatinine(creatinine, age, sex)) == expected  # type: ignore[arg-type]


def test_egfr_at_the_knots_is_the_constant_times_age() -> None:
    """At creatinine = kappa and cystatin = 0.8 only the constant, age and sex are left."""
    assert kidney.egfr_creatinine(0.9, 40, "male") == pytest.approx(142 * 0.9938**40)
    assert kidney.egfr_creatinine(0.7, 40, "female") == pytest.approx(142 * 0.9938**40 * 1.012)
    assert kidney.egfr_cystatin(0.8, 40, "male") == pytest.approx(133 * 0.996**40)
    assert kidney.egfr_cystatin(0.8, 40, "female") == pytest.approx(133 * 0.996**40 * 0.932)
    assert kidney.egfr_both(0.9, 0.8, 40, "male") == pytest.approx(135 * 0.9961**40)
    assert kidney.egfr_both(0.7, 0.8, 40, "female") == pytest.approx(135 * 0.9961**40 * 0.963)


def test_egfr_exponents_on_each_side_of_the_knots() -> None:
    def slope(low: float, high: float) -> float:
        return math.log(high / low) / math.log(2)

    one, two, four = (kidney.egfr_creatinine(x, 40, "male") for x in (0.9, 1.8, 3.6))
    assert slope(one, two) == pytest.approx(-1.200)
    assert slope(two, four) == pytest.approx(-1.200)
    for sex, kappa, alpha in (("male", 0.9, -0.302), ("female", 0.7, -0.241)):
        low, high = (kidney.egfr_creatinine(kappa * x, 40, sex) for x in (0.4, 0.8))  # type: ignore[arg-type]
        assert slope(low, high) == pytest.approx(alpha)
        low, high = (kidney.egfr_both(kappa * x, 0.8, 40, sex) for x in (0.4, 0.8))  # type: ignore[arg-type]
        assert slope(low, high) == pytest.approx({"male": -0.144, "female": -0.219}[sex])
    assert slope(*(kidney.egfr_both(0.9 * x, 0.8, 40, "male") for x in (1, 2))) == pytest.approx(-0.544)
    assert slope(*(kidney.egfr_both(0.9, 0.8 * x, 40, "male") for x in (0.4, 0.8))) == pytest.approx(-0.323)
    assert slope(*(kidney.egfr_both(0.9, 0.8 * x, 40, "male") for x in (1, 2))) == pytest.approx(-0.778)
    assert slope(*(kidney.egfr_cystatin(0.8 * x, 40, "male") for x in (0.4, 0.8))) == pytest.approx(-0.499)
    assert slope(*(kidney.egfr_cystatin(0.8 * x, 40, "male") for x in (1, 2))) == pytest.approx(-1.328)


def test_the_bedside_equation() -> None:
    assert kidney.egfr_schwartz(0.5, 110) == pytest.approx(90.86)


def test_fractional_excretions() -> None:
    assert kidney.fractional_excretion(20, 140, 100, 2.0) == pytest.approx(0.2857, abs=1e-4)
    assert kidney.fractional_excretion(20, 140, 0, 2.0) is None
    assert kidney.per_gram(3.0, 100) == 30
    assert kidney.per_gram(3.0, 0) is None


def test_gaps_and_osmolality() -> None:
    assert electrolytes.anion_gap(140, 104, 24) == 12
    assert electrolytes.albumin_corrected_gap(12, 2.4) == pytest.approx(17)
    assert electrolytes.delta_ratio(24, 12) == pytest.approx(1.0)
    assert electrolytes.delta_ratio(15, 12) is None
    assert electrolytes.delta_ratio(24, 22) is None
    assert electrolytes.osmolality(140, 90.078, 14.0067) == pytest.approx(290)
    assert electrolytes.osmolality(140, 90.078, 14.0067, 92.136) == pytest.approx(290 + 25)
    assert electrolytes.effective_osmolality(140, 180.156) == pytest.approx(290)


def test_corrections() -> None:
    assert electrolytes.corrected_sodium(130, 600) == pytest.approx(142)
    assert electrolytes.corrected_sodium(130, 199) is None
    assert electrolytes.corrected_calcium(8.0, 2.0) == pytest.approx(9.6)
    assert electrolytes.corrected_calcium(9.5, 4.0) == 9.5


def test_expected_compensation() -> None:
    assert acid_base.winters(10) == 23
    assert acid_base.alkalosis_pco2(34) == pytest.approx(47)
    assert [acid_base.expected_bicarbonate(60, acute=acute) for acute in (True, False)] == [26, 32]
    assert [acid_base.expected_bicarbonate(20, acute=acute) for acute in (True, False)] == [20, 16]
    assert acid_base.expected_pco2(7.2, 10) == 23
    assert acid_base.expected_pco2(7.4, 24) is None
    assert acid_base.alveolar_arterial_gradient(0.21, 40, 95) == pytest.approx(4.73)


def test_liver_scores() -> None:
    assert liver.fib4(50, 40, 25, 200) == pytest.approx(2.0)
    assert liver.apri(2.0, 100) == 2.0
    assert liver.meld3(1, 137, 1, 1, 3.5, female=False) == 6
    assert liver.meld3(1, 137, 1, 1, 3.5, female=True) == 7
    assert liver.meld3(5.0, 130, 1.8, 1.5, 2.8, female=True) == 28
    assert liver.meld3(50, 110, 9, 9, 1, female=False) == 40


def test_meld_term_by_term() -> None:
    """Away from all bounds every coefficient shows."""
    by_hand = (
        1.33
        + 4.56 * math.log(5)
        + 0.82 * 7
        - 0.24 * 7 * math.log(5)
        + 9.09 * math.log(1.8)
        + 11.14 * math.log(1.5)
        + 1.85 * 0.7
        - 1.83 * 0.7 * math.log(1.5)
        + 6
    )
    assert liver.meld3(5.0, 130, 1.8, 1.5, 2.8, female=True) == round(by_hand)


@pytest.mark.parametrize("bounds", [(125, 120), (137, 150)])
def test_meld_clamps_sodium(bounds: tuple[float, float]) -> None:
    one, other = (liver.meld3(5, sodium, 1.8, 1.5, 2.8, female=True) for sodium in bounds)
    assert one == other


def test_blood_and_iron() -> None:
    assert blood.mentzer(65, 6.0) == pytest.approx(10.83, abs=0.01)
    assert blood.binding_capacity(250) == pytest.approx(350.4, abs=0.1)
    assert blood.saturation(60, 300) == 20
    assert blood.absolute(5.0, 60) == 3
    assert blood.reticulocyte_index(9.0, 25) == pytest.approx(2.5)
    assert blood.reticulocyte_index(9.0, 40) is None
    assert blood.reticulocyte_index(9.0, 19.9) == pytest.approx(9 * 19.9 / 45 / 2.5)


def test_lipids() -> None:
    assert metabolic.friedewald(200, 50, 150) == 120
    assert metabolic.friedewald(200, 50, 400) is None
    assert metabolic.sampson(200, 50, 150) == pytest.approx(
        210.970 - 51.493 - (17.523 + 10.514 - 1.398) - 9.44, abs=0.01
    )
    assert metabolic.sampson(200, 50, 801) is None
    assert metabolic.homa_ir(81, 5) == 1.0


_POSITIVE = st.floats(0.05, 20)


@given(_POSITIVE, _POSITIVE, st.floats(18, 100), st.floats(1, 40), st.sampled_from(["female", "male"]))
def test_more_creatinine_or_age_is_less_filtration(
    one: float, other: float, age: float, years: float, sex: str
) -> None:
    low, high = sorted((one, other))
    for equation in (kidney.egfr_creatinine, kidney.egfr_cystatin):
        assert equation(low, age, sex) >= equation(high, age, sex)  # type: ignore[arg-type]
        assert equation(low, age, sex) > equation(low, age + years, sex)  # type: ignore[arg-type]
    assert kidney.egfr_both(low, other, age, sex) >= kidney.egfr_both(high, other, age, sex)  # type: ignore[arg-type]


@given(st.floats(0.1, 50), st.floats(100, 170), st.floats(0.5, 12), st.floats(0.2, 15), st.floats(1, 5), st.booleans())
def test_meld_stays_in_its_range_and_rises_with_inr(
    bilirubin: float, sodium: float, inr: float, creatinine: float, albumin: float, female: bool
) -> None:
    score = liver.meld3(bilirubin, sodium, inr, creatinine, albumin, female=female)
    assert 6 <= score <= 40
    assert liver.meld3(bilirubin, sodium, inr * 1.5, creatinine, albumin, female=female) >= score


def test_every_formula_says_what_it_is() -> None:
    assert len({formula.id for formula in FORMULAS}) == len(FORMULAS) >= 40
    for formula in FORMULAS:
        assert formula.formula
        assert formula.domain
        assert formula.source
        assert formula.interval == (None, None) or formula.interval_source
        assert not formula.flag or formula.interval != (None, None)
