"""The true geometry of Mistral-7B, random weights in bf16, through the code that serves: that it fits and works, without a GPU."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from cds_service.domain import ModelInfo
from cds_service.inference.manifest import read_manifest
from cds_service.inference.mistral import MistralEngine
from cds_service.inference.shared import SharedModel
from cds_service.inference.weights import load_tokenizer
from fhir_adapter.prompt import PROMPT_VERSION, render
from tests.cds_service.inference.conftest import make_panel, sentencepiece_like_tokenizer

NEEDED_GIB = 17
LINEARS = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (4096, 1024),
    "self_attn.v_proj": (4096, 1024),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (4096, 14336),
    "mlp.up_proj": (4096, 14336),
    "mlp.down_proj": (14336, 4096),
}
"""As training/configs/mistral-7b-lora.yaml has them: all linear layers, inputs and outputs."""


def _free_gib() -> float:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    return 0.0


def _peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def build() -> Any:
    """The model with every tensor filled from one small random buffer: quick, and as large as the real one."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM
    from transformers.models.mistral.modeling_mistral import MistralRotaryEmbedding

    config = MistralConfig(
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=32768,
        sliding_window=4096,
        tie_word_embeddings=False,
        dtype=torch.bfloat16,
    )
    with torch.device("meta"):
        model = MistralForCausalLM(config).to(torch.bfloat16)
    model = model.to_empty(device="cpu").eval()
    model.model.rotary_emb = MistralRotaryEmbedding(config)
    torch.manual_seed(1)
    buffer = (torch.randn(1_000_003) * 0.02).to(torch.bfloat16)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("norm.weight"):
                tensor.fill_(1)
                continue
            flat = tensor.view(-1)
            for start in range(0, flat.numel(), len(buffer)):
                part = flat[start : start + len(buffer)]
                part.copy_(buffer[: len(part)])
    return model.requires_grad_(False)


def make_adapter(folder: Path) -> Path:
    """An adapter of rank 16 on all linear layers, written as training writes one."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    folder.mkdir()
    torch.manual_seed(2)
    names = sorted(name.split(".")[1] for name in LINEARS)
    LoraConfig(r=16, lora_alpha=32, target_modules=names, task_type="CAUSAL_LM").save_pretrained(folder)
    tensors = {}
    for layer in range(32):
        for name, (inputs, outputs) in LINEARS.items():
            key = f"base_model.model.model.layers.{layer}.{name}"
            tensors[f"{key}.lora_A.weight"] = (torch.randn(16, inputs) * 0.02).to(torch.bfloat16)
            tensors[f"{key}.lora_B.weight"] = (torch.randn(outputs, 16) * 0.02).to(torch.bfloat16)
    save_file(tensors, folder / "adapter_model.safetensors")
    manifest = {"name": "wide", "version": "1", "prompt_version": PROMPT_VERSION, "base": "mistral-7b"}
    (folder / "labcue.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_a_panel_of_twenty_through_mistral_7b_with_an_adapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = _free_gib()
    if free < NEEDED_GIB:
        pytest.skip(f"needs {NEEDED_GIB} GiB of free memory, there are {free:.1f}")
    import torch

    folder = tmp_path / "mistral-7b"
    folder.mkdir()
    sentencepiece_like_tokenizer().save(str(folder / "tokenizer.json"))
    base = {"name": "mistral-7b", "version": "0", "prompt_version": PROMPT_VERSION}
    (folder / "labcue.json").write_text(json.dumps(base))

    began = time.perf_counter()
    model = build()
    parameters = sum(tensor.numel() for tensor in model.parameters())
    built, held = time.perf_counter() - began, _peak_gib()
    assert parameters == 7_241_732_096
    shared = SharedModel(model, load_tokenizer(folder), folder)
    manifest = read_manifest(folder)
    engine = MistralEngine(shared, manifest, ModelInfo("mistral-7b", "0", prompt_version=PROMPT_VERSION))

    prompt = render(make_panel(20))
    tokens = len(engine.prepare([prompt])[0].ids)
    began = time.perf_counter()
    adapted = engine.load_adapter(make_adapter(tmp_path / "wide"))
    attached = time.perf_counter() - began
    began = time.perf_counter()
    [scores] = adapted.score([prompt])
    scored = time.perf_counter() - began

    assert adapted.info.adapter == "wide"
    assert len(scores) == 20
    for score in scores:
        assert abs(sum(score.probabilities) - 1) < 1e-4
        assert all(0 <= number <= 1 for number in score.probabilities)
    added = sum(tensor.numel() for name, tensor in model.named_parameters() if ".lora_" in name)
    assert added == 41_943_040
    with capsys.disabled():
        print(
            f"\n{parameters:,} parameters in bf16 and an adapter of {added:,}; built in {built:.0f} s, {held:.1f} GiB held; adapter read,"
            f" put in and tried in {attached:.0f} s; a panel of 20 results, {tokens} tokens, scored in {scored:.0f} s on"
            f" {torch.get_num_threads()} threads; {_peak_gib():.1f} GiB at the most"
        )
