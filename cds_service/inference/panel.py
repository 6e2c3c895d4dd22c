"""A whole panel through an engine, in as many prompts as the engine's limits ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cds_service.inference.engine import Bounded, Engine, SlotScores
from fhir_adapter.errors import EngineAnswer, PromptTooLong
from fhir_adapter.model import Panel
from fhir_adapter.prompt import Prompt, chunks, render


@dataclass(frozen=True, slots=True)
class PanelScores:
    """The scores of all slots of a panel in the order of its results, and the prompts that the model was shown: with more than
    one, it didn't see all results together."""

    scores: tuple[SlotScores, ...]
    prompts: tuple[Prompt, ...]


def prompts_for(engine: Engine, panel: Panel, limit: int | None = None) -> list[Prompt]:
    """The prompts that ``engine`` is to be shown: one, or several of at most ``limit`` results each (default: its
    ``max_results``, an attribute an engine may have; those with a manifest take it from there)."""
    limit = limit or getattr(engine, "max_results", None)
    if not isinstance(limit, int) or len(panel.results) <= limit:
        return [render(panel)]
    return chunks(panel, limit)


def score_panel(
    engine: Engine,
    panel: Panel,
    *,
    deadline: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> PanelScores:
    """All results of ``panel`` through ``engine``. A prompt beyond the context window is split in two, as often as it takes.

    Raises:
        PromptTooLong: a single result is too long.
        EngineError: from the engine, or an answer with too few or too many prompts.
        Cancelled, Overloaded: from the batcher.
    """
    prompts = prompts_for(engine, panel)
    while True:
        try:
            shown = tuple(prompt for prompt in prompts if prompt.slots)
            return PanelScores(_ask(engine, prompts, deadline, cancelled), shown)
        except PromptTooLong:
            most = max(len(prompt.slots) for prompt in prompts)
            if most <= 1:
                raise
            prompts = prompts_for(engine, panel, limit=(most + 1) // 2)


def score_prompts(engine: Engine, prompts: list[Prompt]) -> tuple[SlotScores, ...]:
    """The scores of all slots of one panel's prompts, in the order of its results.

    Raises:
        EngineError: from the engine.
    """
    return _ask(engine, prompts, None, lambda: False)


def _ask(
    engine: Engine, prompts: list[Prompt], deadline: float | None, cancelled: Callable[[], bool]
) -> tuple[SlotScores, ...]:
    asked = [prompt for prompt in prompts if prompt.slots]
    if not asked:
        return ()
    if isinstance(engine, Bounded):
        answers = engine.score_within(asked, deadline=deadline, cancelled=cancelled)
    else:
        answers = engine.score(asked)
    if len(answers) != len(asked):
        raise EngineAnswer
    return tuple(score for answer in answers for score in answer)
