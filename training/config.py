"""What a training run is told: typed, from YAML, every mistake reported at once.

The defaults are those that were specified for Mistral-7B: learning rate 2e-5, batch 8, accumulation 4, 3 epochs, 500 warm-up steps, evaluation
by steps, ``./results``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training.examples import DataError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NewModel(_Part):
    """The shape of a small Mistral that is trained from nothing."""

    hidden_size: int = Field(128, ge=8)
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    kv_heads: int = Field(2, ge=1)
    intermediate_size: int = Field(384, ge=8)
    vocabulary: int = Field(4096, ge=512)
    positions: int = Field(4096, ge=256)
    init: float = Field(0.06, gt=0, lt=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    lens: Literal["positions", "single", "numbers"] = "positions"
    """What its tokenizer lets through: the adapter's arithmetic; that of one result alone; or the bare value, unit and limits (to compare)."""


class Lora(_Part):
    """LoRA on all linear layers unless named otherwise."""

    r: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"


class Optimiser(_Part):
    """Names and defaults as in transformers' TrainingArguments."""

    learning_rate: float = Field(2e-5, gt=0)
    per_device_train_batch_size: int = Field(8, ge=1)
    gradient_accumulation_steps: int = Field(4, ge=1)
    num_train_epochs: float = Field(3, gt=0)
    max_steps: int = Field(-1, ge=-1)
    warmup_steps: int = Field(500, ge=0)
    eval_steps: int = Field(200, ge=1)
    save_steps: int = Field(200, ge=1)
    logging_steps: int = Field(20, ge=1)
    weight_decay: float = Field(0.01, ge=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = "cosine"
    max_grad_norm: float = Field(1.0, gt=0)
    gradient_checkpointing: bool = False


class Calibrate(_Part):
    """How the thresholds are chosen on the validation split: for each ground the highest at which every source keeps this recall
    (sources with real labels alone, where there are some)."""

    lab: float = Field(0.999, gt=0, lt=1)
    site: float = Field(0.985, gt=0, lt=1)
    usual: float = Field(0.94, gt=0, lt=1)
    none: float = Field(0.80, gt=0, lt=1)
    bound: float | None = Field(0.94, gt=0, lt=1)
    """For bounds ("> 2000") and ranges. None: no say."""
    words: float | None = Field(0.995, gt=0, lt=1)
    unread: float | None = Field(0.9, gt=0, lt=1)
    """For answers in words, those that the rules know and the others. None: no say, for a model that knows no words."""
    highest: float = Field(0.5, gt=0, lt=1)
    inside: float | None = Field(None, gt=0, lt=1)
    """The least P(abnormal) at which a number inside its interval is called abnormal."""
    worth: float = Field(0.55, ge=0, lt=1)
    """The precision below which the model gets no say on a ground."""

    @property
    def recall(self) -> dict[str, float | None]:
        """Ground → the recall to keep; None where the model is to have no say."""
        return {
            "lab": self.lab,
            "site": self.site,
            "usual": self.usual,
            "none": self.none,
            "bound": self.bound,
            "words": self.words,
            "unread": self.unread,
        }


class Config(_Part):
    """One run."""

    name: str = Field(min_length=1, max_length=100)
    version: str = Field("1", min_length=1, max_length=50)
    data: Path
    """The dataset's folder, as training.build makes it."""
    output_dir: Path = Path("./results")
    base: str | None = None
    """A folder with a Mistral, or a name on the hub ("mistralai/Mistral-7B-v0.1"); None trains a new one."""
    new: NewModel | None = None
    lora: Lora | None = None
    quantization: Literal["none", "4bit"] = "none"
    optimiser: Optimiser = Optimiser()
    calibrate: Calibrate = Calibrate()
    one_result: bool = False
    """Each result in a prompt of its own, in training and, by ``max_results`` in labcue.json, in serving."""
    validation_examples: int = Field(1500, ge=1)
    """Examples for the evaluation by steps; calibration takes the whole split."""
    sources: list[str] | None = None
    """Only these sources of the dataset; None takes all."""
    seed: int = 1
    threads: int | None = Field(None, ge=1)
    report_to: list[Literal["tensorboard"]] = []

    @model_validator(mode="after")
    def _fits(self) -> Config:
        if (self.base is None) == (self.new is None):
            raise ValueError(
                "give either base (a Mistral to fine-tune) or new (the shape of one to train from nothing)"
            )
        if self.lora is not None and self.base is None:
            raise ValueError("lora needs a base")
        if self.quantization != "none" and self.lora is None:
            raise ValueError("a quantized base can't be trained itself: give lora")
        if self.new is not None:
            if self.new.hidden_size % self.new.heads:
                raise ValueError("new: hidden_size must be a multiple of heads")
            if self.new.heads % self.new.kv_heads:
                raise ValueError("new: heads must be a multiple of kv_heads")
            if self.new.lens == "single" and not self.one_result:
                raise ValueError(
                    "new: the lens single leaves out what the results of a panel have in common: give one_result"
                )
        return self


def load(file: Path) -> Config:
    """Reads a YAML file; relative paths in it are taken from the current folder.

    Raises:
        DataError: it can't be read, or holds mistakes; all of them are named.
    """
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DataError(f"{file}: is not YAML") from None
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(map(str, fault['loc'])) or 'config'}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        )
        raise DataError(f"{file}: {error.error_count()} mistakes\n{faults}") from None
