"""Prompts as tokens, and tokens as rows of one pass: what every engine with a tokenizer of its own shares. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cds_service.inference.engine import Prepared, SlotScores
from cds_service.inference.manifest import Manifest
from cds_service.inference.slots import slot_tokens
from fhir_adapter.errors import EngineError, PromptTooLong
from fhir_adapter.model import Interval, Panel, PanelResult, Patient, Quantity, Result
from fhir_adapter.prompt import Prompt, render

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SHORT = 1000
"""Characters of a prompt of one result or a few."""


def prepare(prompts: Sequence[Prompt], tokenizer: Tokenizer, manifest: Manifest, longest: int) -> list[Prepared]:
    """The prompts as tokens, at most ``longest`` of them each.

    Raises:
        PromptTooLong: more than that; nothing is cut off.
        EngineError: another prompt version than the model's, or a tokenizer that loses a slot.
    """
    if any(prompt.version != manifest.prompt_version for prompt in prompts):
        raise EngineError("the model was trained on another prompt version")
    texts = [prompt.text for prompt in prompts]
    # encode() keeps Python's lock, encode_batch() lets others go on meanwhile: worth it for a panel's millisecond; for one result's 50 µs,
    # getting the lock back takes longer than that among busy threads.
    short = sum(map(len, texts)) <= SHORT
    encodings = [tokenizer.encode(text) for text in texts] if short else tokenizer.encode_batch(texts)
    prepared = []
    for prompt, encoding in zip(prompts, encodings, strict=True):
        ids, offsets = encoding.ids, encoding.offsets
        if len(ids) > longest:
            raise PromptTooLong
        prepared.append(Prepared(prompt, ids, slot_tokens(prompt, offsets), _head(prompt, offsets)))
    return prepared


def _head(prompt: Prompt, offsets: Sequence[tuple[int, int]]) -> int:
    """How many tokens end on the prompt's first line, which says who the patient is; at least one, and the one that begins a text counts."""
    end = prompt.text.find("\n")
    return max(1, next((number for number, (_, stop) in enumerate(offsets) if stop > end), 1))


def passes(lengths: Sequence[int], tokens: int, waste: float) -> list[list[int]]:
    """Indices of rows of so many tokens in groups for one pass each, shortest first: at most ``tokens`` tokens with their padding (a
    longer row goes alone), of which at most the share ``waste`` is padding."""
    groups: list[list[int]] = []
    real = 0
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        width = lengths[index]
        if groups:
            padded = (len(groups[-1]) + 1) * width
            if padded <= tokens and padded - (real + width) <= waste * padded:
                groups[-1].append(index)
                real += width
                continue
        groups.append([index])
        real = width
    return groups


def scores(row: Prepared, probabilities: Sequence[Sequence[float]]) -> tuple[SlotScores, ...]:
    """One row's answer from its slots' probabilities."""
    return tuple(
        SlotScores(slot.result, tuple(numbers)) for slot, numbers in zip(row.prompt.slots, probabilities, strict=True)
    )


def sample(results: int = 1) -> Prompt:
    """A made prompt of so many results, to warm an engine up with."""
    interval = Interval(3.5, 5.1, "mmol/L", "lab")
    placed = PanelResult(
        Result("", "", (), "Potassium", Quantity(4.1, "mmol/L")),
        display="Potassium",
        number=4.1,
        unit="mmol/L",
        interval=interval,
        position=-0.25,
    )
    return render(Panel(Patient(), (placed,) * results, (), results))
