"""What a run leaves on disk: checkpoints to go on from, and a folder that the service loads, whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from fhir_adapter.prompt import PROMPT_VERSION
from training import build, processes
from training.calibrate import Fitted
from training.config import Config

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FINAL = "final"
"""The folder in output_dir that the service loads."""


class TrainingFailed(Exception):
    """Training went wrong: a loss that isn't a number, a disk that is full. Says what to do."""


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters of a model and those of them that are trained, counted before it is shared out among processes."""

    all: int
    trained: int

    @classmethod
    def of(cls, model: Any) -> Size:
        return cls(
            sum(parameter.numel() for parameter in model.parameters()),
            sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        )


def last_checkpoint(folder: Path) -> str | None:
    """The last whole checkpoint; one that was cut off while it was written, or was damaged since, is passed over."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.partition("-")[2].isdecimal() and _whole(path)]
    return str(max(found, key=lambda path: int(path.name.partition("-")[2]))) if found else None


def _whole(checkpoint: Path) -> bool:
    """Whether it was written to its end (trainer_state.json comes last) and each of its files can be opened at its full length."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        for file in checkpoint.glob("*.safetensors"):
            with safe_open(str(file), framework="pt"):
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    # torch writes zip archives, whose directory stands at the end; FSDP's are called .bin, DeepSpeed's lie in a folder of their own.
    return all(zipfile.is_zipfile(file) for kind in ("*.pt", "*.pth", "*.bin") for file in checkpoint.rglob(kind))


def saved_state(config: Config, trainer: Any) -> dict[str, Any]:
    """What :func:`save` writes: the adapter's weights, or all. Among several processes all have to call it; the first gets it."""
    engine = trainer.deepspeed if trainer.is_deepspeed_enabled else None
    return processes.whole_state(trainer.model, lambda name: config.lora is None or "lora_" in name, engine)


def unwritten(error: Exception) -> str | None:
    """Why a file could not be written; None where the error is another one. A full disk reaches us as OSError, as safetensors' own
    error, or as torch's bare RuntimeError."""
    if isinstance(error, OSError):
        return error.strerror or "no reason given"
    text = str(error)
    if isinstance(error, SafetensorError) or "PytorchStreamWriter" in text or "unexpected pos" in text:
        return "the file is incomplete"
    return None


def save(
    config: Config,
    model: Any,
    state: dict[str, Any],
    size: Size,
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
        model.save_pretrained(str(unfinished), safe_serialization=True, state_dict=state)
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
            "inside": fitted.inside,
            "temperature": fitted.temperature,
            "base": config.base if config.lora is not None else None,
            "label_tokens": label_tokens,
            **({"max_results": 1} if config.one_result else {}),
            "files": files,
        }
        training = {
            "config": config.model_dump(mode="json"),
            "dataset": {"files": dataset["files"], "splits": dataset["splits"], "seed": dataset.get("seed")},
            "calibration": asdict(fitted),
            "evaluation_by_steps": list(history),
            "parameters": size.all,
            "trained_parameters": size.trained,
            "processes": processes.count(),
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
