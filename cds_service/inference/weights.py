"""Loads a Mistral, its tokenizer and a LoRA adapter from folders: local files, safetensors, no code of theirs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from cds_service.inference.manifest import refuse
from fhir_adapter.errors import ConfigError, EngineNotLoaded, Violation

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def check_folder(folder: Path, config: str, weights: str, where: str) -> dict[str, Any]:
    """``folder/config`` as a dict, once it is certain that weights matching the glob ``weights`` lie beside it.

    Raises:
        ConfigError: a file is missing or isn't a JSON object; weights in another format than safetensors don't count.
    """
    if not folder.is_dir():
        raise refuse(folder, "is not a folder", where)
    data = read_object(folder / config, where)
    if not any(folder.glob(weights)):
        raise refuse(folder, f"holds no {weights}; other formats than safetensors are not loaded", where)
    return data


def read_object(file: Path, where: str) -> dict[str, Any]:
    """A JSON object from a file; ConfigError where it isn't one."""
    try:
        data = orjson.loads(file.read_bytes())
    except OSError:
        raise refuse(file, "can't be read", where) from None
    except orjson.JSONDecodeError:
        raise refuse(file, "is not JSON", where) from None
    if not isinstance(data, dict):
        raise refuse(file, "is not a JSON object", where)
    return data


def load_tokenizer(folder: Path) -> Tokenizer:
    """``folder/tokenizer.json``. Special tokens written in a text are encoded as text, so that no text can hold one.

    Raises:
        ConfigError: missing, or not a tokenizer.
    """
    from tokenizers import Tokenizer

    # Each request is encoded in its own thread: one more pool of threads would only add a hop.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise refuse(file, "is missing; a fast tokenizer is needed")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # the library raises bare Exception
        raise refuse(file, "is not a tokenizer") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer


def choose_device(wanted: str) -> str:
    """ "cpu", "cuda" or "cuda:N" for a setting of auto, cpu, cuda or cuda:N.

    Raises:
        ConfigError: not a device, or not one of this machine.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        return "cuda" if count else "cpu"
    if wanted == "cpu":
        return wanted
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()) or wanted.endswith(":"):
        text = "device must be auto, cpu, cuda or cuda:N"
    elif int(number or 0) >= count:
        text = f"device={wanted}, and this machine shows {count} CUDA devices"
    else:
        return wanted
    raise ConfigError(text, violations=(Violation("device", text),))


@dataclass(frozen=True, slots=True)
class Numbers:
    """How weights are held and computed with. ``dtype`` auto: fp32 on a CPU; bf16 on CUDA where it is supported, else fp16.
    ``quantization`` int8 and 4bit (NF4) hold the layers' weights smaller and compute in ``dtype``."""

    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    quantization: Literal["none", "int8", "4bit"] = "none"


def choose_dtype(device: str, wanted: str = "auto") -> Any:
    """The torch.dtype for a device."""
    import torch

    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if wanted != "auto":
        return named[wanted]
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def quantizer(numbers: Numbers, dtype: Any) -> Any:
    """The quantization that transformers is to load with; None for none. The head and the embeddings keep ``dtype``.

    Raises:
        ConfigError: bitsandbytes isn't installed.
    """
    if numbers.quantization == "none":
        return None
    if find_spec("bitsandbytes") is None:
        text = f"quantization={numbers.quantization} needs bitsandbytes: pip install 'labcue[gpu]'"
        raise ConfigError(text, violations=(Violation("quantization", text),))
    transformers: Any = import_module("transformers")
    if numbers.quantization == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def load_model(folder: Path, device: str, numbers: Numbers | None = None) -> Any:
    """The MistralForCausalLM of ``folder``, in eval mode on ``device``, without gradients.

    Raises:
        ConfigError: the folder doesn't hold a Mistral in safetensors, or the quantization isn't there.
        EngineNotLoaded: the weights are truncated, corrupt or not those of the configuration.
    """
    config = check_folder(folder, "config.json", "*.safetensors", "model_path")
    if config.get("model_type") != "mistral":
        raise refuse(folder / "config.json", "model_type: must be mistral")
    numbers = numbers or Numbers()
    dtype = choose_dtype(device, numbers.dtype)
    quantization = quantizer(numbers, dtype)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers: Any = import_module("transformers")
    transformers.utils.logging.disable_progress_bar()  # stderr belongs to the command line's own contract
    try:
        model, seen = transformers.MistralForCausalLM.from_pretrained(
            str(folder),
            dtype=dtype,
            device_map={"": device} if device != "cpu" or quantization is not None else None,
            quantization_config=quantization,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise EngineNotLoaded(f"the weights in {folder} can't be loaded ({type(error).__name__})") from None
    _complete(folder, seen)
    model.requires_grad_(False)
    return model.eval()


def _complete(folder: Path, seen: dict[str, Any]) -> None:
    """transformers fills what is missing with random numbers; that is no model."""
    if any(seen.get(kind) for kind in ("missing_keys", "mismatched_keys", "error_msgs")):
        raise EngineNotLoaded(f"the weights in {folder} are not complete for their config.json")
