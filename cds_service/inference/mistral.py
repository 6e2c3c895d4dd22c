"""Mistral on transformers: all slots of a panel in one forward pass, no decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference.engine import SlotScores
from cds_service.inference.lora import Adapter, read_adapter
from cds_service.inference.manifest import FILE, Manifest, read_manifest, refuse
from cds_service.inference.shared import SharedModel
from cds_service.inference.slots import label_ids, slot_tokens
from cds_service.inference.weights import choose_device, load_model, load_tokenizer
from fhir_adapter.errors import ConfigError, EngineError
from fhir_adapter.model import Interval, Panel, PanelResult, Patient, Quantity, Result
from fhir_adapter.prompt import Prompt, render

TOKENS_A_PASS = 16_384
"""Most tokens, padding included, in one forward pass of several prompts; a longer single prompt still goes alone."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt as tokens; ``at`` are the positions of its slots' last tokens."""

    index: int
    ids: list[int]
    at: list[int]


class MistralEngine:
    """Scores panels with a MistralForCausalLM, alone or with one adapter. Made by :func:`load_mistral`; safe to use from
    several threads (one at a time reaches the model)."""

    def __init__(self, shared: SharedModel, manifest: Manifest, info: ModelInfo, adapter: str | None = None) -> None:
        self._shared, self._model = shared, shared.model
        self._tokenizer = shared.tokenizer
        self._manifest = manifest
        self._info = info
        self._adapter = adapter
        self._labels = list(label_ids(shared.tokenizer, manifest.label_tokens))
        self._longest = min(shared.longest, manifest.max_tokens or shared.longest)

    def load_adapter(self, folder: Path, where: str = "adapter_path") -> MistralEngine:
        """An engine on the same weights that answers with the adapter of ``folder``, by its manifest. This one is left as it
        is; ``where`` is the setting that names the folder.

        Raises:
            ConfigError: the adapter doesn't hold or doesn't fit; nothing has changed.
        """
        adapter = read_adapter(folder, where)
        check_base(adapter, self._shared)
        engine = _on_adapter(self._shared, adapter)
        try:
            engine.warm_up()
        except EngineError:
            raise refuse(folder, "gives no probabilities on this model", where) from None
        return engine

    @property
    def info(self) -> ModelInfo:
        """Name and version from the manifest."""
        return self._info

    @property
    def thresholds(self) -> Thresholds:
        """From the manifest."""
        return Thresholds(self._manifest.threshold, self._manifest.thresholds)

    @property
    def max_results(self) -> int | None:
        """Most results the model takes in one prompt, from the manifest; None where it sets none."""
        return self._manifest.max_results

    def warm_up(self) -> None:
        """One small panel through the model.

        Raises:
            EngineError: as :meth:`score`.
        """
        result = Result("", "", (), "Potassium", Quantity(4.1, "mmol/L"))
        interval = Interval(3.5, 5.1, "mmol/L", "lab")
        placed = PanelResult(result, display="Potassium", number=4.1, unit="mmol/L", interval=interval, position=-0.25)
        self.score([render(Panel(Patient(), (placed,), (), 1))])

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """One tuple per prompt, one SlotScores per slot, in order. Prompts of about one length share a pass.

        Raises:
            EngineError: "prompt too long" (nothing is cut off: the caller splits the panel), out of memory, another prompt
                version than the model's, or numbers that aren't probabilities.
        """
        rows = [self._row(index, prompt) for index, prompt in enumerate(prompts) if prompt.slots]
        answers: list[tuple[SlotScores, ...]] = [() for _ in prompts]
        for group in _groups(rows):
            for row, probabilities in zip(group, self._forward(group), strict=True):
                slots = prompts[row.index].slots
                answers[row.index] = tuple(
                    SlotScores(slot.result, tuple(numbers)) for slot, numbers in zip(slots, probabilities, strict=True)
                )
        return answers

    def _row(self, index: int, prompt: Prompt) -> _Row:
        if prompt.version != self._manifest.prompt_version:
            raise EngineError("the model was trained on another prompt version")
        encoding = self._tokenizer.encode(prompt.text)
        ids: list[int] = encoding.ids
        if len(ids) > self._longest:
            raise EngineError("prompt too long")
        return _Row(index, ids, slot_tokens(prompt, encoding.offsets))

    def _forward(self, rows: Sequence[_Row]) -> list[list[list[float]]]:
        """Probabilities over LABELS for each slot of each row. Padding stands on the right, where no token sees it."""
        import torch

        try:
            with self._shared.using(self._adapter), torch.inference_mode():
                device = self._model.device
                width = max(len(row.ids) for row in rows)
                ids = torch.tensor([row.ids + [0] * (width - len(row.ids)) for row in rows], device=device)
                padded = any(len(row.ids) < width for row in rows)
                mask = (
                    torch.tensor([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=device)
                    if padded
                    else None
                )
                hidden = self._model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
                # Only the slots' states reach the head: logits over the vocabulary at every token would cost more memory
                # than the rest together.
                which = torch.tensor([number for number, row in enumerate(rows) for _ in row.at], device=device)
                where = torch.tensor([at for row in rows for at in row.at], device=device)
                logits = self._model.lm_head(hidden[which, where])[:, self._labels].float()
                probabilities = torch.softmax(logits / self._manifest.temperature, dim=-1)
                if not bool(torch.isfinite(probabilities).all()):
                    raise EngineError("the model answered something that isn't a probability")
                flat: list[list[float]] = probabilities.cpu().tolist()
        except torch.OutOfMemoryError:
            raise EngineError("the model ran out of memory") from None
        except EngineError:
            raise
        except MemoryError:
            raise EngineError("the model ran out of memory") from None
        except RuntimeError as error:  # torch says "not enough memory" on a CPU with a bare RuntimeError
            memory = "memory" in str(error)
            raise EngineError("the model ran out of memory" if memory else EngineError.message) from None
        numbers = iter(flat)
        return [[next(numbers) for _ in row.at] for row in rows]


def _groups(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Rows in groups of at most TOKENS_A_PASS tokens with their padding, shortest first so that little is padded."""
    groups: list[list[_Row]] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if groups and (len(groups[-1]) + 1) * len(row.ids) <= TOKENS_A_PASS:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def load_mistral(model_path: Path, adapter_path: Path | None = None, *, device: str = "auto") -> MistralEngine:
    """Loads the model of ``model_path``, with the LoRA adapter of ``adapter_path`` if given.

    The manifest beside the adapter is the one that counts where there is an adapter (its threshold and temperature were fitted
    with it), else the one beside the model. Whatever is cheap is checked before any weight is read.

    Raises:
        ConfigError: a folder, manifest, tokenizer or the device doesn't hold; the text names file and field.
        EngineNotLoaded: the weights can't be loaded or don't fit.
    """
    if not model_path.is_dir():
        raise refuse(model_path, "is not a folder")
    adapter = None if adapter_path is None else read_adapter(adapter_path)
    manifest = read_manifest(model_path) if adapter is None else adapter.manifest
    tokenizer = load_tokenizer(model_path)
    label_ids(tokenizer, manifest.label_tokens)
    chosen = choose_device(device)
    model = load_model(model_path, chosen)
    size = int(model.get_input_embeddings().num_embeddings)
    if tokenizer.get_vocab_size() > size:
        raise refuse(model_path / "tokenizer.json", f"has more entries than the model's vocabulary of {size}")
    shared = SharedModel(model, tokenizer, model_path)
    if adapter is not None:
        check_base(adapter, shared)
        return _on_adapter(shared, adapter)
    info = ModelInfo(manifest.name, manifest.version, prompt_version=manifest.prompt_version)
    return MistralEngine(shared, manifest, info)


def check_base(adapter: Adapter, shared: SharedModel) -> None:
    """Holds the base that an adapter's manifest names against the model's own manifest, where there are both.

    Raises:
        ConfigError: it is made for another model.
    """
    wanted, folder = adapter.manifest.base, shared.folder
    if wanted is None or not (folder / FILE).is_file():
        return
    known = {read_manifest(folder).name, folder.name, str(folder), str(folder.resolve())}
    if wanted not in known and Path(wanted).name not in known:
        said = f"base: made for {wanted}, and the model here is {read_manifest(folder).name}"
        raise refuse(adapter.folder / FILE, said, adapter.where)


def _on_adapter(shared: SharedModel, adapter: Adapter) -> MistralEngine:
    """An engine with the adapter put in; it is taken out again once nobody holds the engine."""
    manifest = adapter.manifest
    info = ModelInfo(
        manifest.base or shared.folder.name, manifest.version, manifest.name, prompt_version=manifest.prompt_version
    )
    name = shared.add(adapter)
    try:
        engine = MistralEngine(shared, manifest, info, name)
    except ConfigError:
        shared.remove(name)
        raise
    shared.retire_with(engine, name)
    return engine
