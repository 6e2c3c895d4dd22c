"""A whole panel in as many prompts as it takes: split where it is too long, never cut."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher
from cds_service.inference.engine import SlotScores
from cds_service.inference.panel import score_panel
from fhir_adapter.errors import EngineAnswer, PromptTooLong
from fhir_adapter.model import Panel, PanelResult, Patient, Quantity, Result
from fhir_adapter.prompt import Prompt
from tests.cds_service.inference.engines import Telling, abnormal


def panel_of(count: int) -> Panel:
    results = tuple(
        PanelResult(Result("", "", (), "K", Quantity(float(number), "mmol/L")), display="K", number=float(number))
        for number in range(1, count + 1)
    )
    return Panel(Patient(), results, (), count)


def window(characters: int) -> Telling:
    """An engine whose context window holds so much."""

    def fault(prompts: Sequence[Prompt]) -> None:
        if any(len(prompt.text) > characters for prompt in prompts):
            raise PromptTooLong

    return Telling(fault)


def told(scores: Sequence[SlotScores]) -> bool:
    return all(
        score.slot == index and math.isclose(score.abnormal, abnormal(index + 1), abs_tol=1e-9)
        for index, score in enumerate(scores)
    )


@pytest.mark.parametrize("batched", [False, True])
def test_two_thousand_results(batched: bool) -> None:
    engine = Telling()
    engine.max_results = 40  # type: ignore[attr-defined]
    asked = Batched(engine, Batcher()) if batched else engine
    scored = score_panel(asked, panel_of(2000))
    assert len(scored.scores) == 2000
    assert told(scored.scores)
    assert len(scored.prompts) == 50
    assert len(engine.passes) == (2 if batched else 1)  # passes of batch_tokens


@pytest.mark.parametrize("batched", [False, True])
def test_a_prompt_beyond_the_window_is_split_and_counted(batched: bool) -> None:
    engine = window(300)
    scored = score_panel(Batched(engine, Batcher()) if batched else engine, panel_of(21))
    assert told(scored.scores)
    assert len(scored.scores) == 21
    assert len(scored.prompts) > 2
    assert all(len(prompt.text) <= 300 for prompt in scored.prompts)


def test_one_result_beyond_the_window_is_an_error() -> None:
    with pytest.raises(PromptTooLong):
        score_panel(window(50), panel_of(3))


def test_an_empty_panel_asks_nothing() -> None:
    engine = Telling()
    scored = score_panel(engine, panel_of(0))
    assert scored.scores == ()
    assert engine.passes == []


def test_too_few_prompts_answered() -> None:
    engine = Telling()
    engine.alter = lambda answers: answers[:-1]
    with pytest.raises(EngineAnswer):
        score_panel(engine, panel_of(3))
