"""The Engine protocol: a probability for each label at each slot of each prompt; and what an engine may offer beyond it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt as tokens: ``ids``, and ``at``, the index in them of each slot's last token, in the order of the slots. ``head``: how many
    of the first tokens say who the patient is, as in the other prompts of a panel."""

    prompt: Prompt
    ids: Sequence[int]
    at: Sequence[int]
    head: int = 0


class Engine(Protocol):
    """Scores panels. ``score`` blocks; one thread at a time calls it, that of :mod:`cds_service.inference.batcher`."""

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


@runtime_checkable
class Prepares(Protocol):
    """An engine whose prompts can be made tokens in the thread that brings them, so that the model's own thread only computes
    and a batch is packed by the tokens that are in it."""

    def prepare(self, prompts: Sequence[Prompt]) -> list[Prepared]:
        """Those of one caller, in order. Safe from any thread, whatever the engine does meanwhile.

        Raises:
            PromptTooLong: beyond the context window.
            EngineError: a prompt that this model can't read.
        """
        ...

    def score_prepared(self, rows: Sequence[Prepared]) -> list[tuple[SlotScores, ...]]:
        """As :meth:`Engine.score`."""
        ...


@runtime_checkable
class FreesMemory(Protocol):
    """An engine that can give memory back after it ran out."""

    def free_memory(self) -> None: ...


@runtime_checkable
class PrefersSize(Protocol):
    """An engine that gains nothing from passes beyond a size: those behind would only wait longer."""

    @property
    def pass_tokens(self) -> int:
        """Tokens of one pass, at most."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """What answers a caller inside its deadline: the batcher, or an engine that has a queue of its own elsewhere."""

    def score_within(
        self, prompts: Sequence[Prompt], *, deadline: float | None, cancelled: Callable[[], bool]
    ) -> list[tuple[SlotScores, ...]]:
        """As :meth:`Engine.score`, by ``deadline`` (``time.monotonic``), or an error by then.

        Raises:
            EngineError: the model failed, or has no answer in time.
            Cancelled: the caller has gone.
            Overloaded: no room for one more caller.
        """
        ...
