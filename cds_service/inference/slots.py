"""Where in the tokens a slot ends, and which tokens stand for the labels. Works on offsets alone: no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fhir_adapter.errors import ConfigError, EngineError, Violation
from fhir_adapter.prompt import LABELS, SLOT, Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def slot_tokens(prompt: Prompt, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The index of the token that ends each slot, in order.

    ``offsets`` are each token's (start, end) in ``prompt.text``; tokens without text (the one that begins a sequence) have
    an empty span. A token may reach over the slot's end into white space (" =>\\n" is one token in some vocabularies).

    Raises:
        EngineError: no token ends where the slot does: tokenizer and prompt don't fit together.
    """
    found: list[int] = []
    token, total = 0, len(offsets)
    for slot in prompt.slots:
        while token < total and (offsets[token][1] < slot.end or offsets[token][0] == offsets[token][1]):
            token += 1
        if token == total:
            raise EngineError("the tokenizer lost a slot of the prompt")
        start, end = offsets[token]
        if start >= slot.end or prompt.text[slot.end : end].strip():
            raise EngineError("the tokenizer joins a slot of the prompt with other text")
        found.append(token)
    return found


def label_ids(tokenizer: Tokenizer, label_tokens: Mapping[str, str] | None = None) -> tuple[int, ...]:
    """The token of each of LABELS after a slot, in that order.

    ``label_tokens`` (the manifest's) names exact vocabulary entries; without it a label must be one token where it
    follows a slot and a space.

    Raises:
        ConfigError: a label is not one token, or two labels are the same one.
    """
    found: dict[str, int] = {}
    faults: list[str] = []
    before = f"Potassium: 4.1{SLOT}"
    prefix = tokenizer.encode(before, add_special_tokens=False).ids
    for label in LABELS:
        if label_tokens:
            token = tokenizer.token_to_id(label_tokens[label])
            if token is None:
                faults.append(f"label_tokens: the vocabulary has no entry for {label}")
                continue
        else:
            ids = tokenizer.encode(f"{before} {label}", add_special_tokens=False).ids
            if ids[:-1] != prefix:
                faults.append(f"the label {label} is not one token after a slot")
                continue
            token = ids[-1]
            if not _is_label(tokenizer, token, label):
                faults.append(f"the vocabulary has no entry for the label {label}")
                continue
        found[label] = token
    seen: dict[int, str] = {}
    for label, token in found.items():
        if token in seen:
            faults.append(f"the labels {seen[token]} and {label} are the same token")
        seen.setdefault(token, label)
    if faults:
        text = "tokenizer.json: " + "; ".join(faults)
        raise ConfigError(
            text, violations=tuple(Violation("model_path", f"tokenizer.json: {fault}") for fault in faults)
        )
    return tuple(found[label] for label in LABELS)


def _is_label(tokenizer: Tokenizer, token: int, label: str) -> bool:
    """False for the unknown token, which a vocabulary without the label gives."""
    entry = tokenizer.id_to_token(token)
    return entry is not None and entry.lstrip("\u2581\u0120 ") == label
