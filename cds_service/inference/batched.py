"""An engine behind a batcher: what the pipeline asks in place of the model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference.batcher import Batcher
from cds_service.inference.engine import Engine, SlotScores
from fhir_adapter.prompt import Prompt


class Batched:
    """``engine`` for many threads at once. Engines that share a model (its adapters) are put behind one ``batcher``, each by a
    Batched of its own."""

    def __init__(self, engine: Engine, batcher: Batcher) -> None:
        self.engine, self.batcher = engine, batcher

    @property
    def info(self) -> ModelInfo:
        """As the engine's."""
        return self.engine.info

    @property
    def thresholds(self) -> Thresholds:
        """As the engine's."""
        return self.engine.thresholds

    @property
    def max_results(self) -> int | None:
        """Most results in one prompt; None for no limit."""
        limit = getattr(self.engine, "max_results", None)
        return limit if isinstance(limit, int) else None

    @property
    def healthy(self) -> bool:
        """As the batcher's."""
        return self.batcher.healthy

    def warm_up(self) -> None:
        """In the model's own thread.

        Raises:
            EngineError: from the engine.
        """
        self.batcher.exclusively(self.engine.warm_up)

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """As :meth:`score_within`, for callers with time."""
        return self.score_within(prompts, deadline=None, cancelled=lambda: False)

    def score_within(
        self, prompts: Sequence[Prompt], *, deadline: float | None, cancelled: Callable[[], bool]
    ) -> list[tuple[SlotScores, ...]]:
        """As :meth:`cds_service.inference.batcher.Batcher.score`."""
        return self.batcher.score(self.engine, prompts, deadline=deadline, cancelled=cancelled)

    def close(self) -> None:
        """Ends the batcher's thread."""
        self.batcher.close()
