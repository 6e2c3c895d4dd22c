"""The graph of a small Mistral, node by node: what serving asks for and no more. Its weights stay in a file beside it.

What prompts have in common is computed once a pass; attention goes in blocks, each only to what stands before its end; the last layer,
and the seven labels' logits, only where slots are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cds_service.inference.onnx_engine import INPUTS, OUTPUT

FUSED = "com.microsoft"
"""The domain of ONNX Runtime's own operators: rotary positions."""


class Weights(Protocol):
    """The tensors of a model by their names in transformers."""

    def __contains__(self, name: str) -> bool: ...

    def external(self, name: str) -> onnx.TensorProto:
        """The tensor as a reference into its file."""
        ...

    def rows(self, name: str, which: Sequence[int]) -> NDArray[np.float32]:
        """Some rows of a matrix, as a copy."""
        ...


class _Build:
    """Nodes and constants of a graph, named in order."""

    def __init__(self, weights: Weights) -> None:
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


def graph(config: dict[str, Any], weights: Weights, labels: Sequence[int], blocks: int) -> onnx.GraphProto:
    """What :data:`INPUTS` says to logits [b·m, 7], in the order of LABELS."""
    build = _Build(weights)
    hidden, layers, (ids, slots, heads, lengths, owner) = config["hidden_size"], config["num_hidden_layers"], INPUTS

    whole = build.constant([-1])
    shape, head_shape = build.node("Shape", ids), build.node("Shape", heads)
    count, longest = (build.node("Gather", shape, build.constant(at)) for at in (0, 1))
    begins = build.node("Mul", build.range(count), longest)
    flat = build.node("Add", slots, build.node("Unsqueeze", begins, build.constant([1])))
    flat = build.node("Reshape", flat, whole)
    shared = build.node("ReduceProd", head_shape, keepdims=1)
    attention = _Attention(build, config, (shape, head_shape), (lengths, owner), blocks)

    def norm(states: str, name: str) -> str:
        epsilon = config["rms_norm_eps"]
        return build.node("SimplifiedLayerNormalization", states, build.weight(name), axis=-1, epsilon=epsilon)

    def parts(states: str) -> tuple[str, str]:
        """The heads' rows and the prompts' own."""
        end = build.constant([np.iinfo(np.int64).max])
        return build.slice(states, build.constant([0]), shared, 0), build.slice(states, shared, end, 0)

    asked = build.node("Concat", build.node("Reshape", heads, whole), build.node("Reshape", ids, whole), axis=0)
    states = build.node("Gather", build.weight("model.embed_tokens.weight"), asked)
    states = build.node("Reshape", states, build.constant([-1, hidden]))
    for number in range(layers):
        part = f"model.layers.{number}"
        normed = norm(states, f"{part}.input_layernorm.weight")
        key, value = (parts(build.linear(normed, f"{part}.self_attn.{name}_proj.weight")) for name in "kv")
        if number == layers - 1:  # nothing but the slots is read from here on
            normed, states = (build.node("Gather", parts(one)[1], flat) for one in (normed, states))
        query = build.linear(normed, f"{part}.self_attn.q_proj.weight")
        seen = (
            attention.at(slots, query, key, value) if number == layers - 1 else attention.of(parts(query), key, value)
        )
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

    described = {
        ids: ["batch", "tokens"],
        slots: ["batch", "most"],
        heads: ["shared", "head_tokens"],
        lengths: ["shared"],
        owner: ["batch"],
    }
    return helper.make_graph(
        build.nodes,
        "labcue",
        [helper.make_tensor_value_info(name, TensorProto.INT64, dims) for name, dims in described.items()],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["asked", len(labels)])],
        initializer=build.initializers,
    )


class _Attention:
    """Causal attention of grouped heads with rotary positions. A prompt sees the head that it shares with others, then itself; padding
    stands on the right of either, where nothing looks. Pairs are (heads, prompts), keys and values [rows, kv_heads·width]."""

    def __init__(
        self, build: _Build, config: dict[str, Any], shapes: tuple[str, str], shared: tuple[str, str], blocks: int
    ) -> None:
        self._build, self._blocks = build, blocks
        self._shape, self._head_shape = shapes
        self._heads, self._kv, self._width = (
            config["num_attention_heads"],
            config["num_key_value_heads"],
            head_width(config),
        )
        longest, head_longest = (
            build.node("Gather", shape, build.constant(1)) for shape in (self._shape, self._head_shape)
        )
        self._longest, self._head_longest = (
            build.node("Unsqueeze", one, build.constant([0])) for one in (longest, head_longest)
        )
        every = build.range(build.node("Add", head_longest, longest))
        positions = build.node("Unsqueeze", build.node("Cast", every, to=TensorProto.FLOAT), build.constant([1]))
        frequencies = 1.0 / (_theta(config) ** (np.arange(0, self._width, 2, dtype=np.float64) / self._width))
        angles = build.node("Mul", positions, build.constant(frequencies, np.float32))
        self._rotation = build.node("Cos", angles), build.node("Sin", angles)
        lengths, self._owner = shared
        self._before = build.node("Unsqueeze", build.node("Gather", lengths, self._owner), build.constant([1]))
        self._places = build.node("Add", self._before, build.range(longest))
        """Of the prompts' own tokens, [b, t]: they begin where their head ends."""
        head_places = build.range(head_longest)
        beyond = build.node("GreaterOrEqual", head_places, self._before)
        of_head = build.node("Where", beyond, build.constant(np.iinfo(np.int64).max), head_places)
        self._head_places = build.node("Unsqueeze", head_places, build.constant([0]))
        self._all_places = build.node("Concat", of_head, self._places, axis=1)
        """Of all that a prompt sees, [b, head + t]; what pads its head is further away than anything."""

    def of(self, query: tuple[str, str], key: tuple[str, str], value: tuple[str, str]) -> str:
        """What the queries of all tokens see, [rows, heads·width], the heads' before the prompts'."""
        build, start = self._build, self._build.constant([0])
        head_keys, head_values = self._keys(key[0], start, self._head_shape), self._values(value[0], self._head_shape)
        asking = self._queries(query[0], start, self._head_shape)
        of_heads = self._seen(asking, head_keys, head_values, self._head_places, self._head_places)
        keys, values = self._all(head_keys, head_values, key[1], value[1])
        asking = self._queries(query[1], self._places, self._shape)
        if self._blocks == 1:
            own = self._seen(asking, keys, values, self._places, self._all_places)
        else:
            own = self._in_blocks(asking, keys, values)
        return build.node("Concat", self._rows(of_heads), self._rows(own), axis=0)

    def _in_blocks(self, query: str, keys: str, values: str) -> str:
        """As :meth:`_seen`, where no block of queries is held against what stands behind it."""
        build, start = self._build, self._build.constant([0])
        shares = (build.node("Mul", self._longest, build.constant([number])) for number in range(1, self._blocks))
        inner = [build.node("Div", share, build.constant([self._blocks])) for share in shares]
        parts = []
        for first, end in itertools.pairwise([start, *inner, self._longest]):
            sees = build.node("Add", self._head_longest, end)
            asking, own = build.slice(query, first, end, 3), build.slice(self._places, first, end, 1)
            before, answers = build.slice(keys, start, sees, 4), build.slice(values, start, sees, 3)
            parts.append(self._seen(asking, before, answers, own, build.slice(self._all_places, start, sees, 1)))
        return build.node("Concat", *parts, axis=3)

    def at(self, slots: str, query: str, key: tuple[str, str], value: tuple[str, str]) -> str:
        """What the queries at ``slots`` [b, m] (``query`` [b·m, heads·width]) see, [b·m, heads·width]."""
        build, start = self._build, self._build.constant([0])
        head_keys, head_values = self._keys(key[0], start, self._head_shape), self._values(value[0], self._head_shape)
        keys, values = self._all(head_keys, head_values, key[1], value[1])
        places = build.node("Add", self._before, slots)
        asking = self._queries(query, places, build.node("Shape", slots))
        return self._rows(self._seen(asking, keys, values, places, self._all_places))

    def _all(self, head_keys: str, head_values: str, key: str, value: str) -> tuple[str, str]:
        """Keys and values of each prompt's head and of itself, one after the other."""
        build = self._build
        keys = build.node("Gather", head_keys, self._owner), self._keys(key, self._places, self._shape)
        values = build.node("Gather", head_values, self._owner), self._values(value, self._shape)
        return build.node("Concat", *keys, axis=4), build.node("Concat", *values, axis=3)

    def _queries(self, rows: str, places: str, shape: str) -> str:
        """[b, kv, group, n, width], turned by their places."""
        build = self._build
        turned = build.node("RotaryEmbedding", self._split(rows, shape), places, *self._rotation, domain=FUSED)
        scaled = build.node("Mul", turned, build.constant(self._width**-0.5, np.float32))
        split = self._split(scaled, shape, self._kv, self._heads // self._kv)
        return build.node("Transpose", split, perm=[0, 2, 3, 1, 4])

    def _keys(self, rows: str, places: str, shape: str) -> str:
        """[b, kv, 1, width, n], turned by their places."""
        build = self._build
        turned = build.node("RotaryEmbedding", self._split(rows, shape), places, *self._rotation, domain=FUSED)
        return build.node("Transpose", self._split(turned, shape, 1, self._kv), perm=[0, 3, 2, 4, 1])

    def _values(self, rows: str, shape: str) -> str:
        """[b, kv, 1, n, width]."""
        return self._build.node("Transpose", self._split(rows, shape, 1, self._kv), perm=[0, 3, 2, 1, 4])

    def _seen(self, query: str, keys: str, values: str, own: str, places: str) -> str:
        """Softmax attention of queries that stand at ``own`` [b or 1, m] to keys at ``places`` [b or 1, n]: [b, kv, group, m, width]."""
        build = self._build
        later = build.node(
            "Greater",
            build.node("Unsqueeze", places, build.constant([1, 2, 3])),
            build.node("Unsqueeze", own, build.constant([1, 2, 4])),
        )
        never, always = (build.constant(one, np.float32) for one in (-np.inf, 0.0))
        likeness = build.node("Add", build.node("MatMul", query, keys), build.node("Where", later, never, always))
        return build.node("MatMul", build.node("Softmax", likeness, axis=-1), values)

    def _rows(self, seen: str) -> str:
        """[b, kv, group, n, width] as [b·n, heads·width]."""
        build = self._build
        seen = build.node("Transpose", seen, perm=[0, 3, 1, 2, 4])
        return build.node("Reshape", seen, build.constant([-1, self._heads * self._width]))

    def _split(self, states: str, shape: str, *heads: int) -> str:
        """[rows, heads·width] as [b, n, *heads, width], ``shape`` being [b, n]; without ``heads`` as [b, n, heads·width]."""
        build = self._build
        rest = build.constant([*heads, self._width] if heads else [-1])
        return build.node("Reshape", states, build.node("Concat", shape, rest, axis=0))


def head_width(config: dict[str, Any]) -> int:
    """Numbers of one attention head."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _theta(config: dict[str, Any]) -> float:
    rope = config.get("rope_parameters") or {}
    return float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)
