"""Writes ``model.onnx`` into the folder of a small Mistral, so that it is served by ONNX Runtime, without torch.

    python -m training.export_onnx OUTPUT/final

The graph reads its weights from the model.safetensors beside it (ONNX external data), so it takes some kilobytes and holds no second
copy (:mod:`training.onnx_graph`).
The digests of graph and weights go into labcue.json. For fp32 models of the recipe's own kind; others stay with torch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from cds_service.inference.onnx_engine import GRAPH, LABELS_KEY, WEIGHTS, WEIGHTS_KEY
from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_tokenizer
from fhir_adapter.errors import LabCueError
from fhir_adapter.prompt import LABELS
from training.onnx_graph import FUSED, graph, head_width

OPSET, IR_VERSION = 17, 9
BLOCKS = 4
"""Parts of a row that attend each to what stands before its own end: 5/8 of the square that attention would be at once. A prompt of
one result is too short to gain by it."""


class CannotExport(Exception):
    """A model that this graph doesn't fit; the text names file and field."""


def export(folder: Path) -> Path:
    """Writes the graph and lists it in the manifest; returns its path.

    Raises:
        CannotExport: not a Mistral of the recipe's kind, in one file of fp32 weights, with its manifest.
    """
    config = _read(folder / "config.json")
    manifest = _read(folder / "labcue.json")
    _check(folder, config)
    weights = _Weights(folder / WEIGHTS)
    try:
        labels = label_ids(load_tokenizer(folder), manifest.get("label_tokens") or None)
    except LabCueError as error:
        raise CannotExport(str(error)) from None
    blocks = 1 if manifest.get("max_results") == 1 else BLOCKS
    model = helper.make_model(
        graph(config, weights, labels, blocks),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(FUSED, 1)],
        ir_version=IR_VERSION,
        producer_name="labcue",
    )
    helper.set_model_props(model, {LABELS_KEY: ",".join(LABELS), WEIGHTS_KEY: weights.digest})
    written = model.SerializeToString()
    manifest["files"] = {
        **manifest.get("files", {}),
        WEIGHTS: weights.digest,
        GRAPH: hashlib.sha256(written).hexdigest(),
    }
    _write(folder / GRAPH, written)
    _write(folder / "labcue.json", (json.dumps(manifest, indent=2) + "\n").encode())
    return folder / GRAPH


class _Weights:
    """The tensors of one safetensors file: where each stands in it (https://github.com/huggingface/safetensors#format)."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise CannotExport(f"{file}: is missing; weights in several files are not exported")
        self._data = file.read_bytes()
        size = int.from_bytes(self._data[:8], "little")
        self._head: dict[str, Any] = json.loads(self._data[8 : 8 + size])
        self._base = 8 + size
        self.digest = hashlib.sha256(self._data).hexdigest()
        for name, entry in self._head.items():
            if name != "__metadata__" and entry["dtype"] != "F32":
                raise CannotExport(f"{file}: {name} is {entry['dtype']}; only F32 is exported")

    def __contains__(self, name: str) -> bool:
        return name in self._head

    def external(self, name: str) -> onnx.TensorProto:
        """The tensor as a reference into the file."""
        entry = self._entry(name)
        start, stop = entry["data_offsets"]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
        tensor.dims.extend(entry["shape"])
        for key, value in (("location", WEIGHTS), ("offset", self._base + start), ("length", stop - start)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor

    def rows(self, name: str, which: Sequence[int]) -> NDArray[np.float32]:
        """Some rows of a matrix, as a copy."""
        entry = self._entry(name)
        start, stop = (self._base + offset for offset in entry["data_offsets"])
        whole = np.frombuffer(self._data[start:stop], np.float32).reshape(entry["shape"])
        return whole[list(which)].copy()

    def _entry(self, name: str) -> dict[str, Any]:
        if name not in self._head:
            raise CannotExport(f"{WEIGHTS}: holds no {name}")
        found: dict[str, Any] = self._head[name]
        return found


def _check(folder: Path, config: dict[str, Any]) -> None:
    rope = config.get("rope_parameters") or {}
    window = config.get("sliding_window")
    faults = [
        said
        for wrong, said in (
            (config.get("model_type") != "mistral", "model_type: must be mistral"),
            (config.get("hidden_act") != "silu", "hidden_act: must be silu"),
            (rope.get("rope_type", "default") != "default", "rope_parameters: must be of type default"),
            (config.get("rope_scaling"), "rope_scaling: must be null"),
            (
                window is not None and window < config.get("max_position_embeddings", 0),
                "sliding_window: must be null",
            ),
            (head_width(config) % 16, "head_dim: must be a multiple of 16"),
            (config.get("quantization_config"), "quantization_config: must be absent"),
        )
        if wrong
    ]
    if faults:
        raise CannotExport(f"{folder / 'config.json'}: {'; '.join(faults)}")


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CannotExport(f"{file}: can't be read as JSON") from None
    if not isinstance(found, dict):
        raise CannotExport(f"{file}: is not a JSON object")
    return found


def _write(file: Path, data: bytes) -> None:
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_bytes(data)
    os.replace(unfinished, file)


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0, or 1 with a line that says why not."""
    parser = argparse.ArgumentParser(
        prog="python -m training.export_onnx",
        description="Write model.onnx beside a small Mistral's weights, for engine=onnx.",
        epilog="Example: python -m training.export_onnx runs/embedded/final",
    )
    parser.add_argument(
        "folder", type=Path, help="folder of config.json, model.safetensors, tokenizer.json, labcue.json"
    )
    given = parser.parse_args(arguments)
    try:
        written = export(given.folder)
    except CannotExport as error:
        print(f"not exported: {error}", file=sys.stderr)
        return 1
    print(f"→ {written}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
