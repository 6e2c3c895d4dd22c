"""One pass, whatever happens in it: each row ends in its own scores or its own error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from cds_service.inference.engine import Prepared, SlotScores
from cds_service.inference.passes import Outcome, judge
from fhir_adapter.errors import EngineAnswer, EngineError, EngineMemory, EngineStopped
from tests.cds_service.inference.engines import Telling, abnormal, poison, prompt_of


def rows(count: int) -> list[Prepared]:
    return [Prepared(prompt_of(number), range(10), ()) for number in range(1, count + 1)]


def through(engine: Telling, prepared: Sequence[Prepared], **given: object) -> list[Outcome | None]:
    return judge(prepared, lambda some: engine.score([row.prompt for row in some]), **given)  # type: ignore[arg-type]


def right(outcome: Outcome | None, number: float) -> bool:
    return isinstance(outcome, tuple) and math.isclose(outcome[0].abnormal, abnormal(number), abs_tol=1e-9)


@pytest.mark.parametrize("bad", [(1,), (8,), (3, 4), (2, 7, 11), (1, 2, 3)])
def test_a_bad_row_costs_only_itself(bad: tuple[int, ...]) -> None:
    engine = Telling(poison(*bad))
    outcomes = through(engine, rows(16))
    for number, outcome in enumerate(outcomes, 1):
        assert isinstance(outcome, EngineError) if number in bad else right(outcome, number), number
    assert len(engine.passes) <= 2 * len(bad) * math.log2(16) + 1


def test_an_error_that_is_not_ours_has_a_fixed_text(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = through(Telling(poison(2, error=RuntimeError)), rows(3))
    assert isinstance(outcomes[1], EngineError)
    assert str(outcomes[1]) == "model failed"
    assert outcomes[1].__traceback__ is None
    assert "secret" not in caplog.text
    assert "RuntimeError" in caplog.text
    assert right(outcomes[0], 1)
    assert right(outcomes[2], 3)


def test_out_of_memory_is_survived_by_smaller_passes() -> None:
    def fault(prompts: Sequence[object]) -> None:
        if len(prompts) > 3:
            raise EngineMemory

    engine = Telling(fault)
    outcomes = through(engine, rows(10), free_memory=engine.free_memory)
    assert all(right(outcome, number) for number, outcome in enumerate(outcomes, 1))
    assert engine.freed == sum(len(one) > 3 for one in engine.passes) > 0


def test_a_panel_that_alone_is_too_much_is_told_so() -> None:
    (outcome,) = through(Telling(poison(1, error=MemoryError)), rows(1))
    assert isinstance(outcome, EngineMemory)


def test_a_model_that_only_fails_is_not_asked_for_each_row() -> None:
    engine = Telling(poison(*range(1, 65)))
    assert all(isinstance(outcome, EngineError) for outcome in through(engine, rows(64)))
    assert len(engine.passes) < 24


def test_a_dead_model_is_said_to_be_dead() -> None:
    with pytest.raises(EngineStopped):
        through(Telling(poison(2, error=EngineStopped)), rows(4))


Answers = list[tuple[SlotScores, ...]]


def one_changed(answers: Answers, change: object) -> Answers:
    """The answer that holds the probability of number 2 with a change."""
    wanted = abnormal(2)
    return [
        tuple(change(score) for score in answer) if math.isclose(answer[0].abnormal, wanted, abs_tol=1e-9) else answer  # type: ignore[operator]
        for answer in answers
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda score: replace(score, probabilities=(math.nan, *score.probabilities[1:])),
        lambda score: replace(score, probabilities=(math.inf, *score.probabilities[1:])),
        lambda score: replace(score, probabilities=tuple(number * 2 for number in score.probabilities)),
        lambda score: replace(score, probabilities=(1.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0)),
        lambda score: replace(score, probabilities=score.probabilities[:3]),
        lambda score: replace(score, slot=score.slot + 1),
    ],
)
def test_what_is_no_probability_of_that_row_is_no_answer_to_it(change: object) -> None:
    engine = Telling()
    engine.alter = lambda answers: one_changed(answers, change)
    outcomes = through(engine, rows(3))
    assert isinstance(outcomes[1], EngineAnswer)
    assert right(outcomes[0], 1)
    assert right(outcomes[2], 3)


def test_too_few_slots_and_too_few_rows() -> None:
    engine = Telling()
    engine.alter = lambda answers: [answer[:-1] for answer in answers]
    assert all(isinstance(outcome, EngineAnswer) for outcome in through(engine, rows(2)))
    engine.alter = lambda answers: answers if len(answers) == 1 else answers[:-1]
    assert all(right(outcome, number) for number, outcome in enumerate(through(engine, rows(5)), 1))
    engine.alter = lambda answers: []
    assert all(isinstance(outcome, EngineAnswer) for outcome in through(engine, rows(5)))


def test_rows_that_nobody_wants_any_more_are_left_out_of_further_tries() -> None:
    engine = Telling(poison(1))
    gone: set[int] = set()

    def fault(prompts: Sequence[object]) -> None:
        gone.update({2, 3})
        poison(1)(prompts)  # type: ignore[arg-type]

    engine.fault = fault
    outcomes = through(engine, rows(4), wanted=lambda index: index not in gone)
    assert isinstance(outcomes[0], EngineError)
    assert right(outcomes[1], 2)
    assert outcomes[2:] == [None, None]
    assert [3.0] not in [number for one in engine.passes[1:] for number in one]
