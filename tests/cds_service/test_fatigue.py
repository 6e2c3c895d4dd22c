"""What is worth attention once more: properties of the pure functions, over any cards and any memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service import cards as compose
from cds_service import fatigue
from cds_service.config import Settings
from cds_service.domain import Card
from cds_service.fatigue import Alert, Finding, Met, Whose, alert, hold_back, key, to_gather
from cds_service.pipeline import Evaluation, Pipeline
from cds_service.pseudonym import Pseudonyms
from fhir_adapter import catalog

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "bundles"
_ABOUT = st.sampled_from([("result", name) for name in "abcde"])
_FINDINGS = st.lists(st.builds(Finding, _ABOUT, st.integers(0, 2)), max_size=4, unique_by=lambda one: one.about)
_ALERTS = st.lists(st.builds(Alert, st.booleans(), _FINDINGS.map(tuple)), max_size=12)
_MET = st.dictionaries(_ABOUT, st.builds(Met, st.integers(0, 2), st.just("earlier")))


def _cards(alerts: list[Alert]) -> list[Card]:
    return [
        Card(f"c{number}", "s", "d", "critical" if one.lasting else "warning", "LabCue")
        for number, one in enumerate(alerts)
    ]


@given(_ALERTS, _MET)
def test_only_what_says_nothing_new_is_held_back(alerts: list[Alert], met: dict[tuple[str, ...], Met]) -> None:
    cards = _cards(alerts)
    held = {one.card.uuid for one in hold_back(cards, alerts, met)}
    for card, one in zip(cards, alerts, strict=True):
        new = [
            finding for finding in one.findings if finding.about not in met or met[finding.about].rank < finding.rank
        ]
        assert (card.uuid in held) == (not one.lasting and bool(one.findings) and not new)


@given(_ALERTS, _MET, _ABOUT)
def test_remembering_less_never_holds_back_more(
    alerts: list[Alert], met: dict[tuple[str, ...], Met], forgotten: tuple[str, ...]
) -> None:
    cards = _cards(alerts)
    less = {about: one for about, one in met.items() if about != forgotten}
    assert {one.card.uuid for one in hold_back(cards, alerts, less)} <= {
        one.card.uuid for one in hold_back(cards, alerts, met)
    }


@given(_ALERTS, st.integers(0, 6))
def test_at_most_so_many_and_never_a_critical_one(alerts: list[Alert], most: int) -> None:
    cards = _cards(alerts)
    rest = to_gather(cards, alerts, most)
    lasting = {card.uuid for card, one in zip(cards, alerts, strict=True) if one.lasting}
    assert not {card.uuid for card in rest} & lasting
    assert len(rest) != 1
    out = len(cards) - len(rest) + bool(rest)
    if most and out > most:  # only where the critical ones alone leave no room
        assert out <= len(lasting) + 1
    if not most or len(cards) <= most:
        assert rest == ()
    order = [card.uuid for card in cards if card.uuid not in lasting]
    assert [card.uuid for card in rest] == order[len(order) - len(rest) :]  # the least urgent ones


@pytest.fixture(scope="module")
def judge() -> Callable[[dict[str, Any]], Evaluation]:
    pipeline = Pipeline(Settings(engine="none"), catalog.load())
    return lambda bundle: pipeline.evaluate(json.dumps(bundle).encode())


def _example(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_bytes())
    return found


def _about(evaluation: Evaluation) -> list[set[tuple[str, ...]]]:
    return [{finding.about for finding in alert(card, evaluation.verdict).findings} for card in evaluation.cards]


def test_another_value_time_or_stage_is_another_finding(judge: Callable[[dict[str, Any]], Evaluation]) -> None:
    """The same bundle says the same; a corrected value says something else, on the result and on its pattern."""
    first = judge(_example("02-hyperkalaemia-aki"))
    assert _about(judge(_example("02-hyperkalaemia-aki"))) == _about(first)
    corrected = _example("02-hyperkalaemia-aki")
    for entry in corrected["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Observation" and resource.get("valueQuantity", {}).get("value") == 6.8:
            resource["valueQuantity"]["value"] = 6.7
    second = judge(corrected)
    assert [card.pattern for card in second.cards] == [card.pattern for card in first.cards]
    changed = [bool(one - other) for one, other in zip(_about(second), _about(first), strict=True)]
    assert changed[0]
    assert any(changed[1:])


def test_what_is_critical_or_not_assessed_lasts(judge: Callable[[dict[str, Any]], Evaluation]) -> None:
    for file in sorted(EXAMPLES.glob("*.json")):
        evaluation = judge(json.loads(file.read_bytes()))
        for card in evaluation.cards:
            one = alert(card, evaluation.verdict)
            flags = [evaluation.verdict.flags[index] for index in card.flags]
            critical = card.indicator == "critical" or any(flag.critical for flag in flags)
            assert one.lasting == (critical or not flags), file.stem
            assert alert(card, evaluation.verdict, known=False) == Alert(one.lasting, ()), "and that for nobody too"


def test_without_patient_or_user_there_is_no_memory() -> None:
    names, finding = Pseudonyms(bytes(32)), Finding(("result", "a"), 1)
    assert key(finding, Whose("p", None), names) is None
    assert key(finding, Whose(None, "u"), names) is None
    keys = {key(finding, whose, names) for whose in (Whose("p", "u"), Whose("p", "v"), Whose("q", "u"))}
    assert len(keys) == 3
    assert key(Finding(("resulta",), 1), Whose("p", "u"), names) not in keys


@pytest.mark.parametrize("reference", [None, "", "#p1", "urn:uuid:0d5ee2f1-1111-4222-8333-444455556666"])
def test_a_reference_that_ends_with_its_bundle_names_nobody(reference: str | None) -> None:
    assert Pseudonyms(bytes(32)).patient(reference) is None


def test_a_gathered_card_tells_of_all_and_is_as_urgent_as_its_first(
    judge: Callable[[dict[str, Any]], Evaluation],
) -> None:
    evaluation = judge(_example("30-five-hundred"))
    movable = [card for card in evaluation.cards if not alert(card, evaluation.verdict).lasting]
    one = compose.gather(movable, language="fr")
    assert one.indicator == movable[0].indicator
    assert one.gathers == tuple(card.uuid for card in movable)
    assert fatigue.rule(one) == "gathered"
    assert {index for card in movable for index in card.flags} == set(one.flags)
    assert len(one.summary) < 140
    assert all(card.detail in one.detail for card in movable)
