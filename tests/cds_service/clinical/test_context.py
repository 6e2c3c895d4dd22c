"""Pregnancy and fasting qualify a flag: the right limit where the state is known, and what is taken for granted where not."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service import words
from tests.cds_service.clinical.panels import found, panel


def _one(text: str, **more: Any) -> tuple[str | None, list[str]]:
    """Code and context of the only result."""
    (finding,) = found(text, **more).results
    return finding.code, [basis.said.key for basis in finding.basis if basis.kind == "context"]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("glucose=99", "N", []),
        ("glucose=120", "H", ["about-fasting-alone"]),
        ("glucose=139", "H", ["about-fasting-alone"]),
        ("glucose=140", "H", []),
        ("glucose=60", "L", []),
        ("glucose=120#fasting", "H", []),
        ("glucose=139#non-fasting", "N", ["about-not-fasting"]),
        ("glucose=140#not_fasting", "H", ["about-not-fasting"]),
        ("glucose=60#random_sample", "L", ["about-not-fasting"]),
        ("triglycerides=149", "N", []),
        ("triglycerides=174", "H", ["about-fasting-alone"]),
        ("triglycerides=175", "H", []),
        ("triglycerides=174#prélevé_non_à_jeun", "N", ["about-not-fasting"]),
        ("triglycerides=175#prélevé_non_à_jeun", "H", ["about-not-fasting"]),
        ("triglycerides=160#à_jeun", "H", []),
        ("insulin=40", "H", ["about-fasting-unknown"]),
        ("insulin=40#2_h_post_meal", "H", ["about-fasting-limit"]),
        ("insulin=40#fasted", "H", []),
        ("insulin=20", "N", []),
        ("glucose=120{70..99}", "H", []),
    ],
)
def test_fasting(text: str, code: str, said: list[str]) -> None:
    assert _one(text) == (code, said)


def test_a_child_has_no_other_limit_than_the_fasting_one() -> None:
    assert _one("triglycerides=120", age=8) == ("H", ["about-fasting-unknown"])
    assert _one("triglycerides=120#non-fasting", age=8) == ("H", ["about-fasting-limit"])


def test_the_other_limit_is_said_in_the_reported_unit() -> None:
    (finding,) = found("glucose=7.0[mmol/L]").results
    (said,) = [basis for basis in finding.basis if basis.kind == "context"]
    assert said.said.params == {"limit": "7.72 mmol/L"}
    assert "à jeun" in words.say("fr", said.said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mcv=105", ["about-non-pregnant"]),
        ("mcv=90", ["about-non-pregnant"]),
        ("mcv=105{80..100}", []),
        ("haemoglobin=10", ["about-trimester-unknown"]),
        ("glucose=120", ["about-non-pregnant", "about-fasting-alone"]),
    ],
)
def test_pregnancy(text: str, said: list[str]) -> None:
    assert _one(text, age=30, pregnant=True)[1] == said
    assert "about-non-pregnant" not in _one(text, age=30)[1]
    assert "about-non-pregnant" not in _one(text, age=30, pregnant=False)[1]
    assert "about-non-pregnant" not in _one(text, age=30, sex="male", pregnant=True)[1]


def test_what_an_interval_is_about_stays_through_a_series() -> None:
    made = panel("mcv@-24=104 mcv=105", age=30, pregnant=True)
    assert [one.interval.about for one in made.results if one.interval] == [("non-pregnant",)] * 2
