"""A call that only draws cards may have a small answer: nothing but plainly counted normal flags is missing from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cds_service.client import AsyncLabCueClient
from cds_service.records.audit import Answer, find
from cds_service.rpc import wire
from fhir_adapter.errors import InvalidInput, RequestIdReused
from labcue.v1 import cds_pb2
from tests.bundles import bundle, observation
from tests.cds_service.hooks.conftest import CALL, Open, issues, request

EVALUATION = "org.labcue.evaluation"
MIXED = bundle(
    observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
    observation("na", "2951-2", 140, "mmol/L", 135, 145),
    observation("cl", "2075-0", 101, "mmol/L", 98, 107),
    observation("x", "2823-3", 4.4, "parsecs"),
)
NORMAL = bundle(observation("na", "2951-2", 140, "mmol/L", 135, 145))


def asked(flags: Any, observations: bytes = MIXED) -> dict[str, Any]:
    return request(observations, extension={"org.labcue.request": {"flags": flags}, "org.example": 1})


def said(answer: dict[str, Any]) -> dict[str, Any]:
    """The evaluation of an answer, without what differs from call to call."""
    found: dict[str, Any] = answer["extension"][EVALUATION]
    return {name: value for name, value in found.items() if name not in ("timings", "traceId", "auditId")}


def named(found: dict[str, Any]) -> tuple[list[str], list[str], int | None]:
    """(observations of the flags, of what was not assessed, how many normal ones aren't listed)."""
    flags, missing = found.get("flags", []), found.get("notAssessed", [])
    return [one["observation"] for one in flags], [one["observation"] for one in missing], found.get("normalUnlisted")


async def test_only_normal_flags_are_left_out_and_they_are_counted(open_door: Open) -> None:
    async with open_door() as door:
        whole, small, unsaid = [(await door.call(asked(flags))).json() for flags in ("all", "abnormal", None)]
        nothing = (await door.call(asked("abnormal", NORMAL))).json()
    assert named(said(unsaid)) == named(said(whole))
    assert named(said(whole))[2] is None
    assert named(said(small)) == (["Observation/k"], ["Observation/x"], 2)
    rest = {"flags", "normalUnlisted"}
    assert said(small) == {
        **{name: value for name, value in said(whole).items() if name not in rest},
        "flags": [flag for flag in said(whole)["flags"] if flag["abnormal"]],
        "normalUnlisted": 2,
    }
    shown = [[(card["summary"], card["detail"]) for card in answer["cards"]] for answer in (whole, small)]
    assert shown[0] == shown[1]
    assert nothing["cards"] == []
    assert named(said(nothing)) == ([], [], 1)


@pytest.mark.parametrize(
    ("flags", "place"),
    [({"flags": "secret"}, ".flags"), ({"flags": 1}, ".flags"), ({"flags": ""}, ".flags"), ("abnormal", "")],
)
async def test_another_choice_is_refused_by_its_place(open_door: Open, flags: Any, place: str) -> None:
    async with open_door() as door:
        answer = await door.call(request(MIXED, extension={"org.labcue.request": flags}))
    assert (answer.status_code, issues(answer)) == (400, [("invalid-input", f"extension.org.labcue.request{place}")])
    assert "secret" not in answer.text


@pytest.mark.parametrize("extension", [None, {}, {"org.labcue.request": None}, {"org.labcue.request": {"other": 1}}])
async def test_the_setting_answers_where_a_call_says_nothing(open_door: Open, extension: Any) -> None:
    async with open_door(doors="both", port=0, answer_flags="abnormal") as door:
        small = (await door.call(request(MIXED, extension=extension))).json()
        whole = (await door.call(asked("all"))).json()
        async with AsyncLabCueClient(f"127.0.0.1:{door.server.port}") as client:
            by_grpc = [wire.to_json(await client.evaluate(MIXED, flags=flags)) for flags in (None, "all")]
    assert named(said(small)) == named(said(by_grpc[0])) == (["Observation/k"], ["Observation/x"], 2)
    assert named(said(whole)) == named(said(by_grpc[1]))
    assert named(said(whole))[2] is None


async def test_the_other_door_says_the_same_and_knows_the_choices_apart(open_door: Open) -> None:
    async with open_door(doors="both", port=0) as door:
        target = f"127.0.0.1:{door.server.port}"
        async with AsyncLabCueClient(target) as client:
            whole, small = [
                await client.evaluate(MIXED, request_id=id, flags=flags)
                for id, flags in (("r1", "all"), ("r2", "abnormal"))
            ]
            with pytest.raises(RequestIdReused):
                await client.evaluate(MIXED, request_id="r2", flags="all")

            async def pairs() -> Any:
                yield "s", MIXED

            streamed = [answer async for _, answer in client.evaluate_stream(pairs(), flags="abnormal")]
            with pytest.raises(InvalidInput) as caught:
                await client._call(client._stub.Evaluate, cds_pb2.EvaluateRequest(bundle=MIXED, flags=9), None)  # type: ignore[arg-type]
    evaluation = small.extension.evaluation
    assert [flag.observation for flag in evaluation.flags] == ["Observation/k"]
    assert evaluation.normal_unlisted == 2
    assert evaluation.observations == len(evaluation.flags) + len(evaluation.not_assessed) + 2
    assert len(whole.extension.evaluation.flags) == 3
    assert whole.extension.evaluation.normal_unlisted == 0
    assert named(said(wire.to_json(streamed[0]))) == named(said(wire.to_json(small)))  # type: ignore[arg-type]
    assert [one.path for one in caught.value.violations] == ["flags"]


async def test_what_is_remembered_is_the_same_and_feedback_finds_its_card(open_door: Open, tmp_path: Path) -> None:
    async with open_door(records=str(tmp_path / "r.sqlite3")) as door:
        answers = [(await door.call(asked(flags))).json() for flags in ("all", "abnormal")]
        entry = {
            "card": answers[1]["cards"][0]["uuid"],
            "outcome": "overridden",
            "outcomeTimestamp": "2026-02-01T12:00:00Z",
        }
        stored = (await door.call({"feedback": [entry]}, f"{CALL}/feedback")).json()
        records = door.server.backend.records
        records.flush()
        with records.database.reading() as connection:
            found = [find(connection, answer["extension"][EVALUATION]["auditId"]) for answer in answers]
    whole, small = (one for one in found if isinstance(one, Answer))
    assert stored["extension"]["org.labcue.feedback"] == {"stored": 1}
    assert small.cards[0].outcome == "overridden"
    assert [card.flags for card in small.cards] == [card.flags for card in whole.cards]
    assert small.facts["observations"] == whole.facts["observations"] == 4
