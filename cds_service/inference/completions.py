"""The body of a `/v1/completions` request that asks for the labels at slots, and the reading of its answer. Pure.

Each slot is one prompt of the request: the tokens up to it, so that the prompts of a panel are each other's prefixes, shortest
first, and a server that caches prefixes (vLLM does) computes each token once. One token is asked for, held to the labels; what
counts are the log probabilities that come with it, normalized over the labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from fhir_adapter.errors import EngineAnswer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Dialect = Literal["vllm", "openai"]
TOP = 20
"""Log probabilities asked for beside the label's own: vLLM's default limit."""
TOP_OPENAI = 5
"""The most that OpenAI's own API gives."""
UNSEEN = 0.01
"""How much of the labels' probability may be on those that a server left out; with more, its answer is refused."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The tokens of :data:`fhir_adapter.prompt.LABELS` in order, and how a server may write them."""

    ids: tuple[int, ...]
    texts: Mapping[str, int]


def labels_of(tokenizer: Tokenizer, ids: Sequence[int]) -> Labels:
    """``ids`` with the texts that stand for one of them alone: "N" may be another token than " N", and then stands for neither."""
    texts: dict[str, int] = {}
    for token in ids:
        entry = tokenizer.id_to_token(token) or ""
        spaced = entry.replace("▁", " ").replace("Ġ", " ")
        for text in {entry, spaced}:
            texts[text] = token
        bare = spaced.strip()
        if all(tokenizer.token_to_id(other) in (None, token) for other in (bare, f"▁{bare}", f"Ġ{bare}")):
            texts[bare] = token
    return Labels(tuple(ids), texts)


def body(model: str, prompts: Sequence[Sequence[int]], labels: Labels, dialect: Dialect) -> bytes:
    """The request for one label after each of ``prompts`` (token ids)."""
    asked: dict[str, Any] = {
        "model": model,
        "prompt": [list(prompt) for prompt in prompts],
        "max_tokens": 1,
        "temperature": 0,
        "stream": False,
    }
    if dialect == "vllm":
        # logprob_token_ids: the labels' own log probabilities, whatever their rank (vLLM from mid-2026 on). An older server
        # passes over it and gives the TOP likeliest.
        asked |= {
            "logprobs": TOP,
            "logprob_token_ids": list(labels.ids),
            "allowed_token_ids": list(labels.ids),
            "return_tokens_as_token_ids": True,
        }
    else:
        asked |= {"logprobs": TOP_OPENAI, "logit_bias": {str(token): 100 for token in labels.ids}}
    return orjson.dumps(asked)


def read(
    raw: bytes, *, model: str, prompts: Sequence[Sequence[int]], labels: Labels, temperature: float
) -> list[tuple[float, ...]]:
    """Probabilities over LABELS after each prompt, in order.

    Raises:
        EngineAnswer: not JSON, another model, fewer or other answers than asked for, a prompt that was cut, numbers that are no log
            probabilities, or labels left out that may matter.
    """
    choices = _choices(raw, model, sum(map(len, prompts)), len(prompts))
    found: dict[int, tuple[float, ...]] = {}
    for choice in choices:
        index = choice.get("index") if isinstance(choice, dict) else None
        if type(index) is not int or not 0 <= index < len(prompts) or index in found:
            raise EngineAnswer
        found[index] = _probabilities(_first(choice), labels, temperature)
    return [found[index] for index in range(len(prompts))]


def note_body(model: str, prompt: Sequence[int], max_tokens: int) -> bytes:
    """The request for a note: the likeliest words after ``prompt`` (token ids), to the end of the line."""
    asked = {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": max_tokens,
        "temperature": 0,
        "stop": ["\n\n"],
        "stream": False,
    }
    return orjson.dumps(asked)


def read_note(raw: bytes, *, model: str, prompt: Sequence[int]) -> tuple[str, bool]:
    """What was written, and whether it came to its end or was cut off at the cap.

    Raises:
        EngineAnswer: not JSON, another model, no text.
    """
    choices = _choices(raw, model, len(prompt), 1)
    text = choices[0].get("text") if isinstance(choices[0], dict) else None
    if not isinstance(text, str):
        raise EngineAnswer
    return text, choices[0].get("finish_reason") == "stop"


def _choices(raw: bytes, model: str, tokens: int, count: int) -> list[Any]:
    """The ``count`` choices of an answer of ``model`` to prompts of so many tokens in all."""
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise EngineAnswer from None
    if not isinstance(answer, dict) or answer.get("model") != model:
        raise EngineAnswer
    usage = answer.get("usage")
    if isinstance(usage, dict) and usage.get("prompt_tokens") not in (None, tokens):
        raise EngineAnswer
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != count:
        raise EngineAnswer
    return choices


def _first(choice: dict[str, Any]) -> dict[str, Any]:
    """The log probabilities of a choice's first token."""
    logprobs = choice.get("logprobs")
    top = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
    if not isinstance(top, list) or not top or not isinstance(top[0], dict):
        raise EngineAnswer
    return top[0]


def _probabilities(top: Mapping[str, Any], labels: Labels, temperature: float) -> tuple[float, ...]:
    seen: dict[int, float] = {}
    for text, number in top.items():
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not math.isfinite(number)
            or number > 1e-3
        ):
            raise EngineAnswer
        token = _token(text, labels)
        if token is not None:
            seen[token] = max(float(number), seen.get(token, -math.inf))
    missing = [token for token in labels.ids if token not in seen]
    if not seen:
        raise EngineAnswer
    highest = max(seen.values())
    weights = {token: math.exp((number - highest) / temperature) for token, number in seen.items()}
    total = sum(weights.values())
    if missing:
        # The likeliest tokens came; one that did not is at most as likely as the last of them.
        bound = len(missing) * math.exp((min(map(float, top.values())) - highest) / temperature)
        if bound > UNSEEN * (total + bound):
            raise EngineAnswer
    return tuple(weights.get(token, 0.0) / total for token in labels.ids)


def _token(text: str, labels: Labels) -> int | None:
    """The label's token that a server's key stands for; None for any other token."""
    kind, colon, number = text.partition(":")
    if kind == "token_id" and colon and number.isdecimal():
        return int(number) if int(number) in labels.ids else None
    return labels.texts.get(text)
