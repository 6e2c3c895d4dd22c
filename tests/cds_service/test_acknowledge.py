"""Every card that goes out can be accepted, and its override rate says something."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cds_service.acknowledge import acceptable
from cds_service.config import Settings
from cds_service.pipeline import Evaluation
from cds_service.records.feedback import Feedback
from cds_service.records.report import report
from cds_service.records.store import Records
from tests.cds_service.records.conftest import Clock, clock, judge, send  # noqa: F401 (fixtures)


@pytest.mark.parametrize(
    ("language", "label"), [("en", "Noted: I take it into account"), ("fr", "Vu : j'en tiens compte")]
)
def test_a_card_without_suggestions_gets_one_that_does_nothing(
    judge: Callable[..., Evaluation],  # noqa: F811
    language: str,
    label: str,
) -> None:
    before = judge("14-haemolysed-potassium").cards
    after = acceptable(before, language, iter("abcdefghij").__next__)
    assert any(card.suggestions for card in before)
    for card, was in zip(after, before, strict=True):
        assert card.suggestions == was.suggestions or not was.suggestions
        assert [one.label for one in card.suggestions if not one.actions] == ([] if was.suggestions else [label])


def test_it_can_be_turned_off(judge: Callable[..., Evaluation]) -> None:  # noqa: F811
    store = Records(Settings(acknowledge=False))
    assert not any(card.suggestions for card in send(store, judge("02-hyperkalaemia-aki")).cards)
    store.close()


def test_the_override_rate_counts_the_accepted_too(judge: Callable[..., Evaluation], clock: Clock) -> None:  # noqa: F811
    store = Records(Settings(), clock)
    first, second, *_ = send(store, judge("02-hyperkalaemia-aki")).cards
    at = "2026-02-01T12:00:00Z"
    accepted = Feedback(first.uuid, "accepted", suggestions=(first.suggestions[0].uuid,), outcome_at=at)
    assert store.add_feedback([accepted, Feedback(second.uuid, "overridden", outcome_at=at)]) == []
    with store.database.reading() as connection:
        assert report(connection).all.override_rate == 0.5
    store.close()
