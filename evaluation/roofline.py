"""What Mistral-7B can cost at best on some cards: the larger of arithmetic over peak and bytes over bandwidth.

    python -m evaluation.roofline

A bound from spec sheets, not a measurement: no card here was timed. `docs/inference-7b.md` quotes its output; a test holds the two
together.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

LAYERS, HIDDEN, FFN, HEADS, KV_HEADS, VOCABULARY = 32, 4096, 14336, 32, 8, 32000
HEAD = HIDDEN // HEADS
LINEAR = LAYERS * (2 * HIDDEN * HIDDEN + 2 * HIDDEN * KV_HEADS * HEAD + 3 * HIDDEN * FFN)
"""Parameters in the layers' matrices."""
HEAD_PARAMETERS = HIDDEN * VOCABULARY
PARAMETERS = LINEAR + 2 * HEAD_PARAMETERS + (2 * LAYERS + 1) * HIDDEN
KV_BYTES = 2 * LAYERS * KV_HEADS * HEAD * 2
"""Bytes of keys and values per token, in 16 bits."""
PROMPT, NOTE_PROMPT = 1065, 601
"""Tokens of a prompt of 20 results (prompt version 2), and of what is asked for a note on them, with the tokenizer of Mistral-7B-v0.1."""
SLOTS, NOTE = 20, 60
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Card:
    """As its maker's data sheet says: dense peak in TFLOP/s (16 bits) and TOP/s (int8), bandwidth in GB/s, memory in GB."""

    name: str
    tflops: float
    int8_tops: float
    bandwidth: float
    memory: int


CARDS = (
    Card("H100 SXM 80 GB", 989, 1979, 3350, 80),
    Card("A10 24 GB", 125, 250, 600, 24),
    Card("L4 24 GB", 121, 242, 300, 24),
    Card("T4 16 GB", 65, 130, 320, 16),
)


@dataclass(frozen=True, slots=True)
class Form:
    """Bytes a parameter of the layers; embeddings and head stay in 16 bits. ``int8``: the layers' arithmetic runs in int8."""

    name: str
    size: float
    int8: bool = False

    @property
    def weights(self) -> float:
        return LINEAR * self.size + 2 * HEAD_PARAMETERS * 2


FORMS = (Form("bf16", 2.0), Form("int8", 1.0, int8=True), Form("4-bit", 0.5 + 1 / 64 + 4 / 64 / 256))
"""4-bit is NF4 with doubly quantized scales: one byte for 64 weights, four for 256 of those; it computes in 16 bits."""


def prefill_flops(tokens: int) -> float:
    """Of one pass over a prompt with the head at the slots alone."""
    attention = LAYERS * 2 * HEADS * HEAD * tokens * (tokens + 1)  # scores and values, causal half of each
    return 2 * LINEAR * tokens + attention + 2 * HEAD_PARAMETERS * SLOTS


def prefill_s(card: Card, form: Form, tokens: int = PROMPT) -> float:
    """Flags of one panel: seconds, at best."""
    peak = (card.int8_tops if form.int8 else card.tflops) * 1e12
    return max(prefill_flops(tokens) / peak, form.weights / (card.bandwidth * 1e9))


def note_s(card: Card, form: Form) -> float:
    """A note on one panel: its own prompt is read first, since it is another text than the one that flags."""
    return prefill_s(card, form, NOTE_PROMPT) + decode_s(card, form)


def decode_s(card: Card, form: Form, tokens: int = NOTE, before: int = NOTE_PROMPT) -> float:
    """A note of ``tokens`` tokens: each reads all weights and what is cached so far."""
    cached = KV_BYTES * sum(range(before, before + tokens))
    read = (form.weights - HEAD_PARAMETERS * 2) * tokens  # of the embeddings one row a token
    return (read + cached) / (card.bandwidth * 1e9)


def memory_gib(form: Form, tokens: int = PROMPT + NOTE) -> float:
    """Weights and cache of one panel."""
    return (form.weights + KV_BYTES * tokens) / GIB


def table() -> str:
    """The Markdown table of docs/inference-7b.md."""
    lines = [
        "| card | weights | memory, GiB | flags of 20 results, ms | panels a second | note of 60 tokens, ms |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for card in CARDS:
        for form in FORMS:
            fits = memory_gib(form) * GIB <= card.memory * 1e9 * 0.95
            flags, note = prefill_s(card, form), note_s(card, form)
            cells = (
                (f"{flags * 1e3:.0f}", f"{1 / flags:.0f}" if flags < 0.1 else f"{1 / flags:.1f}", f"{note * 1e3:.0f}")
                if fits
                else ("does not fit", "", "")
            )
            lines.append(f"| {card.name} | {form.name} | {memory_gib(form):.1f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Bounds from spec sheets for Mistral-7B.")
    parser.parse_args()
    print(table())


if __name__ == "__main__":
    main()
