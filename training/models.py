"""The Mistral that is trained and its tokenizer: a new one from nothing, or a base with LoRA, whole or in 4 bits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_tokenizer
from fhir_adapter import catalog as catalogs
from fhir_adapter.errors import LabCueError
from fhir_adapter.prompt import LABELS
from training.config import Config, NewModel
from training.examples import DataError, Example
from training.tokenizer import LABEL_TOKENS, new_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NUMBER = re.compile(r"Ġ?([+-]\d\.\d|[+-]\d\d)")
"""A token that is a number, as the tokenizer cuts them (:mod:`training.tokenizer`); Ġ is byte-level BPE's space."""


def load(config: Config, train: Sequence[Example]) -> tuple[Tokenizer, Any]:
    import transformers

    if config.new is not None:
        tokenizer = new_tokenizer(
            catalogs.load(), (example.prompt for example in train[::4]), config.new.vocabulary, config.new.lens
        )
        new = new_model(config.new, tokenizer.get_vocab_size())
        lay_out_numbers(new, tokenizer, config.new.init)
        return tokenizer, new
    assert config.base is not None
    folder = Path(config.base)
    options: dict[str, Any] = {"dtype": _dtype()}
    if config.quantization == "4bit":
        quantize: Any = transformers.BitsAndBytesConfig
        options["quantization_config"] = quantize(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=_dtype(),
            bnb_4bit_use_double_quant=True,
        )
    try:
        if not folder.is_dir():
            from huggingface_hub import snapshot_download

            folder = Path(snapshot_download(config.base, allow_patterns=["*.safetensors", "*.json", "tokenizer*"]))
        model: Any = transformers.MistralForCausalLM.from_pretrained(str(folder), use_safetensors=True, **options)
    except Exception as error:
        raise DataError(f"base {config.base}: can't be loaded ({type(error).__name__})") from None
    try:
        tokenizer = load_tokenizer(folder)
    except LabCueError as error:
        raise DataError(str(error)) from None
    if tokenizer.get_vocab_size() > model.config.vocab_size:
        raise DataError(
            f"{folder / 'tokenizer.json'}: has {tokenizer.get_vocab_size():,} entries and the model {model.config.vocab_size:,}: "
            f"it belongs to another model"
        )
    if config.lora is not None:
        import peft

        if config.quantization != "none":
            prepare: Any = peft.prepare_model_for_kbit_training
            model = prepare(model, config.optimiser.gradient_checkpointing)
        shape = peft.LoraConfig(
            r=config.lora.r,
            lora_alpha=config.lora.alpha,
            lora_dropout=config.lora.dropout,
            target_modules=config.lora.target_modules,
            task_type="CAUSAL_LM",
        )
        model = peft.get_peft_model(model, shape)
        if config.optimiser.gradient_checkpointing:
            model.enable_input_require_grads()
    return (
        tokenizer,
        model,
    )  # Trainer places it: among several processes each has a card of its own, or a share of the weights


def new_model(shape: NewModel, vocabulary: int) -> Any:
    """A MistralForCausalLM with random weights."""
    import transformers

    return transformers.MistralForCausalLM(
        transformers.MistralConfig(
            vocab_size=vocabulary,
            hidden_size=shape.hidden_size,
            intermediate_size=shape.intermediate_size,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=shape.positions,
            sliding_window=None,
            initializer_range=shape.init,
            attention_dropout=shape.dropout,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=None,
            pad_token_id=None,
        )
    )


def _dtype() -> Any:
    import torch

    return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def lay_out_numbers(model: Any, tokenizer: Tokenizer, init: float) -> None:
    """Gives the tokens of numbers ("+0.4", "-1.2") first embeddings in which near numbers lie near each other: random Fourier features of the
    number (Rahimi and Recht, NIPS 2007), as large as the others (``init``). Else +0.8 is at first as far from +0.9 as from any word, and what is
    learnt of the one says nothing of the other."""
    import torch

    written = {token: _NUMBER.fullmatch(text) for text, token in tokenizer.get_vocab().items()}
    numbers = {token: float(found[1]) for token, found in written.items() if found is not None}
    if not numbers:
        return
    weight = model.get_input_embeddings().weight
    width = weight.shape[1]
    waves = torch.exp(torch.empty(width).uniform_(math.log(0.2), math.log(15.0)))
    starts = torch.empty(width).uniform_(0, 2 * math.pi)
    values = torch.tensor(list(numbers.values()))[:, None]
    with torch.no_grad():
        weight[list(numbers)] = math.sqrt(2) * init * torch.cos(values * waves + starts)


def label_tokens(config: Config, tokenizer: Tokenizer) -> dict[str, str]:
    """The vocabulary entry for each label; empty where each label is one token as it is written.

    A vocabulary that lacks one (" HH", say) lends its entries for control bytes, which no prompt holds.
    """
    if config.new is not None:
        return LABEL_TOKENS
    beside = Path(config.base or "") / "labcue.json"
    if beside.is_file():
        known: dict[str, str] = json.loads(beside.read_text(encoding="utf-8")).get("label_tokens", {})
        if known:
            return known
    try:
        label_ids(tokenizer)
    except LabCueError:
        lent = {label: f"<0x{number:02X}>" for number, label in enumerate(LABELS, start=1)}
        if any(tokenizer.token_to_id(token) is None for token in lent.values()):
            raise DataError(
                f"base {config.base}: its vocabulary has neither the labels nor byte entries; name its label_tokens in labcue.json beside it"
            ) from None
        return lent
    return {}
