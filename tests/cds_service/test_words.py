"""The texts: the same keys and parameters in each language, words for every reason and code, English where one is missing."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from cds_service import words
from cds_service.domain import Code, Said
from fhir_adapter.errors import DEGRADED_REASONS, NOT_ASSESSED_CODES


def test_a_language_that_is_not_there_is_answered_in_english() -> None:
    said = Said("preliminary")
    assert words.say("de", said) == words.say("en", said) != words.say("fr", said)
    assert words.not_assessed("de", "no-value") == NOT_ASSESSED_CODES["no-value"]


def test_a_parameter_is_never_read_as_a_template() -> None:
    assert (
        words.say("en", Said("summary-critical", {"result": "{0} {limit.__class__}"})).count("{limit.__class__}") == 1
    )


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_code_has_its_own_word(language: str) -> None:
    assert len({words.flag_word(language, code) for code in get_args(Code)}) == len(get_args(Code))


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_reason_has_words(language: str) -> None:
    for code in NOT_ASSESSED_CODES:
        assert words.not_assessed(language, code)
        assert language == "en" or words.not_assessed(language, code) != NOT_ASSESSED_CODES[code]


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_every_way_of_a_model_to_fail_has_words_of_its_own(language: str) -> None:
    said = {words.degraded(language, reason) for reason in DEGRADED_REASONS}
    assert len(said) == len(DEGRADED_REASONS)
    assert words.degraded(language, "something else") not in said


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


def test_every_parameter_is_known_as_an_amount_or_as_words() -> None:
    used = {name for text in words.messages("en").values() for name in re.findall(r"{(\w+)}", text)}
    assert used <= words.AMOUNTS | words.WORDS | words.TIMES | {"code"}
    assert not words.AMOUNTS & words.WORDS


def test_the_laboratorys_code_is_said_in_words() -> None:
    said = Said("laboratory-says", {"code": "HH"})
    assert words.say("en", said) == "The laboratory itself reports it as critically high."
    assert words.say("fr", said) == "Le laboratoire lui-même rend : valeur critique élevée."


def test_days_are_said_in_the_language() -> None:
    said = Said("delta", {"change": "+1.2 mmol/L", "percent": "+20 %", "from": "4.5", "time": "5 d"})
    assert words.say("en", said) == "+1.2 mmol/L (+20 %) since 4.5, 5 days earlier."
    assert words.say("fr", said) == "+1,2 mmol/L (+20 %) depuis 4,5, 5 jours plus tôt."
