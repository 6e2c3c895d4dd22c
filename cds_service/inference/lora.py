"""LoRA adapters: read and checked before the model is touched, put in beside others, taken out again.

An adapter is refused as a whole, with the file and the field that are wrong, or it goes in; the adapters that are there
already answer on either way.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from cds_service.inference.manifest import FILE, Manifest, read_manifest, refuse
from cds_service.inference.weights import read_object
from fhir_adapter.errors import ConfigError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_PAIR = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter as read from its folder. ``tensors`` maps peft's names to tensors on the CPU; ``fingerprint`` changes
    with any of its three files."""

    folder: Path
    where: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Any]
    manifest: Manifest
    fingerprint: str


def fingerprint(folder: Path) -> str:
    """SHA-256 over the three files of an adapter; empty where one can't be read."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS, FILE):
        try:
            digest.update(hashlib.sha256((folder / name).read_bytes()).digest())
        except OSError:
            return ""
    return digest.hexdigest()


def read_adapter(folder: Path, where: str = "adapter_path") -> Adapter:
    """The adapter of ``folder``; ``where`` is the setting that names it.

    Raises:
        ConfigError: a file is missing, truncated or not what it should be, or a number in it isn't finite.
    """
    if not folder.is_dir():
        raise refuse(folder, "is not a folder", where)
    known = fingerprint(folder)
    manifest = read_manifest(folder, where=where)
    config = read_object(folder / CONFIG, where)
    if config.get("peft_type") != "LORA":
        raise refuse(folder / CONFIG, "peft_type: must be LORA", where)
    return Adapter(folder, where, config, _tensors(folder / WEIGHTS, where), manifest, known)


def _tensors(file: Path, where: str) -> dict[str, Any]:
    import torch
    from safetensors.torch import load

    try:
        data = file.read_bytes()
    except OSError:
        raise refuse(file, "can't be read; other formats than safetensors are not loaded", where) from None
    try:
        tensors: dict[str, Any] = load(data)
    except Exception:  # the library raises its own error, and ValueError, and KeyError for a type it doesn't know
        raise refuse(file, "is truncated or not safetensors", where) from None
    tensors = dict(sorted(tensors.items()))  # they come in no order, and the first fault is the one that is told
    if not tensors:
        raise refuse(file, "holds no weights", where)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise refuse(file, f"{name}: holds numbers that are not finite", where)
    return tensors


def check_fits(model: Any, adapter: Adapter) -> None:
    """Holds the shapes of an adapter against the layers of ``model``.

    Raises:
        ConfigError: a layer that the model doesn't have, or of another size: the adapter was trained on another base.
    """
    file = adapter.folder / WEIGHTS
    layers = dict(model.named_modules())
    ranks: dict[str, dict[str, int]] = {}
    for name, tensor in adapter.tensors.items():
        found = _PAIR.fullmatch(name.removeprefix(_PREFIX))
        if found is None:
            continue  # a bias or a whole module beside the pairs: peft looks at those
        layer = layers.get(found["layer"])
        if layer is None or not hasattr(layer, "in_features"):
            raise refuse(file, f"{found['layer']}: the model has no such layer; made for another base", adapter.where)
        wanted = layer.in_features if found["side"] == "A" else layer.out_features
        size, rank = tuple(tensor.shape) if found["side"] == "B" else tuple(tensor.shape)[::-1]
        if size != wanted:
            raise refuse(file, f"{name}: is made for {size} where the model has {wanted}", adapter.where)
        ranks.setdefault(found["layer"], {})[found["side"]] = rank
    for layer_name, sides in ranks.items():
        if set(sides) != {"A", "B"} or sides["A"] != sides["B"]:
            raise refuse(file, f"{layer_name}: its two halves are not a pair", adapter.where)
    if not ranks:
        raise refuse(file, "holds no LoRA weights", adapter.where)


def attach(model: Any, adapter: Adapter, name: str) -> Any:
    """``model`` with the adapter put in as ``name``, beside others; it isn't active yet. Without a fault or not at all.

    Raises:
        ConfigError: it doesn't fit the model.
    """
    check_fits(model, adapter)
    peft: Any = import_module("peft")
    try:
        lora = peft.LoraConfig.from_pretrained(str(adapter.folder))
        lora.inference_mode = True
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", UserWarning
            )  # "already found a peft_config": several adapters are the point
            model = peft.inject_adapter_in_model(lora, model, adapter_name=name)
        loaded = peft.set_peft_model_state_dict(model, dict(adapter.tensors), adapter_name=name)
        wanting = [key for key in loaded.missing_keys if f".{name}." in key]
        if wanting or loaded.unexpected_keys:
            raise refuse(adapter.folder / WEIGHTS, "is not complete for its adapter_config.json", adapter.where)
    except ConfigError:
        detach(model, name)
        raise
    except Exception as error:
        detach(model, name)
        raise refuse(adapter.folder, f"doesn't fit the model ({type(error).__name__})", adapter.where) from None
    model.requires_grad_(False)
    return model.eval()


def detach(model: Any, name: str) -> None:
    """Takes an adapter out of ``model`` and frees its weights; nothing where it isn't there. None is active after it: peft
    would choose another one."""
    activate(model, None)
    import_module("peft.functional").delete_adapter(model, name, "lora_")
    getattr(model, "peft_config", {}).pop(name, None)


def activate(model: Any, name: str | None) -> None:
    """Makes ``name`` the one adapter that takes part, or none."""
    import_module("peft.functional").set_adapter(model, [] if name is None else name, inference_mode=True)
