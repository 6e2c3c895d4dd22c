"""A tiny random Mistral with a byte-level BPE tokenizer, made here and loaded as a real one would be."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from fhir_adapter.model import Answer, Interval, Panel, PanelResult, Patient, Quantity, Result
from fhir_adapter.prompt import LABELS, PROMPT_VERSION, render

MANIFEST = {"name": "tiny", "version": "0.1", "prompt_version": PROMPT_VERSION, "threshold": 0.4, "temperature": 1.5}


def make_panel(count: int, *, seed: int = 0) -> Panel:
    """``count`` results of different names, values and kinds."""
    results = []
    for number in range(count):
        key = (number * 7 + seed * 13) % 29
        name = f"Test {key}é" if number % 3 else "Potassium"
        if number % 5 == 4:
            result = Result("", "", (), name, Answer("Positive" if key % 2 else "trace"))
            results.append(PanelResult(result, display=name, expected=("negative",)))
            continue
        interval = Interval(3.5, 5.1, "mmol/L", "lab") if number % 2 else None
        result = Result("", "", (), name, Quantity(2 + key / 4, "mmol/L"))
        results.append(
            PanelResult(result, display=name, number=2 + key / 4, unit="mmol/L", interval=interval, age_years=40 + seed)
        )
    return Panel(Patient(sex="female"), tuple(results), (), count)


def byte_level_tokenizer(labels: tuple[str, ...] = LABELS, vocab_size: int = 420) -> Tokenizer:
    """A byte-level BPE as large models use, trained on prompts; the labels are whole tokens with their space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    corpus = [render(make_panel(20, seed=seed)).text for seed in range(3)] + [f" {label}" * 500 for label in labels]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def word_level_tokenizer() -> Tokenizer:
    """Words and signs, with an unknown word: a vocabulary in which only the slot and the labels are sure to stand."""
    words = ["<unk>", "<s>", "</s>", "=>", *LABELS, "Potassium", ":", "4", ".", "1"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split("=>", "isolated"),
            pre_tokenizers.Punctuation("contiguous"),
        ]
    )
    return tokenizer


def sentencepiece_like_tokenizer() -> Tokenizer:
    """As Mistral-7B-v0.1's: BPE over the whole text with "▁" for spaces, bytes for what has no piece, "<s>" in front."""
    from tokenizers import normalizers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    corpus = [f"▁{label}" for label in LABELS for _ in range(9)] + ["▁=>"] * 9
    corpus += [word for line in render(make_panel(20)).text.split("\n") for word in line.replace(" ", " ▁").split(" ")]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)]],
        show_progress=False,
    )
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.train_from_iterator(corpus, trainer)
    data = json.loads(trained.to_str())
    data["normalizer"] = json.loads(tokenizer.to_str())["normalizer"]
    data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < 3]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.add_special_tokens([AddedToken("<s>", special=True, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder: config, weights, tokenizer, manifest. Read only: tests that spoil it use ``copy``."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = byte_level_tokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(7)
    config = MistralConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
        sliding_window=None,
        tie_word_embeddings=False,
        initializer_range=0.3,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    (folder / "labcue.json").write_text(json.dumps(MANIFEST))
    return folder


@pytest.fixture(scope="session")
def tiny_adapter(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A LoRA adapter's folder, whose weights are not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import MistralForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(11)
    lora = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads a deprecated attribute of transformers
        get_peft_model(MistralForCausalLM.from_pretrained(tiny_folder), lora).save_pretrained(folder)
    manifest = {**MANIFEST, "name": "tiny-lora", "base": "tiny", "version": "0.2", "threshold": 0.3, "temperature": 1.0}
    (folder / "labcue.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a folder, so that it can be spoilt."""

    def made(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / folder.name))

    return made


@pytest.fixture(scope="session")
def engine(tiny_folder: Path) -> Any:
    """The tiny model as an engine."""
    from cds_service.inference.mistral import load_mistral

    return load_mistral(tiny_folder, device="cpu")
