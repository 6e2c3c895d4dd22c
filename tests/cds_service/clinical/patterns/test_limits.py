"""Every pattern on both sides of its limits."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cds_service import words
from cds_service.clinical.patterns.spec import specs
from cds_service.domain import Pattern
from tests.cds_service.clinical.panels import found
from tests.cds_service.clinical.patterns.cases import CASES


def patterns(text: str, who: dict[str, Any]) -> dict[str, Pattern]:
    return {one.id: one for one in found(text, **{key: value for key, value in who.items() if key != "no"}).patterns}


@pytest.mark.parametrize(("id", "yes", "no", "who"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_both_sides_of_each_limit(id: str, yes: str, no: str, who: dict[str, Any]) -> None:
    shown = patterns(yes, who)
    assert id in shown
    assert id not in patterns(no, who.get("no", who))
    assert shown[id].citation
    assert shown[id].indices
    for language in words.LANGUAGES:
        for said in (shown[id].title, shown[id].said):
            assert not re.search(r"[{}]", words.say(language, said))


def test_no_pattern_is_without_a_case() -> None:
    assert {spec.id for spec in specs()} - {id for id, *_ in CASES} == set()
