"""A small Mistral on ONNX Runtime: the same answers as through torch, in half the time, and ready in a fraction of a second.

``model.onnx`` is written by ``python -m training.export_onnx`` and reads its weights from the model.safetensors beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference import tokens
from cds_service.inference.engine import Prepared, SlotScores
from cds_service.inference.manifest import FILE, Manifest, read_manifest, refuse
from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_tokenizer, read_object
from fhir_adapter.errors import EngineAnswer, EngineError, EngineMemory, EngineNotLoaded
from fhir_adapter.prompt import LABELS, Prompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

GRAPH, WEIGHTS = "model.onnx", "model.safetensors"
INPUTS, OUTPUT = ("ids", "slots", "heads", "lengths", "owner"), "logits"
"""What several prompts of a pass begin with is computed once: heads [p, h], lengths [p] (tokens of each), owner [b] (whose head a prompt
has). ids [b, t] is what follows the head, slots [b, m] places in it; all padded on the right. logits [b·m, 7]."""
LABELS_KEY, WEIGHTS_KEY = "labcue.labels", "labcue.weights"
"""What the graph says of itself: the order of its labels, and the SHA-256 of the weights that it was made for."""
TOKENS_A_PASS = 4096
"""Most tokens, padding included, in one run of the session: attention takes room with the square of a row."""
WASTE = 0.15
"""Largest share of a run that may be padding: on a CPU, padding costs what tokens cost."""


class OnnxEngine:
    """Scores panels with an exported Mistral, on the CPU. Made by :func:`load_onnx`."""

    def __init__(self, session: Any, tokenizer: Tokenizer, manifest: Manifest, longest: int) -> None:
        self._session, self._tokenizer, self._manifest = session, tokenizer, manifest
        self._longest = min(longest, manifest.max_tokens or longest)

    @property
    def info(self) -> ModelInfo:
        """Name and version from the manifest."""
        return ModelInfo(self._manifest.name, self._manifest.version, prompt_version=self._manifest.prompt_version)

    @property
    def thresholds(self) -> Thresholds:
        """From the manifest."""
        return self._manifest.fitted

    @property
    def max_results(self) -> int | None:
        """Most results the model takes in one prompt, from the manifest; None where it sets none."""
        return self._manifest.max_results

    @property
    def pass_tokens(self) -> int:
        """About three panels of 20: on a CPU a token costs the same alone and among others."""
        return 1024

    def warm_up(self) -> None:
        """A short and a long panel, so that memory for both is there.

        Raises:
            EngineError: as :meth:`score`.
        """
        self.score([tokens.sample(), tokens.sample(min(20, self.max_results or 20))])

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """One tuple per prompt, one SlotScores per slot, in order.

        Raises:
            PromptTooLong: nothing is cut off: the caller splits the panel.
            EngineMemory: out of memory.
            EngineAnswer: numbers that aren't probabilities.
            EngineError: another prompt version than the model's, or any other failure.
        """
        answers = iter(self.score_prepared(self.prepare([prompt for prompt in prompts if prompt.slots])))
        return [next(answers) if prompt.slots else () for prompt in prompts]

    def prepare(self, prompts: Sequence[Prompt]) -> list[Prepared]:
        """As :meth:`cds_service.inference.engine.Prepares.prepare`."""
        return tokens.prepare(prompts, self._tokenizer, self._manifest, self._longest)

    def score_prepared(self, rows: Sequence[Prepared]) -> list[tuple[SlotScores, ...]]:
        """As :meth:`score`, for what :meth:`prepare` gave."""
        answers: list[tuple[SlotScores, ...]] = [() for _ in rows]
        for group in tokens.passes([len(row.ids) - row.head for row in rows], TOKENS_A_PASS, WASTE):
            flat = self._run([rows[index] for index in group])
            at = 0
            for index in group:
                slots = len(rows[index].at)
                answers[index] = tokens.scores(rows[index], flat[at : at + slots])
                at += slots
        return answers

    def _run(self, rows: Sequence[Prepared]) -> list[list[float]]:
        """Probabilities over LABELS for each slot of each row, one row's after the other's."""
        import numpy as np

        shared: dict[tuple[int, ...], int] = {}
        owner = [shared.setdefault(tuple(row.ids[: row.head]), len(shared)) for row in rows]
        heads = _padded(list(shared))
        lengths = np.array([len(head) for head in shared], np.int64)
        ids = _padded([row.ids[row.head :] for row in rows])
        slots = _padded([[place - row.head for place in row.at] for row in rows])
        most = slots.shape[1]
        asked = [number * most + slot for number, row in enumerate(rows) for slot in range(len(row.at))]
        try:
            given = (ids, slots, heads, lengths, np.array(owner, np.int64))
            (logits,) = self._session.run([OUTPUT], dict(zip(INPUTS, given, strict=True)))
        except Exception as error:  # the library's errors share no base of their own; their text may tell of memory
            text = str(error).lower()
            memory = isinstance(error, MemoryError) or "memory" in text or "bad_alloc" in text or "bad alloc" in text
            raise (EngineMemory if memory else EngineError)() from None
        scaled = logits[asked].astype(np.float64) / self._manifest.temperature
        exponents = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=-1, keepdims=True)
        if not np.isfinite(probabilities).all():
            raise EngineAnswer
        flat: list[list[float]] = probabilities.tolist()
        return flat


def _padded(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """One row each, zeros on the right."""
    import numpy as np

    width = max(len(row) for row in rows)
    found = np.zeros((len(rows), width), np.int64)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found


def has_graph(folder: Path) -> bool:
    """Whether the folder's manifest lists an exported graph."""
    try:
        return GRAPH in read_object(folder / FILE, "model_path").get("files", {})
    except Exception:  # whatever is wrong with the manifest, loading says it
        return False


def load_onnx(model_path: Path, *, threads: int = 0) -> OnnxEngine:
    """The exported model of ``model_path``; ``threads`` of ONNX Runtime for one operation, 0 for half the cores: the model of one
    pass and the Python of others take about the same time, and a thread too many costs both.

    Raises:
        ConfigError: the folder, its manifest or tokenizer doesn't hold, or the graph was made for other weights or labels.
        EngineNotLoaded: the graph can't be loaded.
    """
    if not model_path.is_dir():
        raise refuse(model_path, "is not a folder")
    manifest = read_manifest(model_path)  # holds graph and weights against their digests
    if GRAPH not in manifest.files or WEIGHTS not in manifest.files:
        raise refuse(
            model_path / FILE, f"files: lists no {GRAPH}; python -m training.export_onnx {model_path} makes it"
        )
    tokenizer = load_tokenizer(model_path)
    label_ids(tokenizer, manifest.label_tokens)
    config = read_object(model_path / "config.json", "model_path")
    if tokenizer.get_vocab_size() > config["vocab_size"]:
        raise refuse(model_path / "tokenizer.json", f"has more entries than the vocabulary of {config['vocab_size']}")
    session = _session(model_path / GRAPH, threads)
    if tuple(one.name for one in session.get_inputs()) != INPUTS:
        raise refuse(
            model_path / GRAPH, "was written by another version; python -m training.export_onnx writes it again"
        )
    said = session.get_modelmeta().custom_metadata_map
    if said.get(LABELS_KEY) != ",".join(LABELS):
        raise refuse(model_path / GRAPH, "was made for other labels")
    if said.get(WEIGHTS_KEY) != manifest.files[WEIGHTS].lower():
        raise refuse(model_path / GRAPH, f"was made for other weights than those of {WEIGHTS}; export it again")
    return OnnxEngine(session, tokenizer, manifest, int(config["max_position_embeddings"]))


def _session(graph: Path, threads: int) -> Any:
    runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or max(1, (os.cpu_count() or 1) // 2)
    options.inter_op_num_threads = 1
    # Threads that spin between two runs would take the cores from the requests that are being read.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's errors share no base of their own
        text = f"{graph} can't be loaded ({type(error).__name__}); python -m training.export_onnx {graph.parent} writes it again"
        raise EngineNotLoaded(text) from None
