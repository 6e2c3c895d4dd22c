"""One pass through the model, whatever happens in it: each row ends in its own scores or its own error."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

from cds_service.inference.engine import Prepared, SlotScores
from fhir_adapter.errors import EngineAnswer, EngineError, EngineMemory, EngineStopped
from fhir_adapter.prompt import LABELS

log = logging.getLogger(__name__)

Outcome = tuple[SlotScores, ...] | EngineError
Score = Callable[[Sequence[Prepared]], list[tuple[SlotScores, ...]]]
PATIENCE = 4
"""Rows that fail alone, none having succeeded, after which the rest is tried once more together and not taken apart."""


def judge(
    rows: Sequence[Prepared],
    score: Score,
    *,
    free_memory: Callable[[], None] = lambda: None,
    wanted: Callable[[int], bool] = lambda index: True,
) -> list[Outcome | None]:
    """Scores ``rows`` together; where that fails, halves, and halves of halves, so that one bad row costs only itself.

    ``wanted`` is asked again before each further try; a row that nobody wants any more gets None.

    Raises:
        EngineStopped: from the engine: it will answer nothing more.
    """
    outcomes: list[Outcome | None] = [None] * len(rows)
    groups = [list(range(len(rows)))]
    alone, succeeded, tries = 0, False, 0
    while groups:
        group = groups.pop()
        if tries:
            group = [index for index in group if wanted(index)]
        if not group:
            continue
        tries += 1
        answers, failure = _attempt(score, [rows[index] for index in group])
        # Outside the except block: no traceback holds the failed pass's tensors any more.
        if failure is None:
            succeeded = True
            for index, answer in zip(group, answers, strict=True):
                outcomes[index] = answer if sound(answer, rows[index]) else EngineAnswer()
            continue
        if isinstance(failure, EngineMemory):
            free_memory()
        if len(group) == 1 or (alone >= PATIENCE and not succeeded):
            alone += len(group) == 1
            for index in group:
                outcomes[index] = failure
            continue
        middle = len(group) // 2
        groups += [group[middle:], group[:middle]]
    return outcomes


def _attempt(score: Score, rows: Sequence[Prepared]) -> tuple[list[tuple[SlotScores, ...]], EngineError | None]:
    try:
        answers = score(rows)
        if len(answers) == len(rows):
            return answers, None
        failure: EngineError = EngineAnswer()
    except EngineStopped:
        raise
    except EngineError as error:
        failure = error
    except MemoryError:
        failure = EngineMemory()
    except Exception as error:  # whatever a model does, the other panels still get their answers
        log.error("engine failed: %s", type(error).__name__)
        failure = EngineError()
    failure.__traceback__ = failure.__context__ = None
    return [], failure


def sound(scores: Sequence[SlotScores], row: Prepared) -> bool:
    """Whether these are probabilities over LABELS for exactly this row's slots, in their order."""
    slots = row.prompt.slots
    return len(scores) == len(slots) and all(
        score.slot == slot.result
        and len(score.probabilities) == len(LABELS)
        and all(math.isfinite(number) and number >= -1e-6 for number in score.probabilities)
        and abs(sum(score.probabilities) - 1) <= 1e-3
        for score, slot in zip(scores, slots, strict=True)
    )
