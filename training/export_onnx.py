"""Writes ``model.onnx`` into the folder of a small Mistral, so that it is served by ONNX Runtime, without torch.

    python -m training.export_onnx OUTPUT/final

The graph reads its weights from the model.safetensors beside it (ONNX external data), so it takes some kilobytes and holds no second
copy. It computes what serving asks for and no more: attention in blocks, each only to what stands before its end; the last layer, and the
seven labels' logits, only where slots are.
The digests of graph and weights go into labcue.json. For fp32 models of the recipe's own kind; others stay with torch.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cds_service.inference.onnx_engine import GRAPH, INPUTS, LABELS_KEY, OUTPUT, WEIGHTS, WEIGHTS_KEY
from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_tokenizer
from fhir_adapter.errors import LabCueError
from fhir_adapter.prompt import LABELS

OPSET, IR_VERSION = 17, 9
FUSED = "com.microsoft"
"""The domain of ONNX Runtime's own operators: rotary positions."""
BLOCKS = 4
"""Parts of a row that attend each to what stands before its own end: 5/8 of the square that attention would be at once."""


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
    model = helper.make_model(
        _graph(config, weights, labels),
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


class _Build:
    """Nodes and constants of a graph, named in order."""

    def __init__(self, weights: _Weights) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> str:
        """Adds a node; returns the name of its first output."""
        first = name or f"{kind}.{len(self.nodes)}"
        rest = [f"{first}.{number}" for number in range(1, outputs)]
        self.nodes.append(helper.make_node(kind, inputs, [first, *rest], name=f"{len(self.nodes)}", **attributes))
        return first

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        name = f"constant.{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, name: str) -> str:
        if all(one.name != name for one in self.initializers):
            self.initializers.append(self._weights.external(name))
        return name

    def range(self, count: str) -> str:
        return self.node("Range", self.constant(0), count, self.constant(1))

    def slice(self, what: str, start: str, end: str, axis: int) -> str:
        return self.node("Slice", what, start, end, self.constant([axis]))

    def linear(self, states: str, name: str) -> str:
        return self.node("Gemm", states, self.weight(name), transB=1)


def _graph(config: dict[str, Any], weights: _Weights, labels: Sequence[int]) -> onnx.GraphProto:
    """ids [b, t] and slots [b, m] (places in their row) to logits [b·m, 7], in the order of LABELS."""
    build = _Build(weights)
    hidden, layers, ids, slots = config["hidden_size"], config["num_hidden_layers"], *INPUTS

    shape = build.node("Shape", ids)
    count, longest = (build.node("Gather", shape, build.constant(at)) for at in (0, 1))
    begins = build.node("Mul", build.range(count), longest)
    flat = build.node("Add", slots, build.node("Unsqueeze", begins, build.constant([1])))
    flat = build.node("Reshape", flat, build.constant([-1]))
    attention = _Attention(build, config, shape, longest)

    def norm(states: str, name: str) -> str:
        epsilon = config["rms_norm_eps"]
        return build.node("SimplifiedLayerNormalization", states, build.weight(name), axis=-1, epsilon=epsilon)

    states = build.node("Gather", build.weight("model.embed_tokens.weight"), ids)
    states = build.node("Reshape", states, build.constant([-1, hidden]))
    for number in range(layers):
        part = f"model.layers.{number}"
        normed = norm(states, f"{part}.input_layernorm.weight")
        key, value = (build.linear(normed, f"{part}.self_attn.{name}_proj.weight") for name in "kv")
        if number == layers - 1:  # nothing but the slots is read from here on
            normed, states = build.node("Gather", normed, flat), build.node("Gather", states, flat)
        query = build.linear(normed, f"{part}.self_attn.q_proj.weight")
        seen = attention.of(query, key, value, at=slots if number == layers - 1 else None)
        states = build.node("Add", states, build.linear(seen, f"{part}.self_attn.o_proj.weight"))
        normed = norm(states, f"{part}.post_attention_layernorm.weight")
        gate = build.linear(normed, f"{part}.mlp.gate_proj.weight")
        gated = build.node("Mul", gate, build.node("Sigmoid", gate))
        inner = build.node("Mul", gated, build.linear(normed, f"{part}.mlp.up_proj.weight"))
        states = build.node("Add", states, build.linear(inner, f"{part}.mlp.down_proj.weight"))
    states = norm(states, "model.norm.weight")
    tied = "lm_head.weight" not in weights
    head = weights.rows("model.embed_tokens.weight" if tied else "lm_head.weight", labels)
    build.node("Gemm", states, build.constant(head, np.float32), name=OUTPUT, transB=1)

    described = {ids: ["batch", "tokens"], slots: ["batch", "most"]}
    return helper.make_graph(
        build.nodes,
        "labcue",
        [helper.make_tensor_value_info(name, TensorProto.INT64, dims) for name, dims in described.items()],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["asked", len(labels)])],
        initializer=build.initializers,
    )


class _Attention:
    """Causal attention of grouped heads with rotary positions. Padding stands on the right, where nothing looks."""

    def __init__(self, build: _Build, config: dict[str, Any], shape: str, longest: str) -> None:
        self._build, self._shape = build, shape
        self._heads, self._kv, self._width = (
            config["num_attention_heads"],
            config["num_key_value_heads"],
            _width(config),
        )
        self._places = build.range(longest)
        positions = build.node("Unsqueeze", build.node("Cast", self._places, to=TensorProto.FLOAT), build.constant([1]))
        frequencies = 1.0 / (_theta(config) ** (np.arange(0, self._width, 2, dtype=np.float64) / self._width))
        angles = build.node("Mul", positions, build.constant(frequencies, np.float32))
        self._rotation = build.node("Cos", angles), build.node("Sin", angles)
        ends = [build.constant([0])]
        whole = build.node("Unsqueeze", longest, build.constant([0]))
        for number in range(1, BLOCKS):
            share = build.node("Mul", whole, build.constant([number]))
            ends.append(build.node("Div", share, build.constant([BLOCKS])))
        self._ends = [*ends, whole]

    def of(self, query: str, key: str, value: str, *, at: str | None) -> str:
        """What the queries see, [rows, heads·width]: those of all tokens (``query`` [b·t, heads·width]), or only those at the places
        ``at`` [b, m] (``query`` [b·m, heads·width]). ``key`` and ``value`` are [b·t, kv_heads·width]."""
        build, group = self._build, self._heads // self._kv
        shape = self._shape if at is None else build.node("Shape", at)
        start = build.constant([0])
        query = build.node("RotaryEmbedding", self._split(query, shape), at or start, *self._rotation, domain=FUSED)
        query = build.node("Mul", query, build.constant(self._width**-0.5, np.float32))
        query = build.node("Transpose", self._split(query, shape, self._kv, group), perm=[0, 2, 3, 1, 4])
        key = build.node("RotaryEmbedding", self._split(key, self._shape), start, *self._rotation, domain=FUSED)
        keys = build.node("Transpose", self._split(key, self._shape, 1, self._kv), perm=[0, 3, 2, 4, 1])
        values = build.node("Transpose", self._split(value, self._shape, 1, self._kv), perm=[0, 3, 2, 1, 4])
        if at is not None:
            seen = self._seen(query, keys, values, build.node("Unsqueeze", at, build.constant([1, 2])), self._places)
        else:
            parts = []
            for first, end in itertools.pairwise(self._ends):
                asking, own = build.slice(query, first, end, 3), build.slice(self._places, first, end, 0)
                before, answers = build.slice(keys, start, end, 4), build.slice(values, start, end, 3)
                parts.append(self._seen(asking, before, answers, own, build.slice(self._places, start, end, 0)))
            seen = build.node("Concat", *parts, axis=3)
        seen = build.node("Transpose", seen, perm=[0, 3, 1, 2, 4])
        return build.node("Reshape", seen, build.constant([-1, self._heads * self._width]))

    def _seen(self, query: str, keys: str, values: str, own: str, places: str) -> str:
        """Softmax attention of [b, kv, group, m, width] queries that stand at ``own`` to [b, kv, 1, width, n] keys at ``places``."""
        build = self._build
        later = build.node("Greater", places, build.node("Unsqueeze", own, build.constant([-1])))
        never, always = (build.constant(one, np.float32) for one in (-np.inf, 0.0))
        likeness = build.node("Add", build.node("MatMul", query, keys), build.node("Where", later, never, always))
        return build.node("MatMul", build.node("Softmax", likeness, axis=-1), values)

    def _split(self, states: str, shape: str, *heads: int) -> str:
        """[rows, heads·width] as [b, n, *heads, width], ``shape`` being [b, n]; without ``heads`` as [b, n, heads·width]."""
        build = self._build
        rest = build.constant([*heads, self._width] if heads else [-1])
        return build.node("Reshape", states, build.node("Concat", shape, rest, axis=0))


def _width(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _theta(config: dict[str, Any]) -> float:
    rope = config.get("rope_parameters") or {}
    return float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)


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
            (_width(config) % 16, "head_dim: must be a multiple of 16"),
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
