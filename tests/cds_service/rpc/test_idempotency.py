"""Answers by request id: kept no longer, and no more of them, than said."""

from __future__ import annotations

import asyncio

import pytest

from cds_service.rpc.idempotency import MAX_ID, Answers, check_id
from fhir_adapter.errors import InvalidInput, NotJson, RequestIdReused
from labcue.v1 import cds_pb2


def _request(id: str = "r", bundle: bytes = b"{}", language: str = "") -> cds_pb2.EvaluateRequest:
    return cds_pb2.EvaluateRequest(request_id=id, bundle=bundle, language=language)


class Counted:
    """Work that counts its calls; it waits for its gate, and fails as told."""

    def __init__(self, *, size: int = 0) -> None:
        self.calls, self.size = 0, size
        self.gate, self.begun = asyncio.Event(), asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def __call__(self) -> cds_pb2.EvaluateResponse:
        self.calls += 1
        self.begun.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        response = cds_pb2.EvaluateResponse()
        response.cards.add(uuid=f"{self.calls}", detail="x" * self.size)
        return response


async def test_an_answer_is_kept_for_its_time_and_then_gone() -> None:
    now = 0.0
    answers, work = Answers(10, 60.0, clock=lambda: now), Counted()
    first = await answers.once(_request(), work)
    now = 59.0
    assert await answers.once(_request(), work) is first
    now = 61.0
    assert (await answers.once(_request(), work)).cards[0].uuid == "2"


async def test_what_is_past_its_time_goes_even_where_nobody_asks_for_it() -> None:
    now = 0.0
    answers, work = Answers(10, 60.0, clock=lambda: now), Counted()
    for number in range(5):
        await answers.once(_request(f"r{number}"), work)
    now = 61.0
    await answers.once(_request(""), work)
    assert len(answers) == 0


async def test_the_oldest_go_past_the_number_and_past_the_size() -> None:
    few, work = Answers(3, 60.0), Counted()
    for number in range(5):
        await few.once(_request(f"r{number}"), work)
    assert len(few) == 3
    small, large = Answers(100, 60.0, max_bytes=2500), Counted(size=1000)
    for number in range(5):
        await small.once(_request(f"r{number}"), large)
    assert len(small) == 2
    assert large.calls == 5
    await small.once(_request("r4"), large)
    assert large.calls == 5


async def test_content_is_bundle_and_language() -> None:
    answers, work = Answers(10, 60.0), Counted()
    await answers.once(_request(bundle=b"a", language="en"), work)
    for other in (_request(bundle=b"b", language="en"), _request(bundle=b"a", language="fr")):
        with pytest.raises(RequestIdReused):
            await answers.once(other, work)


async def test_a_joiner_works_by_itself_when_the_first_leaves_or_fails() -> None:
    answers = Answers(10, 60.0)
    for ending in ("leaves", "fails"):
        first, second = Counted(), Counted()
        first.gate.clear()
        if ending == "fails":
            first.error = NotJson()
        leader = asyncio.create_task(answers.once(_request(ending), first))
        await first.begun.wait()
        joiner = asyncio.create_task(answers.once(_request(ending), second))
        if ending == "leaves":
            leader.cancel()
        first.gate.set()
        await asyncio.wait((leader, joiner))
        assert (await joiner).cards[0].uuid == "1"
        assert second.calls == 1


async def test_a_joiner_that_leaves_takes_nobody_along() -> None:
    answers, work = Answers(10, 60.0), Counted()
    work.gate.clear()
    leader = asyncio.create_task(answers.once(_request(), work))
    await work.begun.wait()
    joiner = asyncio.create_task(answers.once(_request(), work))
    await asyncio.sleep(0)
    joiner.cancel()
    await asyncio.wait((joiner,))
    assert joiner.cancelled()
    work.gate.set()
    assert (await leader).cards[0].uuid == "1"
    assert work.calls == 1


async def test_without_an_id_or_without_room_nothing_is_kept() -> None:
    for answers, id in ((Answers(10, 60.0), ""), (Answers(0, 60.0), "r")):
        work = Counted()
        await answers.once(_request(id), work)
        await answers.once(_request(id), work)
        assert work.calls == 2
        assert len(answers) == 0


@pytest.mark.parametrize("id", ["x" * (MAX_ID + 1), "a\nb", "a\x00", "\u200b", "\u2028"])
def test_an_id_is_short_and_printable(id: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_id(id)
    assert [violation.path for violation in caught.value.violations] == ["request_id"]
    assert id not in str(caught.value.violations)


def test_an_id_may_be_any_printable_text() -> None:
    for id in ("", "x" * MAX_ID, "7f0c3cb8-0f40", "été 1"):
        check_id(id)
