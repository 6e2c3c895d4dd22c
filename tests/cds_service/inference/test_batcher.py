"""Many callers, one model: who shares a pass, who is left out, and that everybody gets their own answer, once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher, Limits, Pass
from cds_service.inference.engine import Bounded, SlotScores
from cds_service.inference.waiting import Entry, Waiting
from fhir_adapter.errors import Cancelled, EngineError, EngineLate, EngineStopped, Overloaded
from tests.cds_service.inference.engines import Telling, abnormal, numbers_in, poison, prompt_of

COST = len(prompt_of(1).text) // 4 + 1
"""Tokens that the batcher takes a prompt of one result for."""


Scores = list[tuple[SlotScores, ...]]
Answer = Future[Scores]


class Callers:
    """Threads that ask a batcher, and the engine behind it."""

    def __init__(self, engine: Telling, limits: Limits) -> None:
        self.engine, self.batcher = engine, Batcher(limits)
        self._pool = ThreadPoolExecutor(32)
        self._held = False

    def ask(
        self,
        *numbers: float,
        deadline: float | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        of: Telling | None = None,
    ) -> Answer:
        """A caller with one prompt for each number; while a pass is held, returns once its entry waits."""
        prompts = [prompt_of(number) for number in numbers]
        before = len(self.batcher._waiting)
        future = self._pool.submit(
            self.batcher.score, of or self.engine, prompts, deadline=deadline, cancelled=cancelled
        )
        while self._held and len(self.batcher._waiting) == before and not future.done():
            time.sleep(0)
        return future

    def hold(self) -> Answer:
        """Closes the gate and lets one caller's pass begin: what is asked now, waits."""
        self.engine.gate.clear()
        future = self.ask(99)
        assert self.engine.entered.acquire(timeout=20)
        self._held = True
        return future


@contextmanager
def callers(engine: Telling | None = None, **limits: float) -> Iterator[Callers]:
    asking = Callers(engine or Telling(), Limits(**({"hang_s": 20.0} | limits)))  # type: ignore[arg-type]
    try:
        yield asking
    finally:
        asking.engine.gate.set()
        asking.batcher.close()
        asking._pool.shutdown()


def right(answers: Scores, *numbers: float, version: int = 1) -> bool:
    found = [score.abnormal for answer in answers for score in answer]
    wanted = [abnormal(number, version) for number in numbers]
    return len(found) == len(wanted) and all(
        math.isclose(a, b, abs_tol=1e-9) for a, b in zip(found, wanted, strict=True)
    )


def test_what_waits_together_goes_together_and_each_gets_its_own() -> None:
    with callers() as some:
        first = some.hold()
        others = [some.ask(number) for number in range(1, 9)]
        some.engine.gate.set()
        assert right(first.result(20), 99)
        assert all(right(other.result(20), number) for number, other in enumerate(others, 1))
        assert [len(one) for one in some.engine.passes] == [1, 8]
        assert len(some.engine.threads) == 1


def test_an_idle_model_starts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("waited")

    monkeypatch.setattr(Waiting, "gather", never)
    with callers(delay_s=1.0) as some:
        for number in (1, 2, 3):
            assert right(some.ask(number).result(20), number)


def test_while_requests_come_in_together_a_pass_waits_for_as_many_as_before() -> None:
    with callers(delay_s=1.0) as some:
        first = some.hold()
        two = [some.ask(1), some.ask(2)]
        some.engine.gate.set()
        for done in (first, *two):
            done.result(20)
        some._held = False
        third = some.ask(3)
        fourth = some.ask(4)
        assert right(third.result(20), 3)
        assert right(fourth.result(20), 4)
        assert [len(one) for one in some.engine.passes] == [1, 2, 2]


def test_those_answered_and_those_who_waited_meanwhile_become_one_crowd() -> None:
    """Two that come back at once and two that waited: one pass of four, not two of two in turn."""
    with callers(delay_s=20.0) as some:
        first = some.hold()
        two = [some.ask(1), some.ask(2)]
        some.engine.gate.set()
        for done in (first, *two):
            done.result(20)
        assert some.engine.entered.acquire(timeout=20)
        some._held = False
        some.engine.gate.clear()
        again = [some.ask(3), some.ask(4)]
        assert some.engine.entered.acquire(timeout=20)
        some._held = True
        waited = [some.ask(5), some.ask(6)]
        some.engine.gate.set()
        assert all(right(one.result(20), number) for number, one in enumerate(again, 3))
        some._held = False
        back = [some.ask(7), some.ask(8)]
        assert all(right(one.result(20), number) for number, one in enumerate((*waited, *back), 5))
        assert [len(one) for one in some.engine.passes] == [1, 2, 2, 4]


def test_a_full_pass_waits_for_nobody() -> None:
    with callers(tokens=COST * 2, delay_s=60.0) as some:
        first = some.hold()
        four = [some.ask(number) for number in (1, 2, 3, 4)]
        some.engine.gate.set()
        assert all(right(one.result(20), number) for one, number in zip((first, *four), (99, 1, 2, 3, 4), strict=True))
        assert [len(one) for one in some.engine.passes] == [1, 2, 2]


def test_an_engine_that_gains_nothing_is_not_kept_waiting() -> None:
    engine = Telling()
    engine.pass_tokens = COST * 2  # type: ignore[attr-defined]
    with callers(engine, delay_s=60.0) as some:
        first = some.hold()
        three = [some.ask(1), some.ask(2), some.ask(3)]
        some.engine.gate.set()
        assert all(right(one.result(20), number) for one, number in zip((first, *three), (99, 1, 2, 3), strict=True))
        assert [len(one) for one in some.engine.passes] == [1, 2, 1]


def test_a_pass_holds_tokens_not_requests_and_callers_take_turns() -> None:
    with callers(tokens=COST * 3) as some:
        first = some.hold()
        long = some.ask(*range(10, 16))
        short = [some.ask(1), some.ask(2)]
        some.engine.gate.set()
        assert right(first.result(20), 99)
        assert right(long.result(20), *range(10, 16))
        assert all(right(one.result(20), number) for number, one in enumerate(short, 1))
        assert some.engine.passes == [[[99]], [[10], [1], [2]], [[11], [12], [13]], [[14], [15]]]


def test_a_panel_of_several_prompts_goes_through_in_one_pass_where_half_of_it_holds_them() -> None:
    with callers(tokens=COST * 6) as some:
        first = some.hold()
        panels = [some.ask(1, 2, 3), some.ask(11, 12, 13), some.ask(21, 22, 23), some.ask(*range(31, 36))]
        some.engine.gate.set()
        assert right(first.result(20), 99)
        for panel, numbers in zip(panels, ((1, 2, 3), (11, 12, 13), (21, 22, 23), range(31, 36)), strict=True):
            assert right(panel.result(20), *numbers)
        assert some.engine.passes == [
            [[99]],
            [[1], [2], [3], [11], [12], [13]],
            [[21], [22], [23], [31], [32], [33]],
            [[34], [35]],
        ]


def test_a_panel_that_does_not_fit_beside_others_waits_for_the_next_pass_whole() -> None:
    with callers(tokens=COST * 6) as some:
        first = some.hold()
        panels = [some.ask(1, 2), some.ask(11, 12), some.ask(21, 22, 23), some.ask(31, 32)]
        some.engine.gate.set()
        for done in (first, *panels):
            done.result(20)
        assert some.engine.passes == [[[99]], [[1], [2], [11], [12], [31], [32]], [[21], [22], [23]]]


def test_an_engine_may_prefer_smaller_passes() -> None:
    engine = Telling()
    engine.pass_tokens = COST * 2  # type: ignore[attr-defined]
    with callers(engine) as some:
        first = some.hold()
        others = [some.ask(number) for number in (1, 2, 3)]
        some.engine.gate.set()
        for done in (first, *others):
            done.result(20)
        assert some.engine.passes == [[[99]], [[1], [2]], [[3]]]


def test_a_row_beyond_the_budget_goes_alone() -> None:
    with callers(tokens=1) as some:
        first = some.hold()
        others = [some.ask(1), some.ask(2)]
        some.engine.gate.set()
        for done in (first, *others):
            done.result(20)
        assert some.engine.passes == [[[99]], [[1]], [[2]]]


def test_who_has_gone_or_has_no_time_is_dropped_before_compute() -> None:
    with callers() as some:
        first = some.hold()
        gone = threading.Event()
        left = some.ask(1, cancelled=gone.is_set)
        stays = some.ask(2)
        late = some.ask(3, deadline=time.monotonic() + 0.01)
        gone.set()
        with pytest.raises(Cancelled):
            left.result(20)
        with pytest.raises(EngineLate):
            late.result(20)
        some.engine.gate.set()
        assert right(first.result(20), 99)
        assert right(stays.result(20), 2)
        assert some.engine.passes == [[[99]], [[2]]]


def test_an_answer_that_comes_late_is_nobodys() -> None:
    with callers() as some:
        some.engine.gate.clear()
        late = some.ask(1, deadline=time.monotonic() + 0.05)
        with pytest.raises(EngineLate):
            late.result(20)
        some.engine.gate.set()
        assert right(some.ask(2).result(20), 2)


def test_a_bad_panel_costs_only_its_own_caller() -> None:
    with callers(Telling(poison(3))) as some:
        some.hold()
        others = {number: some.ask(number) for number in range(1, 7)}
        some.engine.gate.set()
        for number, other in others.items():
            if number == 3:
                with pytest.raises(EngineError, match="secret"):
                    other.result(20)
            else:
                assert right(other.result(20), number)


def test_a_caller_of_several_prompts_gets_all_or_an_error() -> None:
    with callers(Telling(poison(3))) as some:
        assert right(some.ask(1, 2, 4).result(20), 1, 2, 4)
        with pytest.raises(EngineError):
            some.ask(1, 2, 3, 4).result(20)
        with pytest.raises(EngineError):
            some.ask(3).result(20)


def test_prompts_without_slots_are_not_asked_about() -> None:
    with callers() as some:
        empty = prompt_of()
        asked = Batched(some.engine, some.batcher)
        assert asked.score([empty]) == [()]
        assert some.engine.passes == []
        assert [len(answer) for answer in asked.score([empty, prompt_of(4), empty])] == [0, 1, 0]


def test_a_full_queue_refuses_and_lets_in_again() -> None:
    with callers(queue=2) as some:
        first = some.hold()
        gone = threading.Event()
        waiting = [some.ask(1, cancelled=gone.is_set), some.ask(2)]
        with pytest.raises(Overloaded):
            some.ask(3).result(20)
        gone.set()  # whoever has gone makes room at once
        some._held = False
        fourth = some.ask(4)
        while numbers_in(some.batcher._waiting._entries[-1].rows[0].prompt) != [4]:
            time.sleep(0)
        some.engine.gate.set()
        assert right(fourth.result(20), 4)
        assert right(waiting[1].result(20), 2)
        assert right(first.result(20), 99)


def test_a_model_that_hangs_lets_everybody_go_and_may_come_back() -> None:
    with callers(hang_s=0.1) as some:
        first = some.hold()
        second = some.ask(1)
        for caller in (first, second):
            with pytest.raises(EngineStopped):
                caller.result(20)
        assert not some.batcher.healthy
        with pytest.raises(EngineStopped):
            some.ask(2).result(20)
        some.engine.gate.set()
        while not some.batcher.healthy:
            time.sleep(0)
        assert right(some.ask(3).result(20), 3)
        assert [[2]] not in some.engine.passes


@pytest.mark.parametrize("error", [EngineStopped, SystemExit, KeyboardInterrupt])
def test_a_model_that_dies_ends_everybody_at_once_and_for_good(error: type[Exception]) -> None:
    with callers(Telling(poison(1, error=error))) as some:
        some.hold()
        others = [some.ask(1), some.ask(2)]
        some.engine.gate.set()
        for other in others:
            with pytest.raises(EngineStopped):
                other.result(20)
        assert not some.batcher.healthy
        with pytest.raises(EngineStopped):
            some.ask(5).result(20)
        with pytest.raises(EngineStopped):
            some.batcher.exclusively(lambda: None)


def test_close_ends_who_waits() -> None:
    with callers() as some:
        first = some.hold()
        second = some.ask(1)
        closing = threading.Thread(target=some.batcher.close)
        closing.start()
        with pytest.raises(EngineStopped):
            second.result(20)
        some.engine.gate.set()
        closing.join(20)
        assert right(first.result(20), 99)


def test_engines_on_one_model_have_passes_of_their_own_and_take_turns() -> None:
    with callers(tokens=COST * 2) as some:
        other = Telling(version=2)
        some.hold()
        long = some.ask(*range(1, 6))
        short = some.ask(7, of=other)
        third = some.ask(8)
        some.engine.gate.set()
        assert right(long.result(20), *range(1, 6))
        assert right(short.result(20), 7, version=2)
        assert right(third.result(20), 8)
        assert some.engine.passes == [[[99]], [[1], [8]], [[2], [3]], [[4], [5]]]
        assert other.passes == [[[7]]]
        assert some.engine.threads == other.threads


def test_what_a_job_raises_reaches_who_asked() -> None:
    with callers() as some:
        with pytest.raises(ZeroDivisionError):
            some.batcher.exclusively(lambda: 1 // 0)
        assert some.batcher.exclusively(threading.get_ident) != threading.get_ident()
        assert right(some.ask(1).result(20), 1)
        Batched(some.engine, some.batcher).warm_up()
        assert len(some.engine.threads) == 1


def test_each_pass_is_seen() -> None:
    seen: list[Pass] = []
    with callers() as some:
        some.batcher.observe = seen.append
        first = some.hold()
        others = [some.ask(1), some.ask(2, 3)]
        some.engine.gate.set()
        for done in (first, *others):
            done.result(20)
    assert [(one.requests, one.tokens) for one in seen] == [(1, COST), (2, 3 * COST)]


def test_it_is_what_the_pipeline_takes_for_bounded() -> None:
    assert isinstance(Batched(Telling(), Batcher()), Bounded)
    assert not isinstance(Telling(), Bounded)


def test_an_entry_ends_once() -> None:
    entry = Entry(Telling(), [], None, lambda: False)
    entry.fail(EngineLate())
    entry.fail(Cancelled())
    assert isinstance(entry.error, EngineLate)
