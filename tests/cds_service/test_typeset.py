"""How numbers, units and punctuation are set."""

from __future__ import annotations

import re

import pytest

from cds_service import typeset
from cds_service.card_text import Writer
from cds_service.config import Settings
from cds_service.domain import Card
from cds_service.pipeline import Pipeline
from evaluation.scenarios.read import load
from fhir_adapter import catalog


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("7.18 [pH]", "7.18"),
        ("30 mm[Hg]", "30 mm Hg"),
        ("10*3/uL", "10³/µL"),
        ("38 10*3/uL", "38 × 10³/µL"),
        ("150-400 10*9/L", "150-400 × 10⁹/L"),
        ("m[IU]/L", "mIU/L"),
        ("u[IU]/mL", "µIU/mL"),
        ("[iU]/L", "IU/L"),
        ("ng/mL{FEU}", "ng/mL FEU"),
        ("mL/min/{1.73_m2}", "mL/min/1.73 m²"),
        ("mosm/kg", "mOsm/kg"),
        ("K/uL", "K/µL"),
        ("Giga/L", "Giga/L"),
        ("mmol/L", "mmol/L"),
        ("µkat/L", "µkat/L"),
    ],
)
def test_units_as_people_write_them(sent: str, shown: str) -> None:
    assert typeset.unit(sent) == shown


def test_french_numbers_and_spaces() -> None:
    assert typeset.numbers("3.5-5.1 mmol/L", "fr") == "3,5-5,1 mmol/L"
    assert typeset.typeset(typeset.numbers("46000.5 U/L", "fr"), "fr") == "46\u202f000,5 U/L"
    assert typeset.numbers("1234", "fr") == "1234"
    assert typeset.typeset("Potassium : haut ; mauvais tube ? 20 %", "fr") == (
        "Potassium\u202f: haut\u202f; mauvais tube\u202f? 20\u202f%"
    )


def test_english_stays_as_it_is() -> None:
    assert typeset.typeset(typeset.numbers("46000.5 : 3 %", "en"), "en") == "46000.5 : 3 %"


def test_an_answer_in_words_stands_in_quotation_marks() -> None:
    assert Writer("fr").say("quoted", text="Positif") == "« Positif »"


VIGNETTES = load(catalog.load())


@pytest.fixture(scope="module")
def cards() -> dict[str, list[tuple[str, Card]]]:
    """Every vignette's cards in both languages."""
    pipeline = Pipeline(Settings(engine="none"), catalog.load())
    return {
        language: [
            (one.name, card) for one in VIGNETTES for card in pipeline.evaluate(one.bundle, language=language).cards
        ]
        for language in ("en", "fr")
    }


@pytest.mark.parametrize("language", ["en", "fr"])
def test_cards_of_the_vignettes_hold_no_raw_units_codes_or_doubled_stops(
    language: str, cards: dict[str, list[tuple[str, Card]]]
) -> None:
    assert len(cards[language]) > 100
    for name, card in cards[language]:
        text = f"{card.summary}\n{card.detail}".replace("\\", "").replace("**", "")
        rows = "\n".join(line for line in text.splitlines() if not line.startswith(("Sources", "---")))
        assert len(card.summary) <= 140, name
        assert not re.search(r"10\*|\[pH\]|\[IU\]|\[iU\]|\[Hg\]|\{FEU\}|\bug/|\bumol/", rows), name
        assert not re.search(r"\?\.|\.\.|;;|: :|\b(\w{4,}) \1\b", rows), name
        assert not re.search(r"\| (?:N|L|H|A|LL|HH|AA) \(", rows), name


def test_french_cards_of_the_vignettes_have_french_numbers_and_spaces(cards: dict[str, list[tuple[str, Card]]]) -> None:
    for name, card in cards["fr"]:
        text = f"{card.summary}\n{card.detail}".replace("\\", "").replace("**", "")
        assert not re.search(r"[^|\u202f]\s[;:?!%»](?=\s|$)", text.replace("\u202f", "~")), name
        own = "\n".join(line for line in text.splitlines() if not line.startswith("Sources"))
        assert not re.search(r"(?<!MELD )\b\d+\.\d+\b", own), name
