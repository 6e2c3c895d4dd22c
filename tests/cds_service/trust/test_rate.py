"""The token bucket, by a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.trust.rate import Bucket
from tests.callers import Clock


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    bucket = Bucket(60, 3, clock)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 1]
    clock.now += 0.25
    assert bucket.take() == pytest.approx(0.75)
    clock.now += 0.75
    assert bucket.take() == 0
    clock.now += 3600
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, 1]


@given(
    per_minute=st.floats(0.1, 6000),
    burst=st.integers(1, 50),
    waits=st.lists(st.floats(0, 30), max_size=200),
)
def test_never_more_than_burst_and_rate_together(per_minute: float, burst: int, waits: list[float]) -> None:
    clock = Clock(0.0)
    bucket = Bucket(per_minute, burst, clock)
    taken = 0
    for wait in waits:
        clock.now += wait
        taken += bucket.take() == 0
    assert taken <= burst + per_minute / 60 * clock.now + 1e-6


@given(per_minute=st.floats(1, 6000), burst=st.integers(1, 5))
def test_after_the_wait_it_says_there_is_one(per_minute: float, burst: int) -> None:
    clock = Clock(0.0)
    bucket = Bucket(per_minute, burst, clock)
    while (wait := bucket.take()) == 0:
        pass
    clock.now += wait * 1.000001
    assert bucket.take() == 0
