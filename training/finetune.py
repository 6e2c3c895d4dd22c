"""The recipe: a Mistral, large with LoRA or small from nothing, taught to say the label at each slot.

    labcue train --config training/configs/embedded.yaml
    python -m training.finetune --config training/configs/mistral-7b-lora.yaml --dry-run

Reads a dataset of :mod:`training.build`, trains with transformers' Trainer, fits temperature and thresholds on the validation split, and
writes a folder that the service loads (``output_dir/final``). Run again after a kill, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_model, load_tokenizer
from fhir_adapter import catalog as catalogs
from fhir_adapter.errors import LabCueError
from fhir_adapter.prompt import LABELS, PROMPT_VERSION
from training import build
from training.calibrate import Fitted, calibrate
from training.config import Config, NewModel, load
from training.examples import DataError, Example, read
from training.slots_data import Rows, collate, encode, slot_logits
from training.tokenizer import LABEL_TOKENS, new_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FINAL = "final"
"""The folder in output_dir that the service loads."""
LONGEST = 4096
"""Tokens of the longest prompt that is trained on."""


class TrainingFailed(Exception):
    """Training went wrong: a loss that isn't a number, a disk that is full. Says what to do."""


def run(config: Config, *, quiet: bool = False) -> dict[str, Any]:
    """Trains, calibrates and saves; returns the training manifest.

    Raises:
        DataError: the dataset, base or tokenizer doesn't hold.
        TrainingFailed: the loss is no number any more, or the result can't be written.
    """
    import torch
    import transformers

    if config.threads:
        torch.set_num_threads(config.threads)
    began = time.time()
    dataset = build.load_manifest(config.data)
    train = _examples(config, "train")
    validation = _examples(config, "validation")
    transformers.set_seed(config.seed)
    tokenizer, model = _model(config, train)
    label_tokens = _label_tokens(config, tokenizer)
    labels = label_ids(tokenizer, label_tokens)
    longest = min(LONGEST, int(model.config.max_position_embeddings))
    rows, left = encode(train, tokenizer, longest)
    if not rows:
        raise DataError(f"{config.data}: every training example is longer than {longest} tokens")
    if left and not quiet:
        print(
            f"{left} of {len(train)} training examples are longer than {longest} tokens and left out", file=sys.stderr
        )
    shown, _ = encode(validation[: config.validation_examples], tokenizer, longest)
    trainer = _trainer(config, model, labels, rows, shown, quiet)
    try:
        trainer.train(resume_from_checkpoint=_last_checkpoint(config.output_dir))
    except (OSError, RuntimeError, SafetensorError) as error:
        if (why := _unwritten(error)) is None:
            raise
        raise TrainingFailed(
            f"{config.output_dir}: a checkpoint can't be written ({why}); free some space and run again, "
            f"training goes on from its last whole checkpoint"
        ) from None
    history = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    logits, truth, kept = predict(trainer.model, tokenizer, labels, validation, longest)
    fitted = calibrate(
        kept,
        logits,
        truth,
        recall=config.calibrate.recall,
        worth=config.calibrate.worth,
        highest=config.calibrate.highest,
    )
    return save(config, trainer.model, tokenizer, label_tokens, fitted, dataset, history, seconds=time.time() - began)


def _unwritten(error: Exception) -> str | None:
    """Why a file could not be written; None where the error is another one. A full disk reaches us as OSError, as safetensors' own
    error, or as torch's bare RuntimeError."""
    if isinstance(error, OSError):
        return error.strerror or "no reason given"
    text = str(error)
    if isinstance(error, SafetensorError) or "PytorchStreamWriter" in text or "unexpected pos" in text:
        return "the file is incomplete"
    return None


def recalibrate(config: Config) -> dict[str, Any]:
    """Fits temperature and threshold again for ``output_dir/final``, on the validation split as it is now: a monthly adjustment without
    a training run.

    Raises:
        DataError: there is no trained model, or the dataset doesn't hold.
    """
    final = config.output_dir / FINAL
    if not (final / "labcue.json").is_file() or config.lora is not None:
        raise DataError(f"{final}: holds no whole model to calibrate; train one first")
    build.load_manifest(config.data)
    try:
        tokenizer, model = load_tokenizer(final), load_model(final, "cpu")
        serving = json.loads((final / "labcue.json").read_text(encoding="utf-8"))
        labels = label_ids(tokenizer, serving["label_tokens"] or None)
    except LabCueError as error:
        raise DataError(str(error)) from None
    longest = min(LONGEST, int(model.config.max_position_embeddings))
    logits, truth, kept = predict(model, tokenizer, labels, _examples(config, "validation"), longest)
    fitted = calibrate(
        kept,
        logits,
        truth,
        recall=config.calibrate.recall,
        worth=config.calibrate.worth,
        highest=config.calibrate.highest,
    )
    training = json.loads((final / "training.json").read_text(encoding="utf-8")) | {"calibration": asdict(fitted)}
    serving |= {"threshold": fitted.threshold, "thresholds": dict(fitted.thresholds), "temperature": fitted.temperature}
    for name, data in (("labcue.json", serving), ("training.json", training)):
        unfinished = final / f"{name}.unfinished"
        unfinished.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, final / name)
    return dict(training)


def _label_tokens(config: Config, tokenizer: Tokenizer) -> dict[str, str]:
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


def _examples(config: Config, split: str) -> list[Example]:
    found = [
        example
        for example in read(config.data / f"{split}.ndjson.gz")
        if config.sources is None or example.source in config.sources
    ]
    if not found:
        raise DataError(f"{config.data}: the {split} split holds nothing of sources {config.sources}")
    if len({slot.label for example in found for slot in example.slots}) < 2:
        raise DataError(f"{config.data}: the {split} split has one class only")
    # Evaluation takes the first ones: mix the sources, the same way each time.
    return sorted(found, key=lambda one: hashlib.sha256(f"{one.group}{one.prompt}".encode()).digest())


def _model(config: Config, train: Sequence[Example]) -> tuple[Tokenizer, Any]:
    import torch
    import transformers

    if config.new is not None:
        tokenizer = new_tokenizer(
            catalogs.load(), (example.prompt for example in train[::4]), config.new.vocabulary, config.new.lens
        )
        return tokenizer, new_model(config.new, tokenizer.get_vocab_size())
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
    if torch.cuda.is_available() and config.quantization == "none":
        model = model.to("cuda")
    return tokenizer, model


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


def _trainer(config: Config, model: Any, labels: Sequence[int], rows: Any, shown: Any, quiet: bool) -> Any:
    import torch
    import transformers

    class SlotTrainer(transformers.Trainer):
        """The loss stands at the slots: cross entropy over the seven labels, as serving reads them."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            logits = slot_logits(model, inputs, labels)
            total = torch.nn.functional.cross_entropy(logits, inputs["labels"], reduction="sum")
            count = num_items_in_batch if num_items_in_batch is not None else inputs["labels"].numel()
            loss = total / count
            if not torch.isfinite(loss):
                raise TrainingFailed(
                    f"the loss is no number at step {self.state.global_step}; lower learning_rate or max_grad_norm and run again"
                )
            return (loss, {"logits": logits}) if return_outputs else loss

        def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
            inputs = self._prepare_inputs(inputs)
            with torch.no_grad():
                logits = slot_logits(model, inputs, labels)
            loss = torch.nn.functional.cross_entropy(logits, inputs["labels"])
            return loss, None, None

    given = config.optimiser.model_dump()
    if not given["gradient_checkpointing"]:
        del given["gradient_checkpointing"]  # saying it at all warns from transformers 5.20 on
    cuda = torch.cuda.is_available()
    arguments = transformers.TrainingArguments(
        output_dir=str(config.output_dir),
        eval_strategy="steps",
        save_strategy="steps",
        save_total_limit=2,
        per_device_eval_batch_size=32 if config.new is not None else config.optimiser.per_device_train_batch_size,
        bf16=cuda and torch.cuda.is_bf16_supported(),
        use_cpu=not cuda,
        train_sampling_strategy="group_by_length",
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=list(config.report_to) or "none",
        seed=config.seed,
        data_seed=config.seed,
        prediction_loss_only=True,
        disable_tqdm=quiet or not sys.stderr.isatty(),
        dataloader_pin_memory=cuda,
        **given,
    )
    return SlotTrainer(
        model=model, args=arguments, train_dataset=Rows(rows), eval_dataset=Rows(shown), data_collator=collate
    )


def _last_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint; one without its trainer_state.json was cut off while it was written."""
    found = [
        path
        for path in folder.glob("checkpoint-*")
        if path.name.partition("-")[2].isdecimal() and (path / "trainer_state.json").is_file()
    ]
    return str(max(found, key=lambda path: int(path.name.partition("-")[2]))) if found else None


def predict(
    model: Any, tokenizer: Tokenizer, labels: Sequence[int], examples: Sequence[Example], longest: int, batch: int = 32
) -> tuple[Any, Any, list[Example]]:
    """Logits [n, 7] and labels [n] at all slots, in the order of the examples that are returned with them (those that fit)."""
    import torch

    kept: list[Example] = []
    rows = []
    for example in examples:
        made, _ = encode([example], tokenizer, longest)
        if made:
            kept.append(example)
            rows.append(made[0])
    items = Rows(rows)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
    parts: dict[int, Any] = {}
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            inputs = {name: tensor.to(device) for name, tensor in collate([items[index] for index in chosen]).items()}
            pieces = slot_logits(model, inputs, labels).cpu().split([len(rows[index].at) for index in chosen])
            parts.update(zip(chosen, pieces, strict=True))
    truth = torch.tensor([label for row in rows for label in row.labels])
    return torch.cat([parts[index] for index in range(len(rows))]), truth, kept


def save(
    config: Config,
    model: Any,
    tokenizer: Tokenizer,
    label_tokens: dict[str, str],
    fitted: Fitted,
    dataset: dict[str, Any],
    history: Sequence[dict[str, Any]],
    *,
    seconds: float,
) -> dict[str, Any]:
    """Writes ``output_dir/final``: first under another name, synced to disk, then renamed; nothing half-written is ever there."""
    final = config.output_dir / FINAL
    unfinished = final.with_name(FINAL + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        model.save_pretrained(str(unfinished), safe_serialization=True)
        for name in ("README.md", "generation_config.json"):
            (unfinished / name).unlink(missing_ok=True)
        if config.lora is None:
            tokenizer.save(str(unfinished / "tokenizer.json"))
        files = {file.name: build.digest(file) for file in sorted(unfinished.iterdir())}
        serving = {
            "name": config.name,
            "version": config.version,
            "prompt_version": PROMPT_VERSION,
            "threshold": fitted.threshold,
            "thresholds": dict(fitted.thresholds),
            "temperature": fitted.temperature,
            "base": config.base if config.lora is not None else None,
            "label_tokens": label_tokens,
            "files": files,
        }
        training = {
            "config": config.model_dump(mode="json"),
            "dataset": {"files": dataset["files"], "splits": dataset["splits"], "seed": dataset.get("seed")},
            "calibration": asdict(fitted),
            "evaluation_by_steps": list(history),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "trained_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "seconds": round(seconds),
            "code": _code(),
            "packages": {
                name: metadata.version(name) for name in ("torch", "transformers", "peft", "accelerate", "tokenizers")
            },
            "python": platform.python_version(),
            "files": files,
        }
        (unfinished / "labcue.json").write_text(json.dumps(serving, indent=2) + "\n", encoding="utf-8")
        (unfinished / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
        for file in unfinished.iterdir():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(unfinished, final)
    except (OSError, SafetensorError) as error:
        raise TrainingFailed(
            f"{final}: can't be written ({getattr(error, 'strerror', None) or 'the file is incomplete'}); free some space and run again, training goes on from its last checkpoint"
        ) from None
    return training


def _code() -> str:
    """The commit of the code, with "+" where it was changed since; "unknown" outside a checkout."""
    try:
        here = Path(__file__).parent
        options: dict[str, Any] = {"cwd": here, "capture_output": True, "text": True, "check": True}
        head: str = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], **options).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def plan(config: Config) -> dict[str, Any]:
    """What a run would do, without doing it: parameters, steps, memory in GiB (an estimate from below).

    Raises:
        DataError: the dataset or the base's config.json can't be read.
    """
    dataset = build.load_manifest(config.data)
    splits = dataset["splits"]["train"]
    examples = sum(
        one["examples"] for source, one in splits.items() if config.sources is None or source in config.sources
    )
    optimiser = config.optimiser
    per_step = optimiser.per_device_train_batch_size * optimiser.gradient_accumulation_steps
    steps = (
        optimiser.max_steps if optimiser.max_steps > 0 else math.ceil(examples / per_step * optimiser.num_train_epochs)
    )
    total, trained = parameters(config)
    frozen_bytes = 0.55 if config.quantization == "4bit" else 2.0
    # Weights and, for what is trained, gradients and AdamW's two moments in fp32.
    weights = total * (frozen_bytes if config.lora is not None else 4.0) + trained * 12
    return {
        "parameters": total,
        "trained_parameters": trained,
        "examples": examples,
        "examples_a_step": per_step,
        "steps": steps,
        "memory_gib": round(weights / 2**30 + 1.0, 2),
    }


def parameters(config: Config) -> tuple[int, int]:
    """All parameters and the trained ones, from the shape alone."""
    if config.new is not None:
        shape = config.new
        hidden, inner, layers, vocabulary = shape.hidden_size, shape.intermediate_size, shape.layers, shape.vocabulary
        kv, tied = hidden * shape.kv_heads // shape.heads, 1
    else:
        file = Path(config.base or "") / "config.json"
        try:
            base = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else MISTRAL_7B
        except (OSError, ValueError):
            raise DataError(f"{file}: is not JSON") from None
        missing = [name for name in MISTRAL_7B if not isinstance(base, dict) or not isinstance(base.get(name), int)]
        if missing:
            raise DataError(f"{file}: is no Mistral's configuration, it lacks {', '.join(missing)}")
        hidden, inner, layers, vocabulary = (
            base[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
        )
        kv = hidden * base["num_key_value_heads"] // base["num_attention_heads"]
        tied = 1 if base.get("tie_word_embeddings") else 2
    linears = [
        (hidden, hidden),
        (hidden, kv),
        (hidden, kv),
        (hidden, hidden),
        (hidden, inner),
        (hidden, inner),
        (inner, hidden),
    ]
    total = layers * (sum(a * b for a, b in linears) + 2 * hidden) + tied * vocabulary * hidden + hidden
    if config.lora is None:
        return total, total
    trained = layers * sum(config.lora.r * (a + b) for a, b in linears)
    return total + trained, trained


MISTRAL_7B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "vocab_size": 32000,
    "num_key_value_heads": 8,
    "num_attention_heads": 32,
}
"""mistralai/Mistral-7B-v0.1's config.json, for a plan where the base isn't on this machine."""


def _memory_gib() -> float | None:
    """Memory of the device that would train: the GPU's, else the machine's."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory) / 2**30
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return None


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 2 where config, data or disk don't hold, 3 where training failed."""
    parser = argparse.ArgumentParser(
        prog="labcue train",
        description="Fine-tune a Mistral on a dataset, or train a small one from nothing.",
        epilog="""examples:
  labcue train --config training/configs/embedded.yaml
  labcue train --config training/configs/mistral-7b-lora.yaml --dry-run
  accelerate launch --config_file training/configs/fsdp.yaml -m training.finetune --config training/configs/mistral-7b-lora.yaml""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="a YAML file, see training/configs")
    parser.add_argument("--dry-run", action="store_true", help="print parameters, steps and memory, and end")
    parser.add_argument("--recalibrate", action="store_true", help="only fit threshold and temperature again")
    given = parser.parse_args(arguments)
    try:
        config = load(given.config)
        if given.recalibrate:
            return _told(config, recalibrate(config))
        planned = plan(config)
        for name, value in planned.items():
            print(f"{name.replace('_', ' ')}: {value:,}", file=sys.stderr)
        there = _memory_gib()
        if there is not None and planned["memory_gib"] > there:
            raise DataError(
                f"this needs about {planned['memory_gib']} GiB and the device has {there:.0f}; take lora, quantization: 4bit, "
                f"gradient_checkpointing, or several GPUs (training/configs/fsdp.yaml)"
            )
        if given.dry_run:
            return 0
        training = run(config)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrainingFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    return _told(config, training)


def _told(config: Config, training: dict[str, Any]) -> int:
    calibration = training["calibration"]
    print(f"trained in {training['seconds']} s → {config.output_dir / FINAL}", file=sys.stderr)
    thresholds = ", ".join(
        f"{ground} {'none' if at is None else at}" for ground, at in calibration["thresholds"].items()
    )
    print(
        f"temperature {calibration['temperature']}, thresholds: {thresholds or calibration['threshold']}",
        file=sys.stderr,
    )
    for name, one in calibration["groups"].items():
        print(f"  validation, {name}: {one}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
