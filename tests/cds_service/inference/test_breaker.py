"""When a failing server is left alone, and how many retries there are."""

from __future__ import annotations

from cds_service.inference.breaker import Breaker, RetryBudget


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_failures_in_a_row_and_one_call_tries_again() -> None:
    clock = Clock()
    breaker = Breaker(failures=3, reset_s=5, clock=clock)
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    for _ in range(3):
        assert breaker.allow()
        breaker.failed()
    assert breaker.open
    clock.now = 4.9
    assert not breaker.allow()
    clock.now = 5.0
    assert breaker.allow()
    assert not breaker.allow(), "only one tries"
    breaker.failed()
    clock.now = 9.9
    assert not breaker.allow()
    clock.now = 10.0
    assert breaker.allow()
    breaker.succeeded()
    assert not breaker.open
    assert breaker.allow()
    assert breaker.allow()


def test_a_trial_that_was_given_up_leaves_room_for_the_next() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, reset_s=5, clock=clock)
    breaker.failed()
    clock.now = 5
    assert breaker.allow()
    breaker.gave_up()
    assert breaker.open
    assert breaker.allow()


def test_retries_are_a_share_of_calls() -> None:
    budget = RetryBudget(share=0.25, most=2)
    assert [budget.spend(), budget.spend(), budget.spend()] == [True, True, False]
    for _ in range(3):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    for _ in range(100):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
