"""Engines that do as a test tells them, and whose answers show which panel, and which model, they belong to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference.engine import SlotScores
from fhir_adapter.errors import EngineError
from fhir_adapter.model import Panel, PanelResult, Patient, Quantity, Result
from fhir_adapter.prompt import LABELS, PROMPT_VERSION, Prompt, render

_NUMBER = re.compile(r": ([0-9.]+)")


def prompt_of(*numbers: float) -> Prompt:
    """A prompt of one result for each number."""
    results = tuple(
        PanelResult(Result("", "", (), "K", Quantity(number, "mmol/L")), display="K", number=number)
        for number in numbers
    )
    return render(Panel(Patient(), results, (), len(results)))


def numbers_in(prompt: Prompt) -> list[float]:
    """The value on each line that ends in a slot."""
    lines = (prompt.text[prompt.text.rfind("\n", 0, slot.end) + 1 : slot.end] for slot in prompt.slots)
    return [float(found[1]) for line in lines if (found := _NUMBER.search(line))]


def abnormal(number: float, version: int = 1) -> float:
    """The probability that :class:`Telling` gives to a value: no two values or versions share one by accident."""
    return ((number * 7919 + version * 104729) % 9973) / 9973


class Telling:
    """Answers each slot by its number and its own version. ``passes`` are the numbers of each pass, in order. While ``gate`` is
    closed a pass blocks; ``entered`` counts those that began. ``fault`` sees the prompts of a pass and may raise."""

    def __init__(self, fault: Callable[[Sequence[Prompt]], None] = lambda prompts: None, *, version: int = 1) -> None:
        self.version = version
        self.fault = fault
        self.passes: list[list[list[float]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.freed = 0
        self.threads: set[int] = set()
        self.alter: Callable[[list[tuple[SlotScores, ...]]], list[tuple[SlotScores, ...]]] = lambda answers: answers

    @property
    def info(self) -> ModelInfo:
        return ModelInfo("telling", str(self.version), prompt_version=PROMPT_VERSION)

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.version / 1000)

    def warm_up(self) -> None:
        self.score([prompt_of(1)])

    def free_memory(self) -> None:
        self.freed += 1

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        self.threads.add(threading.get_ident())
        self.passes.append([numbers_in(prompt) for prompt in prompts])
        self.entered.release()
        self.gate.wait()
        self.fault(prompts)
        return self.alter(
            [
                tuple(
                    SlotScores(slot.result, spread(abnormal(number, self.version)))
                    for slot, number in zip(prompt.slots, numbers_in(prompt), strict=True)
                )
                for prompt in prompts
            ]
        )


def spread(share: float) -> tuple[float, ...]:
    """Probabilities with so much on what isn't normal."""
    return (1 - share, *((share / (len(LABELS) - 1),) * (len(LABELS) - 1)))


def poison(*bad: float, error: type[Exception] = EngineError) -> Callable[[Sequence[Prompt]], None]:
    """A fault: any pass with one of these numbers fails."""

    def check(prompts: Sequence[Prompt]) -> None:
        if any(number in bad for prompt in prompts for number in numbers_in(prompt)):
            raise error("secret 6.9")

    return check
