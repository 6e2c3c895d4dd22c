"""What a run would need, before it is started: parameters, steps, memory; and a word where that can't fit."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from training import build, processes
from training.config import Config
from training.examples import DataError

MISTRAL_7B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 32000,
    "num_key_value_heads": 8,
    "num_attention_heads": 32,
}
"""mistralai/Mistral-7B-v0.1's config.json, for a plan where the base isn't on this machine."""


def plan(config: Config) -> dict[str, Any]:
    """What a run would do, without doing it: parameters, steps, memory in GiB for each process (an estimate from below).

    Raises:
        DataError: the dataset or the base's config.json can't be read.
    """
    dataset = build.load_manifest(config.data)
    splits = dataset["splits"]["train"]
    examples = sum(
        one["results" if config.one_result else "examples"]
        for source, one in splits.items()
        if config.sources is None or source in config.sources
    )
    optimiser = config.optimiser
    together = processes.count()
    per_step = optimiser.per_device_train_batch_size * optimiser.gradient_accumulation_steps * together
    steps = (
        optimiser.max_steps if optimiser.max_steps > 0 else math.ceil(examples / per_step * optimiser.num_train_epochs)
    )
    total, trained = parameters(config)
    return {
        "parameters": total,
        "trained_parameters": trained,
        "examples": examples,
        "examples_a_step": per_step,
        "steps": steps,
        "processes": together,
        "memory_gib": round(_bytes(config, total, trained) / 2**30 + 1.0, 2),
    }


def _bytes(config: Config, total: int, trained: int) -> float:
    """What one process holds: weights and, for what is trained, gradients and AdamW's two moments in fp32; its part of what the
    processes share out."""
    quantized = config.quantization == "4bit"
    weights = total * ((0.55 if quantized else 2.0) if config.lora is not None else 4.0)
    gradients, moments = trained * 4.0, trained * 8.0
    shared, each = processes.sharded(), processes.count()
    return (
        # Four-bit weights aren't shared out: their bytes are no numbers that could be cut anywhere.
        weights / (each if shared == "weights" and not quantized else 1)
        + gradients / (each if shared in ("weights", "gradients") else 1)
        + moments / (each if shared != "nothing" else 1)
    )


def parameters(config: Config) -> tuple[int, int]:
    """All parameters and the trained ones, from the shape alone."""
    if config.new is not None:
        shape = config.new
        hidden, inner, layers, vocabulary = shape.hidden_size, shape.intermediate_size, shape.layers, shape.vocabulary
        kv, tied = hidden * shape.kv_heads // shape.heads, 1
    else:
        file = Path(config.base or "") / "config.json"
        try:
            base = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else MISTRAL_7B
        except (OSError, ValueError):
            raise DataError(f"{file}: is not JSON") from None
        missing = [name for name in MISTRAL_7B if not isinstance(base, dict) or not isinstance(base.get(name), int)]
        if missing:
            raise DataError(f"{file}: is no Mistral's configuration, it lacks {', '.join(missing)}")
        hidden, inner, layers, vocabulary = (
            base[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
        )
        kv = hidden * base["num_key_value_heads"] // base["num_attention_heads"]
        tied = 1 if base.get("tie_word_embeddings") else 2
    linears = [
        (hidden, hidden),
        (hidden, kv),
        (hidden, kv),
        (hidden, hidden),
        (hidden, inner),
        (hidden, inner),
        (inner, hidden),
    ]
    total = layers * (sum(a * b for a, b in linears) + 2 * hidden) + tied * vocabulary * hidden + hidden
    if config.lora is None:
        return total, total
    trained = layers * sum(config.lora.r * (a + b) for a, b in linears)
    return total + trained, trained


def memory_gib() -> float | None:
    """Memory of the device that would train: this process's GPU's, else its part of the machine's."""
    import torch

    if torch.cuda.is_available():
        card = processes.on_this_machine() % torch.cuda.device_count()
        return float(torch.cuda.get_device_properties(card).total_memory) / 2**30
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 / processes.of_this_machine()
    except (ValueError, OSError):
        return None
