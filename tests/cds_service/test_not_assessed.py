"""What could not be assessed is told by name and reason: on the card, in the response, on a terminal, by `explain`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from cds_service import words
from cds_service.commands.explain_text import print_text
from cds_service.config import Settings
from cds_service.explanation import described
from cds_service.hooks import answer
from cds_service.pipeline import Pipeline
from cds_service.rpc import wire
from cds_service.show import console, render
from fhir_adapter import catalog
from fhir_adapter.unjudged import ABSENT_CODES
from tests.bundles import bundle, observation

PIPELINE = Pipeline(Settings(engine="none"), catalog.load())


def without_value(id: str, loinc: str, **more: Any) -> dict[str, Any]:
    made = observation(id, loinc, 1, "1") | more
    del made["valueQuantity"]
    return made


ABSENT = [
    without_value("k", "2823-3", dataAbsentReason={"coding": [{"code": "error"}], "text": "Haemolysed | <b>"}),
    without_value("na", "2951-2", dataAbsentReason={"coding": [{"code": "not-performed"}]}),
    without_value("cl", "2075-0"),
]


@pytest.mark.parametrize(
    ("language", "rows"),
    [
        (
            "en",
            [
                "| Potassium | The laboratory says that the value is absent: Haemolysed \\| &lt;b\\>. | 1 |",
                "| Sodium | The laboratory says that the value is absent: not performed. | 1 |",
                "| Chloride | There is no value to judge. | 1 |",
            ],
        ),
        ("fr", ["| Chlorure | Il n'y a pas de valeur à juger. | 1 |"]),
    ],
)
def test_on_the_card(language: str, rows: list[str]) -> None:
    (card,) = PIPELINE.evaluate(bundle(*ABSENT), language=language).cards
    assert card.detail.splitlines()[2:][-len(rows) :] == rows


def test_many_reasons_of_their_own_make_no_endless_card() -> None:
    many = [
        without_value(
            f"k{number}",
            "2823-3",
            dataAbsentReason={"text": f"tube {number}"},
            effectiveDateTime=f"2024-01-01T00:{number // 60:02}:{number % 60:02}Z",
        )
        for number in range(300)
    ]
    (card,) = PIPELINE.evaluate(bundle(*many)).cards
    assert len(card.detail.splitlines()) < 20
    assert "| Potassium | The laboratory says that the value is absent. | 288 |" in card.detail


def test_in_the_response() -> None:
    evaluation = PIPELINE.evaluate(bundle(*ABSENT), language="fr")
    found = json.loads(answer.encoded(answer.response(evaluation)))
    assert found == wire.to_json(wire.to_response(evaluation))
    told = found["extension"]["org.labcue.evaluation"]["notAssessed"]
    assert [(entry["display"], entry.get("detail")) for entry in told] == [
        ("Potassium", "Haemolysed | <b>"),
        ("Sodium", "examen non réalisé"),
        ("Chlorure", None),
    ]


def printed(show: Callable[[Console], None]) -> str:
    out = console(colour=False)
    out.width = 120
    with out.capture() as capture:
        show(out)
    return capture.get()


def shown(*resources: dict[str, Any], language: str = "en") -> str:
    response = wire.to_response(PIPELINE.evaluate(bundle(*resources), language=language))
    return printed(lambda out: out.print(render(response)))


def test_on_a_terminal() -> None:
    told = shown(*ABSENT)
    assert "Potassium  The laboratory says that the value is absent: Haemolysed" in told
    assert "Chloride  There is no value to judge." in told
    assert "Observation/k" not in told  # the name is enough
    assert "absente : examen non réalisé" in shown(*ABSENT, language="fr")


def test_two_of_one_name_and_one_without_are_told_apart_by_their_reference() -> None:
    told = shown(
        ABSENT[0],
        ABSENT[0] | {"id": "k2", "effectiveDateTime": "2024-03-02T08:00:00Z"},
        without_value("y", "1", code={}),
    )
    assert "Potassium  Observation/k  " in told
    assert "Potassium  Observation/k2  " in told
    assert "Observation/y  There is no value" in told


def test_by_explain() -> None:
    told = printed(lambda out: print_text(out, described(PIPELINE.trace(bundle(*ABSENT)))))
    said = "not assessed: Sodium: The laboratory says that the value is absent: not performed [data-absent]"
    assert said in " ".join(told.split())


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_each_of_fhirs_codes_has_words(language: str) -> None:
    assert all(words.absent(language, code) != code for code in ABSENT_CODES - {"masked"})
    assert words.absent(language, "Haemolysed") == "Haemolysed"
