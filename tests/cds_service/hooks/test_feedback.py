"""Feedback as EHRs send it, over the real door into a real store; and what a user has answered isn't shown twice."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import sqlalchemy as sa

from cds_service.client import AsyncLabCueClient
from cds_service.records import schema
from tests.bundles import PANEL
from tests.cds_service.hooks.conftest import CALL, Door, Open, issues, request
from tests.cds_service.records.conftest import EXAMPLES

FEEDBACK = f"{CALL}/feedback"
AT = "2026-01-31T12:00:00Z"


def _overridden(card: str, **more: Any) -> dict[str, Any]:
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": AT} | more


async def _stored(door: Door) -> list[tuple[Any, ...]]:
    columns = schema.feedback.c
    with door.server.backend.records.database.reading() as connection:
        rows = connection.execute(
            sa.select(columns.outcome, columns.suggestions, columns.reason_code, schema.comments.c.text)
            .select_from(sa.outerjoin(schema.feedback, schema.comments))
            .order_by(columns.id)
        ).all()
    return [tuple(row) for row in rows]


async def test_it_is_stored_for_several_cards_and_an_unknown_one_is_named(open_door: Open) -> None:
    async with open_door() as door:
        cards = (await door.call(request(PANEL))).json()["cards"]
        reason = {"code": "not-relevant", "system": "https://labcue.org/CodeSystem/override-reason", "display": "x"}
        sent = {
            "feedback": [
                _overridden(cards[0]["uuid"], overrideReason={"reason": reason, "userComment": "saw it on rounds"}),
                {
                    "card": "9f3a0000-0000-4000-8000-000000000000",
                    "outcome": "accepted",
                    "acceptedSuggestions": [{"id": "s1"}],
                    "outcomeTimestamp": "2026-01-31T12:00:00.123+01:00",
                    "something": "of a later version",
                },
            ],
            "extension": {"org.example": 1},
        }
        answer = await door.call(sent, FEEDBACK)
        stored = await _stored(door)
    assert answer.status_code == 200
    assert answer.json()["extension"]["org.labcue.feedback"] == {
        "stored": 2,
        "unmatchedCards": ["9f3a0000-0000-4000-8000-000000000000"],
    }
    assert stored == [("overridden", [], "not-relevant", "saw it on rounds"), ("accepted", ["s1"], None, None)]


@pytest.mark.parametrize(
    ("sent", "code", "paths"),
    [
        (b"{", "not-json", [None]),
        (b"[]", "invalid-feedback", ["$this"]),
        ({"feedback": []}, "invalid-feedback", ["feedback"]),
        ({"feedback": {"card": "c"}}, "invalid-feedback", ["feedback"]),
        ({"feedback": [1]}, "invalid-feedback", ["feedback[0]"]),
        ({"feedback": [_overridden("c") | {"card": 1}]}, "invalid-feedback", ["feedback[0].card"]),
        (
            {"feedback": [_overridden("c"), {"card": "c", "outcome": "accepted", "outcomeTimestamp": "now"}]},
            "invalid-feedback",
            ["feedback[1].acceptedSuggestions", "feedback[1].outcomeTimestamp"],
        ),
        (
            {"feedback": [_overridden("c", overrideReason={"reason": "r", "userComment": []})]},
            "invalid-feedback",
            ["feedback[0].overrideReason.reason"],
        ),
        (
            {"feedback": [_overridden("c", acceptedSuggestions=[{"id": 3}, "s"])]},
            "invalid-feedback",
            ["feedback[0].acceptedSuggestions[0].id"],
        ),
        ({"feedback": [_overridden("c\0")]}, "invalid-feedback", ["feedback[0]"]),
    ],
)
async def test_each_fault_has_its_place_and_nothing_is_stored(
    open_door: Open, sent: Any, code: str, paths: list[str | None]
) -> None:
    async with open_door() as door:
        answer = await door.call(sent, FEEDBACK)
        stored = await _stored(door)
    assert (answer.status_code, issues(answer)) == (400, [(code, path) for path in paths])
    assert stored == []


async def test_other_refusals(open_door: Open) -> None:
    async with open_door() as door:
        unknown = await door.call({"feedback": [_overridden("c")]}, "/cds-services/other/feedback")
        method = await door.client.get(FEEDBACK)
        kind = await door.client.post(FEEDBACK, content=b"x", headers={"content-type": "text/plain"})
        with door.server.backend.records.database.writing() as connection:
            connection.execute(sa.text("DROP TABLE comments"))
            connection.execute(sa.text("DROP TABLE feedback"))
        failed = await door.call({"feedback": [_overridden("c")]}, FEEDBACK)
    assert [answer.status_code for answer in (unknown, method, kind, failed)] == [404, 405, 415, 503]
    assert issues(failed) == [("records-unavailable", None)]


async def test_a_comment_is_in_no_log_and_no_span(open_door: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_door() as door:
        bad = _overridden("c", outcome="ZQXJ", overrideReason={"userComment": "ZQXJ"})
        answers = [
            await door.call({"feedback": [_overridden("c", overrideReason={"userComment": "ZQXJ"})]}, FEEDBACK),
            await door.call({"feedback": [bad]}, FEEDBACK),
        ]
        spans = repr([span.to_json() for span in door.spans.get_finished_spans()])
    assert [answer.status_code for answer in answers] == [200, 400]
    for text in (caplog.text, spans, *(answer.text for answer in answers)):
        assert "ZQXJ" not in text


def _abnormal() -> dict[str, Any]:
    """An abnormal result that isn't critical."""
    found: dict[str, Any] = json.loads(PANEL)
    (potassium,) = (entry["resource"] for entry in found["entry"] if entry["resource"]["id"] == "k")
    potassium["valueQuantity"]["value"] = 5.4
    return found


async def test_what_a_user_answered_is_held_back_for_that_user_alone(open_door: Open) -> None:
    async with open_door() as door:

        async def ask(user: str | None, bundle: Any) -> dict[str, Any]:
            sent = request(bundle)
            if user is not None:
                sent["context"]["userId"] = user
            answer: dict[str, Any] = (await door.call(sent)).json()
            return answer

        first = await ask("Practitioner/1", _abnormal())
        again = await ask("Practitioner/1", _abnormal())  # shown, not answered: the chart shows it again
        assert [card["summary"] for card in again["cards"]] == [card["summary"] for card in first["cards"]] != []
        await door.call({"feedback": [_overridden(card["uuid"]) for card in first["cards"]]}, FEEDBACK)
        answered = await ask("Practitioner/1", _abnormal())
        other = await ask("Practitioner/2", _abnormal())
        nobody = await ask(None, _abnormal())
        critical = await ask("Practitioner/1", json.loads(PANEL))
    evaluation = answered["extension"]["org.labcue.evaluation"]
    assert answered["cards"] == []
    assert [flag["code"] for flag in evaluation["flags"]] == [
        flag["code"] for flag in first["extension"]["org.labcue.evaluation"]["flags"]
    ]
    held = evaluation["heldBack"]
    assert [one["reason"] for one in held] == ["repeated"] * len(first["cards"])
    assert [one["instead"] for one in held] == [card["uuid"] for card in first["cards"]]
    assert [one["summary"] for one in held] == [card["summary"] for card in first["cards"]]
    assert len(other["cards"]) == len(nobody["cards"]) == len(first["cards"])
    assert critical["cards"]


async def test_both_doors_remember_together(open_door: Open) -> None:
    async with (
        open_door(doors="both", port=0) as door,
        AsyncLabCueClient(f"127.0.0.1:{door.server.port}") as client,
    ):
        first = await client.evaluate(_abnormal(), user="Practitioner/1")
        answer = await door.call({"feedback": [_overridden(card.uuid) for card in first.cards]}, FEEDBACK)
        assert answer.json() == {"extension": {"org.labcue.feedback": {"stored": len(first.cards)}}}
        again = await client.evaluate(_abnormal(), user="Practitioner/1")
        sent = request(_abnormal())
        sent["context"]["userId"] = "Practitioner/1"
        by_http = (await door.call(sent)).json()
    assert not again.cards
    assert [one.instead for one in again.extension.evaluation.held_back] == [card.uuid for card in first.cards]
    assert by_http["cards"] == []
    assert "H" in {flag.code for flag in again.extension.evaluation.flags}


async def test_shown_and_off(open_door: Open) -> None:
    for fatigue, kept in (("shown", False), ("off", True)):
        async with open_door(fatigue=fatigue) as door:
            sent = request(_abnormal())
            sent["context"]["userId"] = "Practitioner/1"
            first = (await door.call(sent)).json()["cards"]
            door.server.backend.records.flush()
            await door.call({"feedback": [_overridden(card["uuid"]) for card in first]}, FEEDBACK)
            assert bool((await door.call(sent)).json()["cards"]) is kept


async def test_at_most_so_many_cards(open_door: Open) -> None:
    bundle = json.loads((EXAMPLES / "13-trend.json").read_bytes())
    (patient,) = (one["resource"]["id"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient")
    async with open_door(max_cards=0) as door:
        everything = (await door.call(request(bundle, patient=patient))).json()["cards"]
    async with open_door(max_cards=1) as door:
        answer = (await door.call(request(bundle, patient=patient))).json()
    (gathering,) = answer["cards"]
    held = answer["extension"]["org.labcue.evaluation"]["heldBack"]
    assert gathering["summary"].startswith(f"{len(everything)} more findings, first {everything[0]['summary'][:40]}")
    assert [one["summary"] for one in held] == [card["summary"] for card in everything]
    assert {one["instead"] for one in held} == {gathering["uuid"]}
