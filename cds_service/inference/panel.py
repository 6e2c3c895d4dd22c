"""A whole panel through an engine, in as many prompts as the engine's limit asks for."""

from __future__ import annotations

from cds_service.inference.engine import Engine, SlotScores
from fhir_adapter.model import Panel
from fhir_adapter.prompt import Prompt, chunks, render


def prompts_for(engine: Engine, panel: Panel) -> list[Prompt]:
    """The prompts that ``engine`` is to be shown: one, or several of at most its ``max_results`` results each (an attribute
    an engine may have; :class:`cds_service.inference.mistral.MistralEngine` takes it from its manifest)."""
    limit = getattr(engine, "max_results", None)
    if not isinstance(limit, int) or len(panel.results) <= limit:
        return [render(panel)]
    return chunks(panel, limit)


def score_prompts(engine: Engine, prompts: list[Prompt]) -> tuple[SlotScores, ...]:
    """The scores of all slots of one panel's prompts, in the order of its results.

    Raises:
        EngineError: from the engine.
    """
    asked = [prompt for prompt in prompts if prompt.slots]
    if not asked:
        return ()
    return tuple(score for scores in engine.score(asked) for score in scores)
