"""Examples as tokens: which token ends each slot, and a batch of panels padded on the right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cds_service.inference.slots import slot_tokens
from fhir_adapter.prompt import LABELS, Prompt, Slot
from training import processes
from training.examples import Example, Shares

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LONGEST = 4096
"""Tokens of the longest prompt that is trained on."""
ATTENTION = 32 * 1024**2
"""Prompts times their squared length that are judged at once: 128 MiB of attention weights a head."""
_LABEL = {label: index for index, label in enumerate(LABELS)}


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt as tokens: ids, the positions of its slots' last tokens, the label's index in LABELS at each, and the shares of
    laboratories (:class:`training.examples.SlotLabel`) where there are some."""

    ids: list[int]
    at: list[int]
    labels: list[int]
    shares: list[Shares | None]


def encode(examples: Iterable[Example], tokenizer: Tokenizer, longest: int) -> tuple[list[Row], int]:
    """Rows, and how many examples were left out because they are longer than ``longest`` tokens."""
    rows: list[Row] = []
    left = 0
    for example in examples:
        slots = tuple(Slot(index, slot.end) for index, slot in enumerate(example.slots))
        encoding = tokenizer.encode(example.prompt)
        if len(encoding.ids) > longest:
            left += 1
            continue
        at = slot_tokens(Prompt(example.prompt, slots, example.version), encoding.offsets)
        rows.append(
            Row(
                encoding.ids,
                at,
                [_LABEL[slot.label] for slot in example.slots],
                [slot.shares for slot in example.slots],
            )
        )
    return rows, left


class Rows:
    """A map-style dataset for the Trainer; each item also says its length, so that panels of one length share a batch."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self._rows[index]
        return {"input_ids": row.ids, "at": row.at, "labels": row.labels, "shares": row.shares}


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tensors of a batch: ``input_ids`` and ``attention_mask`` [rows, width], ``which`` and ``where`` [slots] (the row and the
    position of each slot's last token), ``labels`` [slots], ``targets`` [slots, 7] (all on the label, or the shares of laboratories)."""
    import torch

    width = max(len(item["input_ids"]) for item in items)
    ids = torch.zeros(len(items), width, dtype=torch.long)
    mask = torch.zeros(len(items), width, dtype=torch.long)
    for number, item in enumerate(items):
        ids[number, : len(item["input_ids"])] = torch.tensor(item["input_ids"])
        mask[number, : len(item["input_ids"])] = 1
    labels = [label for item in items for label in item["labels"]]
    shares = [shared for item in items for shared in item["shares"]]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "which": torch.tensor([number for number, item in enumerate(items) for _ in item["at"]]),
        "where": torch.tensor([at for item in items for at in item["at"]]),
        "labels": torch.tensor(labels),
        "targets": torch.tensor([target(*one) for one in zip(labels, shares, strict=True)]),
    }


def target(label: int, shares: Shares | None) -> list[float]:
    """What the loss wants at a slot: a probability for each of LABELS. A value past a critical limit keeps LL or HH as its low or high."""
    wanted = [0.0] * len(LABELS)
    if shares is None:
        wanted[label] = 1.0
    else:
        for (plain, critical), share in zip((("L", "LL"), ("H", "HH")), shares, strict=True):
            wanted[label if label == _LABEL[critical] else _LABEL[plain]] = share
        wanted[_LABEL["N"]] = 1.0 - sum(shares)
    return wanted


def slot_logits(model: Any, batch: dict[str, Any], label_ids: Sequence[int]) -> Any:
    """Logits over LABELS [slots, 7] in fp32, as serving reads them.

    A plain model, or one with LoRA, gives its hidden states and only the slots' reach the head. Among several processes (DDP, FSDP, DeepSpeed)
    a model must be called as a whole, so that its weights and gradients are gathered, and a wrapper can't be told from what it wraps: there the
    head runs at every position that is a slot in some row.
    """
    import torch

    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    which, where = batch["which"], batch["where"]
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "use_cache": False}
    columns = torch.as_tensor(list(label_ids), device=batch["input_ids"].device)
    if not processes.together():
        hidden = core.model(**inputs).last_hidden_state[which, where]
        head = core.lm_head
        if type(head) is torch.nn.Linear:
            return torch.nn.functional.linear(hidden, head.weight[columns]).float()
        return head(hidden)[:, columns].float()
    positions, back = torch.unique(where, return_inverse=True)
    return model(**inputs, logits_to_keep=positions).logits[which, back][:, columns].float()


def predict(
    model: Any, tokenizer: Tokenizer, labels: Sequence[int], examples: Sequence[Example], longest: int, batch: int = 256
) -> tuple[Any, Any, list[Example]]:
    """Logits [n, 7] and labels [n] at all slots, in the order of the examples that are returned with them (those that fit). Several
    processes share the work, and each gets the whole.

    ``batch``: most prompts at once; long ones go in fewer, as attention takes memory by the square of a prompt's length.
    """
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
    chunks: list[list[int]] = []
    while order:
        # The longest first: memory that doesn't suffice is told at once.
        size = max(1, min(batch, ATTENTION // len(rows[order[-1]].ids) ** 2))
        order, chosen = order[:-size], order[-size:]
        chunks.append(chosen)
    device = next(model.parameters()).device
    model.eval()
    parts: dict[int, Any] = {}
    with torch.no_grad():
        for chosen in _mine(chunks):
            inputs = {name: tensor.to(device) for name, tensor in collate([items[index] for index in chosen]).items()}
            pieces = slot_logits(model, inputs, labels).cpu().split([len(rows[index].at) for index in chosen])
            parts.update(zip(chosen, pieces, strict=True))
    parts = processes.gathered(parts)
    truth = torch.tensor([label for row in rows for label in row.labels])
    return torch.cat([parts[index] for index in range(len(rows))]), truth, kept


def _mine(chunks: list[list[int]]) -> list[list[int]]:
    """This process's share of the passes. All take equally many, as a sharded model's weights are gathered in each: who has one too few
    repeats the first."""
    if not processes.together():
        return chunks
    others = -len(chunks) % processes.count()
    return [*chunks, *chunks[:1] * others][processes.rank() :: processes.count()]
