"""What a pattern says beyond being there: which other it makes needless, what speaks for and against it, whom it spares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cds_service import words
from cds_service.clinical.bilirubin import EXCHANGE, PHOTOTHERAPY, threshold
from cds_service.clinical.derived.registry import FORMULAS
from cds_service.clinical.patterns.condition import condition
from cds_service.clinical.patterns.document import page
from cds_service.clinical.patterns.drugs import treatment_line
from cds_service.clinical.patterns.registry import RULES
from cds_service.clinical.patterns.spec import specs
from cds_service.domain import Pattern
from fhir_adapter import catalog
from tests.cds_service.clinical.panels import found


def patterns(text: str, **who: Any) -> dict[str, Pattern]:
    return {one.id: one for one in found(text, **who).patterns}


@pytest.mark.parametrize(
    ("panel", "only"),
    [
        ("glucose=480 bicarbonate=9 ph=7.1 pco2=24 sodium=131 chloride=92 beta-hydroxybutyrate=6", {"ketoacidosis"}),
        ("lactate=9 ph=7.1 bicarbonate=9 pco2=36 sodium=140 chloride=100", {"lactic-acidosis"}),
        ("ph=7.10 bicarbonate=10 pco2=40 sodium=140 chloride=100", {"mixed-acid-base"}),
        ("platelets=12 haemoglobin=7 ldh=1200 haptoglobin=<10 schistocytes=3+ reticulocytes-percent=9", {"ttp-like"}),
        ("alt=840{7..40} alp=100{40..120} bilirubin-total=4{0.2..1.2} inr=2.1", {"acute-liver-failure"}),
        ("haemoglobin=8 mcv=66 ferritin=4 erythrocytes=4.2 transferrin-saturation=5", {"iron-deficiency-anaemia"}),
        ("triglycerides=1500", {"hypertriglyceridaemia"}),
        ("ck=12000 creatinine=2.4 calcium=7.2", {"rhabdomyolysis"}),
        ("troponin-t-hs@-1=60 troponin-t-hs=90", {"troponin-01h"}),
        ("csf-leucocytes=2000 csf-glucose=10 csf-protein=300", {"meningitis-bacterial"}),
        ("blasts=40 haemoglobin=7 leucocytes=2.1 platelets=20 erythroblasts=3 myelocytes=2", {"blasts"}),
        ("glucose=900 sodium=128 bicarbonate=22 hba1c=11", {"hyperosmolar"}),
    ],
)
def test_one_sick_patient_is_told_once(panel: str, only: set[str]) -> None:
    assert set(patterns(panel)) == only


def test_hellp_says_what_its_parts_would() -> None:
    shown = patterns(
        "platelets=60 ast=400 alt=380 alp=110 ldh=1400 haemoglobin=9 haptoglobin=<10 protein-creatinine-ratio=900 "
        "schistocytes=2+",
        age=30,
        pregnant=True,
    )
    assert set(shown) == {"hellp"}


@pytest.mark.parametrize(
    ("panel", "who"),
    [
        ("ck=1400 creatinine=1.0 potassium=4.4 ast=60", {"age": 25, "sex": "male"}),
        ("haemoglobin=17.2 bilirubin-total=5 potassium=5.6", {"age": 0.005}),
        ("inr=2.6{2..3} aptt=34", {"age": 70}),
        ("tsh=0.15{0.1..4} free-t4=1.2", {"age": 30, "pregnant": True}),
        ("alp=380{40..420} alt=18{7..40}", {"age": 13}),
        ("creatinine=0.5 urea-nitrogen=6 haemoglobin=11.2", {"age": 30, "pregnant": True}),
        ("sodium=139 potassium=4.2 chloride=103 bicarbonate=25 glucose=92 creatinine=0.9 urea-nitrogen=14", {}),
        ("ph=7.41 pco2=39 bicarbonate=24 lactate=1.1", {}),
        ("leucocytes=7 neutrophils=4 platelets=250 haemoglobin=13.8 mcv=90", {}),
        ("calcium=9.4 albumin=4.3 phosphate=3.4 magnesium=2.0 pth=40", {}),
        ("alt=24 ast=22 alp=70 ggt=20 bilirubin-total=0.6 inr=1.0 albumin=4.4", {}),
        ("hba1c=5.4 glucose=92#fasting cholesterol=188 hdl-cholesterol=58 triglycerides=96", {}),
        ("troponin-t-hs@-1=6 troponin-t-hs=7", {}),
        ("creatinine@-4000=1.4 creatinine=1.4", {"age": 45, "sex": "male"}),
        ("platelets@-144=320 platelets=240", {}),
        ("uric-acid=9 phosphate=5.6 potassium=5.2 calcium=8.8 creatinine=5 ldh=180", {"age": 60}),
        ("neutrophils=1.6 leucocytes=3.6", {}),
    ],
)
def test_health_and_what_is_usual_make_no_pattern(panel: str, who: dict[str, Any]) -> None:
    assert patterns(panel, **who) == {}


def test_evidence_names_results_and_computed_values() -> None:
    shown = patterns("haemoglobin=8 haptoglobin=<10 ldh=600 spherocytes=2+ alt=300{7..40}")["haemolysis"]
    assert [one.index for one in shown.speaks_for] == [3]
    assert [one.index for one in shown.speaks_against] == [4]
    aki = patterns("creatinine@-24=1.0 creatinine=2.2 sodium=140 urine-sodium=10 urine-creatinine=100")["aki"]
    assert [one.derived.id for one in aki.speaks_for if one.derived] == ["fractional-sodium"]


def test_members_are_not_repeated_as_evidence() -> None:
    shown = patterns("haemoglobin=8 ferritin=5 mcv=66")["iron-deficiency-anaemia"]
    assert shown.speaks_for == ()
    assert shown.indices == (0, 1, 2)


def test_a_mixed_disorder_says_what_is_beside_the_first() -> None:
    def beside(panel: str) -> list[str]:
        return [one.said.key for one in patterns(panel)["mixed-acid-base"].speaks_for if one.said is not None]

    assert beside("ph=7.10 bicarbonate=10 pco2=40") == ["acid-base-respiratory-too-high"]
    assert beside("ph=7.30 bicarbonate=10 pco2=12") == ["acid-base-respiratory-too-low"]
    assert beside("ph=7.10 bicarbonate=15 pco2=55") == ["acid-base-both-acidosis"]
    assert beside("ph=7.60 bicarbonate=32 pco2=30") == ["acid-base-both-alkalosis"]
    assert beside("ph=7.40 bicarbonate=14 pco2=22 sodium=140 chloride=100") == ["acid-base-normal-ph"]
    assert beside("ph=7.25 bicarbonate=16 pco2=32 sodium=150 chloride=105") == ["acid-base-delta-high"]


@pytest.mark.parametrize(
    ("values", "stage", "severity"),
    [
        ((1.0, 1.5), "1", "warning"),
        ((1.0, 2.0), "2", "warning"),
        ((1.0, 3.0), "3", "critical"),
        ((3.6, 4.0), "3", "critical"),
    ],
)
def test_kdigo_stages(values: tuple[float, float], stage: str, severity: str) -> None:
    shown = patterns(f"creatinine@-24={values[0]} creatinine={values[1]}")["aki"]
    assert (shown.said.params["stage"], shown.severity) == (stage, severity)


def test_paracetamol_without_its_time_says_so() -> None:
    def against(panel: str) -> tuple[str, list[str]]:
        shown = patterns(panel)["paracetamol"]
        return shown.severity, [one.said.key for one in shown.speaks_against if one.said is not None]

    assert against("paracetamol=60") == ("warning", ["paracetamol-no-time"])
    assert against("paracetamol=200") == ("critical", ["paracetamol-no-time"])
    assert against("paracetamol=200#2_h_post_ingestion") == ("critical", ["paracetamol-early"])
    assert against("paracetamol=200#4_h_post_ingestion,_or_6_h_post_ingestion")[1] == ["paracetamol-no-time"]
    assert patterns("paracetamol=160#4_heures_après_la_prise")["paracetamol"].severity == "critical"
    assert [treatment_line(hours, 150) for hours in (4, 8, 12, 16)] == [150, 75, 37.5, 18.75]


@pytest.mark.parametrize(
    ("hours", "light", "exchange"),
    [(0, 100, 100), (6, 125, 150), (24, 200, 300), (48, 250, 450), (96, 350, 450), (200, 350, 450)],
)
def test_nice_treatment_lines(hours: float, light: float, exchange: float) -> None:
    assert threshold(PHOTOTHERAPY, hours) == pytest.approx(light)
    assert threshold(EXCHANGE, hours) == pytest.approx(exchange)


def test_a_bound_meets_a_criterion_only_where_all_it_leaves_open_does() -> None:
    for panel, met in (
        ("ferritin=<10", True),
        ("ferritin=<15", True),
        ("ferritin=<20", False),
        ("ferritin=>10", False),
    ):
        assert ("iron-deficiency-anaemia" in patterns(f"haemoglobin=10 {panel}")) == met, panel
    assert "rhabdomyolysis" in patterns("ck=>10000")
    assert "rhabdomyolysis" not in patterns("ck=>1000")


def test_a_result_without_any_interval_is_judged_by_the_pattern_it_leads() -> None:
    judged = found("carboxyhaemoglobin=22")
    assert (judged.results[0].code, judged.results[0].basis[0].kind) == ("A", "pattern")
    assert found("carboxyhaemoglobin=2").results[0].code is None


def test_criteria_name_what_the_catalog_knows_in_its_units() -> None:
    known, made = catalog.load().analytes, {formula.id: formula.unit for formula in FORMULAS}
    for spec in specs():
        assert spec.rule is None or spec.rule in RULES
        for name in spec.members:
            assert name in known or name in made, (spec.id, name)
        for one in spec.conditions():
            for name in one.names:
                assert name in known or name in made, (spec.id, name)
                unit = known[name].unit if name in known else made[name]
                if not one.codes and one.unit != "x limit":
                    assert one.unit == ("" if unit == "1" else unit), (spec.id, one.text)


def test_no_pattern_subsumes_itself_or_what_is_not_there() -> None:
    by_id = {spec.id: spec for spec in specs()}
    for spec in specs():
        assert set(spec.subsumes) <= set(by_id)
        reached, todo = set[str](), list(spec.subsumes)
        while todo:
            one = todo.pop()
            if one not in reached:
                reached.add(one)
                todo += by_id[one].subsumes
        assert spec.id not in reached


def test_every_pattern_has_its_words() -> None:
    for language in words.LANGUAGES:
        for spec in specs():
            title = words.template(language, f"pattern-{spec.id}-title")
            assert len(title) <= 90, title
            assert len(words.template(language, f"pattern-{spec.id}")) <= 300


@pytest.mark.parametrize("text", ["potassium", "potassium over 6", "potassium > six", "Potassium > 6 mmol/L", "k=3"])
def test_what_is_no_criterion_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a criterion"):
        condition(text)


def test_the_page_is_what_the_files_say() -> None:
    assert (Path(__file__).resolve().parents[4] / "docs" / "patterns.md").read_text(encoding="utf-8") == page()


def test_a_capillary_gas_names_the_disorder_and_its_oxygen_counts_for_nothing() -> None:
    from cds_service.clinical.assess import assess
    from tests.cds_service.clinical.panels import panel

    gas = assess(panel("ph-capillary=7.25 pco2-capillary=62 bicarbonate-capillary=27 po2-capillary=45 fio2=0.4"))
    assert [one.id for one in gas.patterns] == ["respiratory-acidosis"]
    assert not {"alveolar-arterial-gradient", "pf-ratio"} & {one.id for one in gas.derived}
    arterial = assess(panel("ph=7.25 pco2=62 bicarbonate-arterial=27 po2-arterial=45 fio2=0.4"))
    assert {"alveolar-arterial-gradient", "pf-ratio"} <= {one.id for one in arterial.derived}


def test_capillary_lactate_and_ph_make_the_lactic_pattern() -> None:
    from cds_service.clinical.assess import assess
    from tests.cds_service.clinical.panels import panel

    found = assess(panel("lactate-capillary=6.2 ph-capillary=7.2"))
    assert "lactic-acidosis" in [one.id for one in found.patterns]
