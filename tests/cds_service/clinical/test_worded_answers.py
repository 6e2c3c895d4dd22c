"""What is served of answers in words, by the rules alone, against what a laboratory physician says of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.bundles import Json
from tests.cds_service.clinical.panels import sent

Served = Literal["normal", "abnormal", "neither"]
ALLOWED: dict[str, tuple[Served, ...]] = {
    "normal": ("normal",),
    "abnormal": ("abnormal",),
    "neither": ("neither",),
    "not_normal": ("abnormal", "neither"),
    "not_abnormal": ("normal", "neither"),
    "unread": ("neither",),
}
TESTS: list[dict[str, Any]] = [
    test
    for name in ("worded_answers.toml", "worded_answers_again.toml", "worded_answers_last.toml")
    for test in tomllib.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))["test"]
]


def rows(test: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(answer, expectation) of a test's table."""
    for expected in ALLOWED:
        for answer in test.get(expected, ()):
            yield answer, expected


def served(test: dict[str, Any], answer: str) -> Served:
    """What is said of an answer that comes alone in a bundle."""
    code: Json = {"text": test["name"]}
    if "loinc" in test:
        code["coding"] = [{"system": "http://loinc.org", "code": test["loinc"]}]
    observation: Json = {
        "resourceType": "Observation",
        "id": "x",
        "status": "final",
        "code": code,
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-03-01T08:00:00Z",
        "valueString": answer,
    }
    results = sent(observation)[1].results
    if not results:
        return "neither"  # no value at all: "NA"
    (finding,) = results
    if finding.code is None:
        return "neither"
    return "normal" if finding.code == "N" else "abnormal"


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test["name"])
def test_an_answer_means_what_a_laboratory_physician_says(test: dict[str, Any]) -> None:
    wrong = {
        answer: f"{found}, not {expected}"
        for answer, expected in rows(test)
        if (found := served(test, answer)) not in ALLOWED[expected]
    }
    assert not wrong
