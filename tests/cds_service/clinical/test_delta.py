"""The change from the result before: which prior counts, which limit is said, in which unit, and on which card."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cds_service import cards, policy, words
from cds_service.clinical import delta
from cds_service.clinical.assess import assess
from cds_service.clinical.delta_document import table
from cds_service.domain import Basis, Card, Thresholds
from fhir_adapter import catalog
from fhir_adapter.model import Intake, Panel, Patient, Result
from fhir_adapter.normalize import normalize
from fhir_adapter.site import Site, SiteDelta
from tests.cds_service.clinical.panels import panel
from tests.conftest import ROOT


def _delta(text: str, **more: Any) -> Basis | None:
    return _of(panel(text, **more))


def _of(made: Panel) -> Basis | None:
    (newest,) = [one for one in made.results if one.newest]
    return delta.basis(newest)


def _key(text: str, **more: Any) -> str | None:
    found = _delta(text, **more)
    return None if found is None else found.said.key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("sodium@-48=140 sodium=143.5", None),
        ("sodium@-48=140 sodium=144", "delta-change"),
        ("sodium@-24=120 sodium=129.9", "delta-change"),
        ("sodium@-24=120 sodium=130", "delta-event"),
        ("sodium@-25=120 sodium=130", "delta-change"),
        ("creatinine@-48=0.9 creatinine=1.2", "delta-event"),
        ("creatinine@-49=0.9 creatinine=1.2", "delta-change"),
        ("creatinine@-168=0.8 creatinine=1.2", "delta-event"),
        ("creatinine@-24=1.2 creatinine=0.9", "delta-change"),
        ("creatinine@-24=0.90 creatinine=1.04", None),
        ("haemoglobin@-24=14 haemoglobin=13", None),
        ("haemoglobin@-24=15 haemoglobin=13", "delta-event"),
        ("haemoglobin@-200=15 haemoglobin=13", "delta-change"),
        ("haemoglobin@-24=13 haemoglobin=15", "delta-change"),
        ("mcv@-24=88 mcv=92.9", "delta-change"),
        ("mcv@-24=88 mcv=93", "delta-sample"),
        ("mcv@-200=88 mcv=93", "delta-change"),
        ("platelets@-100=300 platelets=151", "delta-change"),
        ("platelets@-100=300 platelets=150", "delta-event"),
        ("troponin-t-hs@-1=10 troponin-t-hs=14.9", None),
        ("troponin-t-hs@-1=10 troponin-t-hs=15", "delta-event"),
        ("troponin-t-hs@-3=10 troponin-t-hs=16", None),
        ("troponin-t-hs@-6=40 troponin-t-hs=46", None),
        ("troponin-t-hs@-6=40 troponin-t-hs=48", "delta-event"),
        ("hba1c@-2000=7.0 hba1c=7.4", None),
        ("hba1c@-2000=7.0 hba1c=7.5", "delta-change"),
        ("crp@-24=1 crp=4", None),
        ("crp@-24=20 crp=60", "delta-change"),
        ("tsh@-720=2 tsh=3.4", None),
        ("tsh@-720=2 tsh=3.6", "delta-change"),
        ("egfr@-2000=80 egfr=65", None),
        ("egfr@-2000=80 egfr=64", "delta-change"),
        ("ph@-2=7.40 ph=7.36", None),
        ("ph@-2=7.40 ph=7.35", "delta-change"),
        ("sodium@-8761=140 sodium=150", None),
    ],
)
def test_both_sides_of_each_kind_of_limit(text: str, key: str | None) -> None:
    assert _key(text) == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ammonia@-24=40 ammonia=47", None),
        ("ammonia@-24=40 ammonia=48", "delta"),
        ("ammonia@-8761=40 ammonia=80", None),
    ],
)
def test_what_has_no_limit_keeps_the_default(text: str, key: str | None) -> None:
    assert not catalog.load().analytes["ammonia"].delta
    assert _key(text) == key


def test_a_limit_is_said_in_the_reported_unit() -> None:
    found = _delta("creatinine@-24=80[umol/L] creatinine=110[umol/L]")
    assert found is not None
    assert found.said.params["limit"] == "26.5 umol/L"
    assert found.citation is not None
    assert "KDIGO" in found.citation
    text = words.say("en", found.said)
    assert text == "+30 µmol/L (+38 %) since 80, 24 h earlier: the step of 26.5 µmol/L within 48 h is reached."
    assert "l'écart de 26,5 µmol/L en 48 h" in words.say("fr", found.said)


def test_a_conversion_with_an_offset_moves_no_limit() -> None:
    """0.5 % of HbA1c are 5.5 mmol/mol, whatever the offset."""
    assert _key("hba1c@-2000=53[mmol/mol] hba1c=58[mmol/mol]") is None
    found = _delta("hba1c@-2000=53[mmol/mol] hba1c=59[mmol/mol]")
    assert found is not None
    assert found.said.params["limit"] in ("5.46 mmol/mol", "5.47 mmol/mol")


def test_priors_in_another_unit_count() -> None:
    assert _key("creatinine@-24=78[umol/L] creatinine=1.2") == "delta-event"


def _named(text: str, older: dict[str, str], newer: dict[str, str]) -> Basis | None:
    made = panel(text)
    results: list[Result] = []
    for one in made.results:
        results.append(replace(one.result, **(newer if one.newest else older)))  # type: ignore[arg-type]
    return _of(normalize(Intake(made.patient, tuple(results), (), 2), catalog.load()))


@pytest.mark.parametrize(
    ("older", "newer", "counts"),
    [
        ({}, {"method": "Enzymatic"}, True),
        ({"method": "enzymatic"}, {"method": "Enzymatic"}, True),
        ({"method": "Jaffe"}, {"method": "Enzymatic"}, False),
        ({"specimen": "Venous blood"}, {"specimen": "Capillary blood"}, False),
        ({"specimen": "Serum"}, {"specimen": "serum"}, True),
    ],
)
def test_only_a_like_sample_and_method_count(older: dict[str, str], newer: dict[str, str], counts: bool) -> None:
    assert (_named("creatinine@-24=0.9 creatinine=1.4", older, newer) is not None) == counts


def test_the_newest_comparable_prior_counts_not_the_newest() -> None:
    made = panel("creatinine@-40=0.8 creatinine@-4=1.3 creatinine=1.3")
    results = [
        replace(one.result, method="Jaffe" if index == 1 else "Enzymatic") for index, one in enumerate(made.results)
    ]
    found = _of(normalize(Intake(made.patient, tuple(results), (), 3), catalog.load()))
    assert found is not None
    assert found.said.params["from"] == "0.8"


def _cards(text: str, **more: Any) -> tuple[Card, ...]:
    made = panel(text, **more)
    return cards.compose(
        policy.decide(made, assess(made), None, thresholds=Thresholds(), model=None, degraded=None), language="en"
    )


def test_a_possible_mix_up_is_told_although_all_is_normal() -> None:
    (card,) = _cards("mcv@-24=83 mcv=95")
    assert card.indicator == "info"
    assert card.summary == "MCV 95 fL: +12 fL in 24 h, possible mix-up of samples"
    assert "Check that sample and patient belong together" in card.detail
    assert "Miller" in card.detail


def test_an_event_is_told_although_all_is_normal_and_a_mere_change_is_not() -> None:
    (card,) = _cards("haemoglobin@-24=15.2 haemoglobin=13.0")
    assert card.summary == "Hemoglobin 13.0 g/dL: -2.2 g/dL in 24 h"
    assert _cards("potassium@-24=3.7 potassium=4.9") == ()


def test_several_steps_share_a_card_the_mix_up_first() -> None:
    (card,) = _cards("haemoglobin@-24=15.2 mcv@-24=83 haemoglobin=13.0 mcv=95")
    assert card.summary.startswith("MCV 95 fL")
    assert card.summary.endswith("and 1 other change")
    assert "Hemoglobin" in card.detail


def test_a_step_that_a_pattern_shows_has_no_second_card() -> None:
    found = _cards("creatinine@-24=0.6 creatinine=0.95")
    assert [card.pattern for card in found] == ["aki"]


def test_a_sites_limits_stand_in_place_of_the_catalogs() -> None:
    site = Site(
        "St Mary",
        {},
        deltas={"analyte creatinine": (SiteDelta(test="analyte creatinine", unit="umol/L", rise=50, days=2),)},
    )
    made = panel("creatinine@-24=80[umol/L] creatinine=125[umol/L]")
    intake = Intake(made.patient, tuple(one.result for one in made.results), (), 2)
    assert _of(normalize(intake, catalog.load(), site)) is None
    more = panel("creatinine@-24=0.9 creatinine=1.5")
    found = _of(normalize(Intake(more.patient, tuple(one.result for one in more.results), (), 2), catalog.load(), site))
    assert found is not None
    assert (found.citation, found.said.params["limit"]) == ("St Mary", "0.566 mg/dL")


def test_a_site_limits_a_test_that_the_catalog_does_not_know() -> None:
    made = panel("creatinine@-24=10 creatinine=14")
    results = [replace(one.result, codings=(), name="Frobnicase") for one in made.results]
    intake = Intake(Patient(), tuple(results), (), 2)
    assert _key_of(normalize(intake, catalog.load())) == "delta"
    own = SiteDelta(test="name frobnicase", unit="mg/dL", change=5, means="event")
    site = Site("St Mary", {}, deltas={"name frobnicase": (own,)})
    assert _key_of(normalize(intake, catalog.load(), site)) is None
    later = replace(results[1], value=replace(results[1].value, number=15.0))  # type: ignore[type-var]
    found = normalize(Intake(Patient(), (results[0], later), (), 2), catalog.load(), site)
    assert _key_of(found) == "delta-event"


def _key_of(made: Panel) -> str | None:
    found = _of(made)
    return None if found is None else found.said.key


def test_the_page_lists_every_limit() -> None:
    assert table() in (ROOT / "docs" / "clinical-sources.md").read_text(encoding="utf-8")


def test_time_is_told_by_its_size() -> None:
    made = panel("mcv@-24=83 mcv=95")
    when = made.results[1].result.effective
    assert when is not None
    assert delta.time_text(when, when - timedelta(minutes=30)) == "30 min"
    assert delta.time_text(when, when - timedelta(days=5)) == "5 d"
    assert delta.window_text(168) == "7 d"
