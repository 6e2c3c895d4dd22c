"""What is shed when an overload lasts, and what is not, on a clock that stands still."""

from __future__ import annotations

import asyncio
import time

import pytest

from cds_service.admission import Admission
from cds_service.config import Settings
from cds_service.pace import LASTING_S, Pace
from cds_service.telemetry.setup import setup
from fhir_adapter.errors import Overloaded

GAP = 0.01


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def overloaded(clock: Clock, *, inside: int = 34, seconds: float = LASTING_S) -> Pace:
    """Two compute, the rest waits; for each that ends, every GAP, another comes."""
    pace = Pace(2, clock=clock)
    for number in range(inside):
        pace.entered(number + 1)
    for _ in range(round(seconds / GAP)):
        clock.now += GAP
        pace.left(inside - 1)
        pace.entered(inside)
    return pace


def test_a_crowd_that_came_at_once_is_none(clock: Clock) -> None:
    pace = overloaded(clock, seconds=LASTING_S - 5 * GAP)
    assert not pace.too_long(34, 0.1)


def test_an_overload_that_lasts_leaves_room_for_what_gets_through_in_time(clock: Clock) -> None:
    pace = overloaded(clock, seconds=LASTING_S + GAP)
    assert pace.too_long(34, 0.1)
    assert pace.too_long(10, 0.1)
    assert not pace.too_long(9 - 1, 0.1)
    assert not pace.too_long(34, 0.5)


def test_every_place_is_always_kept_busy(clock: Clock) -> None:
    pace = overloaded(clock, seconds=1)
    assert not pace.too_long(3, 1e-9)
    assert pace.too_long(4, 1e-9)


def test_it_is_over_once_nobody_waits(clock: Clock) -> None:
    pace = overloaded(clock, inside=5, seconds=1)
    assert pace.too_long(20, 0.1)
    for inside in (4, 3, 2):
        assert pace.too_long(20, 0.1)
        pace.left(inside)
    assert not pace.too_long(20, 0.1)
    pace.entered(3)
    assert not pace.too_long(20, 0.1)  # crowded again, but only now


def test_idle_time_is_no_gap(clock: Clock) -> None:
    pace = overloaded(clock, inside=4, seconds=1)
    for inside in (3, 2, 1, 0):
        clock.now += GAP
        pace.left(inside)
    clock.now += 3600
    for number in range(4):
        pace.entered(number + 1)
    for _ in range(100):
        clock.now += GAP
        pace.left(3)
        pace.entered(4)
    assert not pace.too_long(20, 21.5 * GAP)
    assert pace.too_long(20, 20.5 * GAP)


def test_slower_endings_are_learnt(clock: Clock) -> None:
    pace = overloaded(clock, seconds=1)
    for _ in range(100):
        clock.now += 5 * GAP
        pace.left(33)
        pace.entered(34)
    assert pace.too_long(10, 0.5)


async def test_at_the_door_it_refuses_and_then_takes_again(clock: Clock) -> None:
    admission = Admission(1, 30, setup(Settings()), longest_s=5.5 * GAP, pace=Pace(1, clock=clock))
    inside: list[tuple[asyncio.Task[None], asyncio.Event]] = []

    async def stay(event: asyncio.Event) -> None:
        async with admission.place(time.monotonic() + 600):
            await event.wait()

    async def come() -> bool:
        """Whether one more was taken."""
        event = asyncio.Event()
        task = asyncio.create_task(stay(event))
        await asyncio.sleep(0)
        if task.done():
            assert isinstance(task.exception(), Overloaded)
            return False
        inside.append((task, event))
        return True

    async def end_one() -> None:
        task, event = inside.pop(0)
        clock.now += GAP
        event.set()
        await task

    assert all([await come() for _ in range(20)])
    rounds = 0
    while await come():
        await end_one()
        rounds += 1
    assert rounds == pytest.approx(LASTING_S / GAP, abs=2)
    while len(inside) > 4:
        await end_one()
    assert await come()
    assert not await come()
    while inside:
        await end_one()
    assert admission.inside == 0
    assert all([await come() for _ in range(20)])
    while inside:
        await end_one()
