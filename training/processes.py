"""Several processes at one run, as `accelerate launch` and `torchrun` start them: which this one is, what is shared out, whose word counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def count() -> int:
    """How many processes train together; 1 where no launcher started us."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def of_this_machine() -> int:
    """How many of them share this machine and its memory."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def on_this_machine() -> int:
    """The number of this one among them, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def rank() -> int:
    """The number of this one, from 0."""
    return int(os.environ.get("RANK", "0"))


def first() -> bool:
    """Whether this one speaks and writes for all."""
    return rank() == 0


def sharded() -> str:
    """What the processes share out among them, from the launcher's configuration: "nothing" (each holds the whole), "moments" (the
    optimiser's), "gradients" (and moments), or "weights" (and all the rest)."""
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        return "weights"
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() == "true":
        stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        return {"0": "nothing", "1": "moments", "3": "weights"}.get(stage, "gradients")
    return "nothing"


def together() -> bool:
    """Whether they are connected: from here on a model's forward is a common act."""
    import torch

    return bool(torch.distributed.is_available() and torch.distributed.is_initialized())


def gathered(mine: dict[Any, Any]) -> dict[Any, Any]:
    """Every process's part in one."""
    import torch

    if not together():
        return mine
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, mine)
    return {key: value for part in parts for key, value in part.items()}


def whole_state(model: Any, wanted: Callable[[str], bool], engine: Any = None) -> dict[str, Any]:
    """The model's weights with each in one piece, on the CPU of the first process (empty in the others). All have to call it.

    ``engine``: DeepSpeed's, where its third stage holds the weights.
    """
    if engine is not None and engine.zero_optimization_partition_weights():
        state = engine._zero3_consolidated_16bit_state_dict() or {}
        return {name: tensor for name, tensor in state.items() if wanted(name)} if first() else {}
    kept: dict[str, Any] = {}
    for name, tensor in model.named_parameters():  # a weight that is tied comes once
        if not wanted(name):
            continue
        # FSDP 2 leaves each process its shard of a DTensor.
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        if first():
            kept[name] = whole.detach().cpu()
    return kept


def wait() -> None:
    """Until all processes are here."""
    import torch

    if together():
        torch.distributed.barrier()


def leave() -> None:
    """Ends the connection; without it, a process complains as it ends."""
    import torch

    if together():
        torch.distributed.destroy_process_group()
