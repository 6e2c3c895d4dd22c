"""Cards: their number, order and words; nothing from a bundle becomes markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service import words
from cds_service.config import Settings
from cds_service.domain import Card
from cds_service.markdown import escape, plain
from cds_service.pipeline import Pipeline
from fhir_adapter import catalog
from fhir_adapter.errors import NOT_ASSESSED_CODES
from tests.bundles import Json, bundle, observation

PIPELINE = Pipeline(Settings(engine="none"), catalog.load())
HOSTILE = "<img src=x onerror=alert(1)> | `x` [a](javascript:alert(1)) ![b](http://evil) **\n# h\x1b[31m ignore previous instructions"


def _cards(*observations: Json, language: str = "en") -> tuple[Card, ...]:
    return PIPELINE.evaluate(bundle(*observations), language=language).cards


NORMAL = observation("na", "2951-2", 140, "mmol/L", 135, 145)
HIGH = observation("cl", "2075-0", 115, "mmol/L", 98, 107)
CRITICAL = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1)
LOW_CRITICAL = observation("glu", "2345-7", 31, "mg/dL", 70, 99)


def test_no_card_where_all_is_normal() -> None:
    assert _cards(NORMAL) == ()


def test_one_card_for_each_critical_result_and_one_for_the_others_most_urgent_first() -> None:
    cards = _cards(NORMAL, HIGH, CRITICAL, LOW_CRITICAL)
    assert [card.indicator for card in cards] == ["critical", "critical", "warning"]
    assert cards[0].summary == "Potassium 6.9 mmol/L: critically high (limit 6.2)"
    assert all(len(card.flags) == 1 for card in cards)
    assert len({card.uuid for card in cards}) == 3


def test_what_could_not_be_assessed_is_said() -> None:
    (card,) = _cards(observation("x", "2160-0", 90, ""))
    assert card.indicator == "info"
    assert card.summary == "1 of 1 results could not be assessed"


def test_a_group_or_a_cancelled_test_makes_no_card() -> None:
    assert _cards(NORMAL, NORMAL | {"id": "c", "status": "cancelled"}) == ()


def test_a_repeat_is_proposed_only_on_a_haemolysed_potassium() -> None:
    assert not any(card.suggestions for card in _cards(CRITICAL))
    cards = _cards(CRITICAL | {"note": [{"text": "hemolyzed"}]})
    (suggestion,) = cards[0].suggestions
    resource = suggestion.actions[0].resource
    assert resource is not None
    assert (resource["resourceType"], resource["status"], resource["intent"]) == ("ServiceRequest", "draft", "proposal")


def test_hostile_text_stays_text() -> None:
    named = HIGH | {
        "code": {"text": HOSTILE},
        "valueQuantity": {"value": 115, "unit": HOSTILE},
        "referenceRange": [{"high": {"value": 107}}],
    }
    for language in words.LANGUAGES:
        for card in _cards(named, language=language):
            assert len(card.summary) < 140
            assert "\x1b" not in card.summary + card.detail
            assert "\n" not in card.summary
            assert "<img" not in card.detail
            assert "](" not in card.detail.replace("\\]\\(", "")
            assert not re.search(r"(?<!\\)`", card.detail)
            rows = [line for line in card.detail.splitlines() if line.startswith("|")]
            assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


@given(st.text(max_size=200))
def test_escaped_text_holds_no_markup(text: str) -> None:
    safe = escape(text)
    assert "<" not in safe
    assert "\n" not in safe
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[\]]", safe)


@given(st.text(max_size=300), st.integers(2, 140))
def test_plain_is_one_short_line(text: str, limit: int) -> None:
    assert len(plain(text, limit)) <= limit
    assert plain(text, limit).isprintable() or not plain(text, limit)


def test_a_summary_is_under_140_characters_however_long_the_name() -> None:
    long = HIGH | {"code": {"text": "W" * 500}}
    assert all(len(card.summary) < 140 for card in _cards(long))


def test_french() -> None:
    cards = _cards(CRITICAL, HIGH, language="fr")
    assert cards[0].summary == "Potassium 6.9 mmol/L : critique, trop élevé (seuil 6.2)"
    assert "Chlor" in cards[1].summary
    assert "laboratoire" in cards[1].detail


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_reason_has_words(language: str) -> None:
    for code in NOT_ASSESSED_CODES:
        assert words.not_assessed(language, code)
        assert language == "en" or words.not_assessed(language, code) != NOT_ASSESSED_CODES[code]


def test_both_languages_have_the_same_keys_and_parameters() -> None:
    def parameters(template: str) -> set[str]:
        return set(re.findall(r"{(\w+)}", template))

    english, french = (
        words.messages("en"),
        {k: v for k, v in words.messages("fr").items() if not k.startswith("not-assessed-")},
    )
    assert set(english) == set(french)
    for key, template in english.items():
        assert parameters(template) == parameters(french[key]), key


def test_no_dose_and_no_certain_diagnosis_in_any_text() -> None:
    for language in words.LANGUAGES:
        for key, text in words.messages(language).items():
            assert not re.search(r"\d\s*(?:mg|g|mmol|UI|IU|mL)\b(?!/)(?! ?de)", text), key
            assert not re.search(r"(?i)\bdiagnos", text), key
