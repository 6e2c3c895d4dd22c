"""Fits temperature and thresholds of a trained model again: a monthly adjustment without a training run."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_model, load_tokenizer
from fhir_adapter.errors import LabCueError
from training import build
from training.calibrate import calibrate
from training.config import Config
from training.examples import DataError, of_split
from training.saving import FINAL
from training.singles import shown
from training.slots_data import LONGEST, predict


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
    validation = shown(of_split(config.data, "validation", config.sources), config.one_result)
    logits, truth, kept = predict(model, tokenizer, labels, validation, longest)
    fitted = calibrate(
        kept,
        logits,
        truth,
        recall=config.calibrate.recall,
        worth=config.calibrate.worth,
        highest=config.calibrate.highest,
        inside=config.calibrate.inside,
    )
    training = json.loads((final / "training.json").read_text(encoding="utf-8")) | {"calibration": asdict(fitted)}
    training["config"]["calibrate"] = config.calibrate.model_dump(mode="json")
    serving |= {
        "threshold": fitted.threshold,
        "thresholds": dict(fitted.thresholds),
        "inside": fitted.inside,
        "temperature": fitted.temperature,
    }
    for name, data in (("labcue.json", serving), ("training.json", training)):
        unfinished = final / f"{name}.unfinished"
        unfinished.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, final / name)
    return dict(training)
