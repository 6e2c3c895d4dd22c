"""bf16 weights on a CPU that computes no bf16: held in 16 bits, computed in fp32.

Without AVX-512 or AMX, torch multiplies bf16 matrices many times slower than fp32 ones. So each layer's weights are widened when it is
their turn, for the length of one multiplication: the memory of bf16, the speed of fp32, and its rounding.
"""

from __future__ import annotations

from types import MethodType
from typing import Any


def needed(device: str, dtype: Any) -> bool:
    """Whether ``dtype`` on ``device`` is bf16 or fp16 on a CPU without instructions for it."""
    import torch

    if not device.startswith("cpu") or dtype not in (torch.bfloat16, torch.float16):
        return False
    native = (
        torch.ops.mkldnn._is_mkldnn_bf16_supported
        if dtype == torch.bfloat16
        else torch.ops.mkldnn._is_mkldnn_fp16_supported
    )
    return not native()


def widen(model: Any) -> None:
    """Makes every linear layer of ``model`` that is held in 16 bits compute in fp32, adapters' too; embeddings give fp32."""
    import torch

    narrow = (torch.bfloat16, torch.float16)
    for module in model.modules():
        if type(module) is torch.nn.Linear and module.weight.dtype in narrow:
            module.__dict__["forward"] = MethodType(_linear, module)
        elif type(module) is torch.nn.Embedding and module.weight.dtype in narrow:
            module.__dict__["forward"] = MethodType(_embedding, module)


def _linear(self: Any, given: Any) -> Any:
    import torch

    bias = None if self.bias is None else self.bias.float()
    return torch.nn.functional.linear(given.float(), self.weight.float(), bias)


def _embedding(self: Any, ids: Any) -> Any:
    import torch

    return torch.nn.functional.embedding(ids, self.weight, self.padding_idx).float()
