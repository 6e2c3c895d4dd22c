"""The Engine protocol: a probability for each label at each slot of each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cds_service.domain import ModelInfo, Thresholds
from fhir_adapter.prompt import Prompt


@dataclass(frozen=True, slots=True)
class SlotScores:
    """Probabilities over :data:`fhir_adapter.prompt.LABELS`, in that order, that sum to one.
    ``slot`` is the panel result's index, as in ``Prompt.slots``."""

    slot: int
    probabilities: tuple[float, ...]

    @property
    def abnormal(self) -> float:
        """Probability that the result is not normal (1 - P("N"))."""
        return 1.0 - self.probabilities[0]


class Engine(Protocol):
    """Scores panels. ``score`` blocks; the pipeline runs it in a worker thread."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def thresholds(self) -> Thresholds:
        """P(abnormal) at and above which the policy flags, fitted on validation data."""
        ...

    def warm_up(self) -> None:
        """Load and run once, so that the first request is as fast as the next."""
        ...

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """One tuple per prompt, one SlotScores per slot, in order.

        Raises:
            EngineError: the model failed, or answered something that isn't a probability.
        """
        ...
