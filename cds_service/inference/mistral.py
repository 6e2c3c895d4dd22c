"""Mistral on transformers: all slots of a panel in one forward pass, no decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference import tokens
from cds_service.inference.engine import Prepared, SlotScores
from cds_service.inference.lora import Adapter, read_adapter
from cds_service.inference.manifest import FILE, Manifest, read_manifest, refuse
from cds_service.inference.shared import SharedModel
from cds_service.inference.slots import label_ids
from cds_service.inference.weights import Numbers, choose_device, load_model, load_tokenizer
from cds_service.inference.writing import write
from fhir_adapter.errors import ConfigError, EngineAnswer, EngineError, EngineMemory, EngineStopped
from fhir_adapter.prompt import Prompt

TOKENS_A_PASS = 16_384
"""Most tokens, padding included, in one forward pass of several prompts; a longer single prompt still goes alone."""
WASTE = 0.5
"""Largest share of a pass that may be padding."""


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
        return self._manifest.fitted

    @property
    def max_results(self) -> int | None:
        """Most results the model takes in one prompt, from the manifest; None where it sets none."""
        return self._manifest.max_results

    @property
    def writes_notes(self) -> bool:
        """From the manifest."""
        return self._manifest.writes_notes

    def write(self, prompt: str, *, max_tokens: int, deadline: float | None, cancelled: Callable[[], bool]) -> str:
        """As :func:`cds_service.inference.writing.write`."""
        return write(
            self._shared,
            self._adapter,
            prompt,
            max_tokens=max_tokens,
            longest=self._longest,
            deadline=deadline,
            cancelled=cancelled,
        )

    def warm_up(self) -> None:
        """One small panel through the model.

        Raises:
            EngineError: as :meth:`score`.
        """
        self.score([tokens.sample()])

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """One tuple per prompt, one SlotScores per slot, in order. Prompts of about one length share a pass.

        Raises:
            PromptTooLong: nothing is cut off: the caller splits the panel.
            EngineMemory: out of memory.
            EngineAnswer: numbers that aren't probabilities.
            EngineStopped: the device can't be used again.
            EngineError: another prompt version than the model's, or any other failure.
        """
        rows = self.prepare([prompt for prompt in prompts if prompt.slots])
        answers = iter(self.score_prepared(rows))
        return [next(answers) if prompt.slots else () for prompt in prompts]

    def prepare(self, prompts: Sequence[Prompt]) -> list[Prepared]:
        """As :meth:`cds_service.inference.engine.Prepares.prepare`."""
        return tokens.prepare(prompts, self._tokenizer, self._manifest, self._longest)

    def score_prepared(self, rows: Sequence[Prepared]) -> list[tuple[SlotScores, ...]]:
        """As :meth:`score`, for what :meth:`prepare` gave."""
        answers: list[tuple[SlotScores, ...]] = [() for _ in rows]
        for group in tokens.passes([len(row.ids) for row in rows], TOKENS_A_PASS, WASTE):
            for index, probabilities in zip(group, self._forward([rows[index] for index in group]), strict=True):
                answers[index] = tokens.scores(rows[index], probabilities)
        return answers

    def free_memory(self) -> None:
        """Gives cached memory of the device back."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _forward(self, rows: Sequence[Prepared]) -> list[list[list[float]]]:
        """Probabilities over LABELS for each slot of each row. Padding stands on the right, where no token sees it."""
        import torch

        try:
            with self._shared.using(self._adapter), torch.inference_mode():
                device = self._model.device
                height, width = self._shared.shape(len(rows), max(len(row.ids) for row in rows))
                padded = [[*row.ids] + [0] * (width - len(row.ids)) for row in rows]
                padded += [[0] * width] * (height - len(rows))
                # No mask: padding stands after all that counts, and a causal model never looks there.
                hidden = self._shared.hidden(torch.tensor(padded, device=device))
                # Only the slots' states reach the head: logits over the vocabulary at every token would cost more memory
                # than the rest together.
                which = torch.tensor([number for number, row in enumerate(rows) for _ in row.at], device=device)
                where = torch.tensor([at for row in rows for at in row.at], device=device)
                logits = self._model.lm_head(hidden[which, where])[:, self._labels].float()
                probabilities = torch.softmax(logits / self._manifest.temperature, dim=-1)
                if not bool(torch.isfinite(probabilities).all()):
                    raise EngineAnswer
                flat: list[list[float]] = probabilities.cpu().tolist()
        except torch.OutOfMemoryError:
            raise EngineMemory from None
        except EngineError:
            raise
        except MemoryError:
            raise EngineMemory from None
        except RuntimeError as error:  # torch says "not enough memory" on a CPU with a bare RuntimeError
            raise _failure(str(error)) from None
        numbers = iter(flat)
        return [[next(numbers) for _ in row.at] for row in rows]


def _failure(text: str) -> EngineError:
    """What torch's own error amounts to. After most CUDA errors the process can't use the device again."""
    if "CUDA error" in text and "out of memory" not in text:
        return EngineStopped()
    return EngineMemory() if "memory" in text else EngineError()


def load_mistral(
    model_path: Path,
    adapter_path: Path | None = None,
    *,
    device: str = "auto",
    numbers: Numbers | None = None,
    compiled: bool = False,
) -> MistralEngine:
    """Loads the model of ``model_path``, with the LoRA adapter of ``adapter_path`` if given. ``compiled``: its passes go through
    torch.compile, in few shapes.

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
    model = load_model(model_path, chosen, numbers)
    size = int(model.get_input_embeddings().num_embeddings)
    if tokenizer.get_vocab_size() > size:
        raise refuse(model_path / "tokenizer.json", f"has more entries than the model's vocabulary of {size}")
    shared = SharedModel(model, tokenizer, model_path, compiled=compiled)
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
