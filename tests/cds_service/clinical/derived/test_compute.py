"""From a panel to its derived values: what was taken together, in whatever unit, the laboratory's own first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service import words
from cds_service.clinical.analytes import UNITS
from cds_service.clinical.derived.formula import INTO
from cds_service.clinical.derived.registry import FORMULAS
from cds_service.domain import Derived
from fhir_adapter import catalog
from tests.cds_service.clinical.panels import found


def derived(text: str, **more: object) -> dict[str, Derived]:
    return {one.id: one for one in found(text, **more).derived}


GAP = "sodium=140 chloride=100 bicarbonate=15"


def test_a_gap_is_taken_from_one_draw() -> None:
    assert derived(GAP)["anion-gap"].value == 25
    assert "anion-gap" in derived("sodium=140 chloride=100 bicarbonate@1=15")
    assert "anion-gap" not in derived("sodium=140 chloride=100 bicarbonate@1.1=15")
    assert "anion-gap" not in derived("sodium=140 chloride=100")


def test_the_laboratorys_own_comes_first_and_a_difference_is_said() -> None:
    assert "anion-gap" not in derived(f"{GAP} anion-gap=24")
    odd = derived(f"{GAP} anion-gap=10")["anion-gap"]
    assert odd.reported is not None
    assert odd.reported.number == 10
    assert derived(f"{GAP} anion-gap@-30=10")["anion-gap"].reported is None


def test_what_rests_on_the_gap_takes_the_laboratorys() -> None:
    assert derived(f"{GAP} anion-gap=24 albumin=2.4")["anion-gap-corrected"].value == pytest.approx(29)
    assert derived(GAP)["delta-ratio"].value == pytest.approx(13 / 9)


def test_egfr_needs_an_adult_of_known_sex_who_is_not_pregnant_and_steady() -> None:
    assert derived("creatinine=1.0", age=50)["egfr"].text == "69"
    assert "egfr" not in derived("creatinine=1.0", age=17)
    assert "egfr" not in derived("creatinine=1.0", sex=None)
    assert "egfr" not in derived("creatinine=0.6", pregnant=True)
    assert "egfr" not in derived("creatinine@-24=1.0 creatinine=1.6")
    assert "egfr" in derived("creatinine@-24=1.0 creatinine=1.2")


def test_a_bound_of_the_laboratorys_agrees_where_the_number_lies_in_it() -> None:
    assert "egfr" not in derived("creatinine=0.8 egfr=>60", age=50)
    assert derived("creatinine=2.0 egfr=>60", age=50)["egfr"].reported is not None


def test_schwartz_needs_a_height() -> None:
    assert derived("creatinine=0.5", age=8, height_cm=125)["egfr-schwartz"].value == pytest.approx(103.25)
    assert "egfr-schwartz" not in derived("creatinine=0.5", age=8)
    assert "egfr-schwartz" not in derived("creatinine=0.9", age=30, height_cm=170)


def test_only_what_matters_is_flagged() -> None:
    assert derived("creatinine=1.3", age=60)["egfr"].flagged
    assert not derived("creatinine=0.7", age=30)["egfr"].flagged
    assert not any(one.flagged for one in derived("sodium=140 chloride=110 bicarbonate=26").values())


def test_homa_needs_a_fasting_glucose() -> None:
    assert "homa-ir" not in derived("glucose=95 insulin=12")
    assert derived("glucose=95#fasting insulin=12")["homa-ir"].text == "2.8"
    assert "homa-ir" not in derived("glucose=95#non-fasting insulin=12")


def test_inspired_oxygen_is_never_guessed() -> None:
    gas = "po2-arterial=60 pco2=40"
    assert derived(f"{gas} fio2=50[%]")["pf-ratio"].value == 120
    assert derived(f"{gas} fio2=0.5[1]")["pf-ratio"].value == 120
    assert "pf-ratio" not in derived(f"{gas} fio2=5[L/min]")
    assert "pf-ratio" not in derived(f"{gas} fio2=15[%]")
    assert "alveolar-arterial-gradient" in derived(f"{gas} fio2=21[%]")


def test_a_gas_that_may_be_venous_is_not_taken_for_arterial() -> None:
    assert "pf-ratio" not in derived("po2=60 fio2=21[%]")
    assert "pf-ratio" in derived("po2=60 fio2=21[%]", specimen="Arterial blood")


def test_counts_come_from_percents_where_the_laboratory_sends_none() -> None:
    assert derived("leucocytes=4.0 neutrophils-percent=20 bands=5")["neutrophils"].value == pytest.approx(1.0)
    assert "neutrophils" not in derived("leucocytes=4.0 neutrophils-percent=50 neutrophils=2.0")
    assert derived("leucocytes=4.0 neutrophils-percent=50 neutrophils=0.9")["neutrophils"].reported is not None


def test_saturation_from_transferrin() -> None:
    found = derived("iron=30 transferrin=300")
    assert found["transferrin-saturation"].value == pytest.approx(100 * 30 / (300 * 1.4017))
    assert len(found["transferrin-saturation"].inputs) == 2


def test_fib4_is_left_out_in_acute_hepatitis() -> None:
    assert "fib-4" in derived("ast=80 alt=60 platelets=150", age=60)
    assert "fib-4" not in derived("ast=80 alt=900 platelets=150", age=60)


def test_an_implausible_input_gives_nothing() -> None:
    assert "anion-gap" not in derived("sodium=14 chloride=100 bicarbonate=15")


@pytest.mark.parametrize("hours", [0, 24])
def test_it_is_printed_in_the_laboratorys_unit(hours: int) -> None:
    si = derived(f"calcium@{hours}=1.90[mmol/L] albumin=20[g/L]")["calcium-corrected"]
    assert (si.text, si.shown_unit) == ("2.30", "mmol/L")
    us = derived("calcium=7.6 albumin=2.0")["calcium-corrected"]
    assert (us.text, us.shown_unit) == ("9.20", "mg/dL")


_MOLAR = {
    "creatinine": (88.402, "umol/L"),
    "glucose": (1 / 18.0156, "mmol/L"),
    "calcium": (1 / 4.0078, "mmol/L"),
    "albumin": (10.0, "g/L"),
    "bilirubin-total": (10000 / 584.66, "umol/L"),
    "cholesterol": (1 / 38.665, "mmol/L"),
    "hdl-cholesterol": (1 / 38.665, "mmol/L"),
    "triglycerides": (1 / 88.54, "mmol/L"),
    "iron": (1 / 5.5845, "umol/L"),
    "transferrin": (0.01, "g/L"),
}


@given(
    st.floats(0.4, 8), st.floats(60, 600), st.floats(6, 14), st.floats(1.5, 5), st.floats(0.2, 20), st.floats(120, 155)
)
def test_the_unit_in_which_a_laboratory_reports_changes_nothing(
    creatinine: float, glucose: float, calcium: float, albumin: float, bilirubin: float, sodium: float
) -> None:
    numbers = {
        "creatinine": creatinine,
        "glucose": glucose,
        "calcium": calcium,
        "albumin": albumin,
        "bilirubin-total": bilirubin,
        "cholesterol": 210.0,
        "hdl-cholesterol": 45.0,
        "triglycerides": 180.0,
        "iron": 55.0,
        "transferrin": 260.0,
    }
    same = f"sodium={sodium:.1f} chloride=100 bicarbonate=20 inr=1.4 urea-nitrogen=20"
    us = derived(same + "".join(f" {name}={number:.6f}" for name, number in numbers.items()))
    si = derived(
        same + "".join(f" {name}={number * _MOLAR[name][0]:.9f}[{_MOLAR[name][1]}]" for name, number in numbers.items())
    )
    assert set(us) == set(si) >= {"egfr", "calcium-corrected", "meld-3", "ldl-sampson", "osmolality-calculated"}
    for id, one in us.items():
        assert si[id].value == pytest.approx(one.value, rel=1e-3, abs=1.0 if id == "meld-3" else 1e-6), id


def test_the_formulas_inputs_stand_in_the_catalog_in_the_unit_they_are_written_in() -> None:
    known = catalog.load().analytes
    made = {formula.id for formula in FORMULAS}
    for formula in FORMULAS:
        for one in (*formula.inputs, *formula.optional):
            first, *others = one.split("|")
            assert all((other, first) in INTO for other in others), one
            for name in one.split("|"):
                if name.endswith("/limit"):
                    assert name.removesuffix("/limit") in known
                elif name != "fio2" and name not in made:
                    assert name in UNITS, name
        if formula.reported is not None:
            assert known[formula.reported].unit == formula.unit, formula.id
        if formula.shown_like is not None:
            assert UNITS[formula.shown_like] == formula.unit, formula.id


def test_every_derived_value_has_a_name_in_each_language() -> None:
    for language in words.LANGUAGES:
        for formula in FORMULAS:
            assert words.template(language, f"derived-{formula.id}")


def test_the_page_is_what_the_registry_says() -> None:
    from cds_service.clinical.derived.document import page

    assert (Path(__file__).resolve().parents[4] / "docs" / "derived.md").read_text(encoding="utf-8") == page()
