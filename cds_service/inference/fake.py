"""A deterministic stand-in for a model, for tests only: it repeats what the prompt's own lines say. Never a default."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference.engine import SlotScores
from fhir_adapter.errors import EngineError
from fhir_adapter.prompt import LABELS, PROMPT_VERSION, Prompt

_QUOTED = re.compile(r'"[^"\n]*"')
_SIDE = re.compile(r"\] (above|below|inside|across)")
_CRITICAL = re.compile(r"; critical \[[^\]\n]*\] (above|below)")
_SURE = 0.94


class FakeEngine:
    """Answers from the text of each line: above is H, below L, past a critical limit HH or LL, an answer called abnormal A,
    all else N. The chosen label gets 0.94, each other one 0.01; where a line places its value nowhere, N gets 0.64 and A 0.31.

    ``failure``, if given, is raised by every ``score``.
    """

    def __init__(self, *, threshold: float = 0.5, failure: EngineError | None = None) -> None:
        self._threshold = threshold
        self._failure = failure

    @property
    def info(self) -> ModelInfo:
        """Name "fake": it shows in every answer that no model judged."""
        return ModelInfo("fake", "1", prompt_version=PROMPT_VERSION)

    @property
    def thresholds(self) -> Thresholds:
        """As given, 0.5 by default."""
        return Thresholds(self._threshold)

    def warm_up(self) -> None:
        """Nothing to load."""

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """One SlotScores per slot, by the rules above."""
        if self._failure is not None:
            raise self._failure
        return [
            tuple(SlotScores(slot.result, _probabilities(prompt.text, slot.end)) for slot in prompt.slots)
            for prompt in prompts
        ]


def _probabilities(text: str, end: int) -> tuple[float, ...]:
    line = _QUOTED.sub('""', text[text.rfind("\n", 0, end) + 1 : end])
    label = _label(line)
    if label is None:
        return _spread({"N": 0.64, "A": 0.31})
    return _spread({label: _SURE})


def _label(line: str) -> str | None:
    if critical := _CRITICAL.search(line):
        return "HH" if critical[1] == "above" else "LL"
    if side := _SIDE.search(line):
        return {"above": "H", "below": "L", "inside": "N"}.get(side[1])
    if ", abnormal answer" in line:
        return "A"
    if ", as expected" in line or ", normal answer" in line:
        return "N"
    return "A" if ", differs" in line else None


def _spread(given: dict[str, float]) -> tuple[float, ...]:
    rest = (1.0 - sum(given.values())) / (len(LABELS) - len(given))
    return tuple(given.get(label, rest) for label in LABELS)
