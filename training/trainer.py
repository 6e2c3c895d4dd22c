"""transformers' Trainer, taught the loss at the slots, on one device or on several that train together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from training import processes
from training.config import Config
from training.saving import TrainingFailed
from training.slots_data import Rows, collate, slot_logits


def arguments(config: Config, *, quiet: bool = False) -> Any:
    """TrainingArguments of a run. Making them connects the processes and gives each its device, so they come before the model."""
    import torch
    import transformers

    given = config.optimiser.model_dump()
    if not given["gradient_checkpointing"]:
        del given["gradient_checkpointing"]  # saying it at all warns from transformers 5.20 on
    cuda = torch.cuda.is_available()
    made = transformers.TrainingArguments(
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
        disable_tqdm=quiet or not sys.stderr.isatty(),
        dataloader_pin_memory=cuda,
        ddp_find_unused_parameters=False,  # every trained weight is used in every step
        **given,
    )
    if made.n_gpu > 1:
        # One process with several cards would split a batch's tensors by rows, and slots aren't rows.
        made._n_gpu = 1
        if processes.first() and not quiet:
            print(
                "one of several GPUs is used; accelerate launch uses all (training/configs/fsdp.yaml)", file=sys.stderr
            )
    return made


def trainer(
    arguments: Any, model: Any, labels: Sequence[int], rows: Sequence[Any], shown: Sequence[Any], callbacks: Any = None
) -> Any:
    """The Trainer of ``rows``, evaluated by steps on ``shown``. ``labels``: the token of each of LABELS."""
    import torch
    import transformers

    class SlotTrainer(transformers.Trainer):
        """The loss stands at the slots: cross entropy over the seven labels, as serving reads them."""

        def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[Any], Any]:
            if (
                self.state.global_step >= self.state.max_steps
            ):  # a checkpoint of the last step: Trainer would take one more
                return [], None
            # All slots of a step, in all processes. Trainer's own count leaves out one a batch, as where texts are continued.
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
            slots = torch.tensor(sum(batch["labels"].numel() for batch in batches), device=device)
            return batches, self.accelerator.gather(slots).sum()

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            logits = slot_logits(model, inputs, labels)
            total = torch.nn.functional.cross_entropy(logits, inputs["targets"], reduction="sum")
            # Gradients are averaged over the processes, the count is of all of them.
            loss = total * self.accelerator.num_processes / num_items_in_batch
            if not torch.isfinite(loss):
                raise TrainingFailed(
                    f"the loss is no number at step {self.state.global_step}; lower learning_rate or max_grad_norm and run again"
                )
            return (loss, {"logits": logits}) if return_outputs else loss

        def prediction_step(self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None) -> Any:
            # For each row its slots' loss and their number: what the processes gather row by row, each row once.
            inputs = self._prepare_inputs(inputs)
            with torch.no_grad():
                logits = slot_logits(model, inputs, labels)
            losses = torch.nn.functional.cross_entropy(logits, inputs["labels"], reduction="none")
            sums = losses.new_zeros(len(inputs["input_ids"])).index_add(0, inputs["which"], losses)
            return None, sums, torch.bincount(inputs["which"], minlength=len(sums))

        def _save_rng_state(self, output_dir: str) -> None:
            # trainer_state.json follows and says that the checkpoint is whole: not before each process wrote its part.
            super()._save_rng_state(output_dir)
            processes.wait()

    def evaluated(seen: Any) -> dict[str, float]:
        return {"loss": float(seen.predictions.sum() / seen.label_ids.sum())}

    return SlotTrainer(
        model=model,
        args=arguments,
        train_dataset=Rows(rows),
        eval_dataset=Rows(shown),
        data_collator=collate,
        compute_metrics=evaluated,
    )
