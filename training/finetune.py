"""The recipe: a Mistral, large with LoRA or small from nothing, taught to say the label at each slot.

    labcue train --config training/configs/embedded.yaml
    python -m training.finetune --config training/configs/mistral-7b-lora.yaml --dry-run

Reads a dataset of :mod:`training.build`, trains with transformers' Trainer, fits temperature and thresholds on the validation split, and
writes a folder that the service loads (``output_dir/final``). Run again after a kill, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from cds_service.inference.slots import label_ids
from training import build, models, processes
from training import trainer as trainers
from training.calibrate import calibrate
from training.config import Config, load
from training.examples import DataError, of_split
from training.plan import memory_gib, plan
from training.recalibrate import recalibrate
from training.saving import FINAL, Size, TrainingFailed, last_checkpoint, save, saved_state, unwritten
from training.singles import shown
from training.slots_data import LONGEST, encode, predict


def run(config: Config, *, quiet: bool = False) -> dict[str, Any]:
    """Trains, calibrates and saves; returns the training manifest. Of several processes the first calibrates and saves, the others return {}.

    Raises:
        DataError: the dataset, base or tokenizer doesn't hold.
        TrainingFailed: the loss is no number any more, or the result can't be written.
    """
    import torch
    import transformers

    if config.threads:
        torch.set_num_threads(config.threads)
    if "tensorboard" in config.report_to and find_spec("tensorboard") is None:
        raise DataError("report_to: tensorboard isn't installed: pip install 'labcue[train]', or leave it out")
    began = time.time()
    dataset = build.load_manifest(config.data)
    train = shown(of_split(config.data, "train", config.sources), config.one_result)
    validation = shown(of_split(config.data, "validation", config.sources), config.one_result)
    arguments = trainers.arguments(config, quiet=quiet)
    transformers.set_seed(config.seed)
    tokenizer, model = models.load(config, train)
    size = Size.of(model)
    label_tokens = models.label_tokens(config, tokenizer)
    labels = label_ids(tokenizer, label_tokens)
    longest = min(LONGEST, int(model.config.max_position_embeddings))
    rows, left = encode(train, tokenizer, longest)
    if not rows:
        raise DataError(f"{config.data}: every training example is longer than {longest} tokens")
    if left and not quiet and processes.first():
        print(
            f"{left} of {len(train)} training examples are longer than {longest} tokens and left out", file=sys.stderr
        )
    judged, _ = encode(validation[: config.validation_examples], tokenizer, longest)
    trainer = trainers.trainer(arguments, model, labels, rows, judged)
    try:
        trainer.train(resume_from_checkpoint=last_checkpoint(config.output_dir))
    except (OSError, RuntimeError, SafetensorError) as error:
        if (why := unwritten(error)) is None:
            raise
        raise TrainingFailed(
            f"{config.output_dir}: a checkpoint can't be written ({why}); free some space and run again, "
            f"training goes on from its last whole checkpoint"
        ) from None
    history = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    logits, truth, kept = predict(trainer.model, tokenizer, labels, validation, longest)
    state = saved_state(config, trainer)
    if not processes.first():
        return {}
    fitted = calibrate(
        kept,
        logits,
        truth,
        recall=config.calibrate.recall,
        worth=config.calibrate.worth,
        highest=config.calibrate.highest,
        inside=config.calibrate.inside,
    )
    return save(
        config,
        trainer.model,
        state,
        size,
        tokenizer,
        label_tokens,
        fitted,
        dataset,
        history,
        seconds=time.time() - began,
    )


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
            return _told(config, recalibrate(config)) if processes.first() else 0
        planned = plan(config)
        if processes.first():
            for name, value in planned.items():
                print(f"{name.replace('_', ' ')}: {value:,}", file=sys.stderr)
        there = memory_gib()
        if there is not None and planned["memory_gib"] > there:
            raise DataError(
                f"this needs about {planned['memory_gib']} GiB {'for each process ' if processes.count() > 1 else ''}and there are "
                f"{there:.0f}; take lora, quantization: 4bit, or several GPUs that share the weights (training/configs/fsdp.yaml, deepspeed.yaml)"
            )
        if given.dry_run:
            return 0
        training = run(config)
    except (DataError, TrainingFailed) as error:
        if processes.first():
            print(f"error: {error}", file=sys.stderr)
        else:  # the first may not have failed at all: it would wait for this one until the launcher ends it
            print(f"error in process {processes.rank()}: {error}", file=sys.stderr)
        return 2 if isinstance(error, DataError) else 3
    processes.leave()
    return _told(config, training) if processes.first() else 0


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
