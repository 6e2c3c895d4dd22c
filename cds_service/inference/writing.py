"""Text from the model, token by token: until it ends its sentence or its line, its cap is reached, the time is up or the caller gone.

Between two tokens the model's lock is given up to whoever waits for it, so that a note of one panel never holds up the flags of
another for longer than one token takes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

from cds_service.inference.shared import SharedModel
from fhir_adapter.errors import EngineError, EngineMemory, PromptTooLong

_WHOLE = re.compile(r"(.*[.!?])(?=\s|$)", re.DOTALL)


def write(
    shared: SharedModel,
    adapter: str | None,
    prompt: str,
    *,
    max_tokens: int,
    longest: int,
    deadline: float | None,
    cancelled: Callable[[], bool],
) -> str:
    """One paragraph that continues ``prompt``, of whole sentences; empty where none was finished in time (``time.monotonic``).

    Raises:
        PromptTooLong: prompt and cap together are beyond the context window.
        EngineMemory, EngineError: the model failed.
    """
    import torch

    ids = shared.tokenizer.encode(prompt).ids
    if len(ids) + max_tokens > longest:
        raise PromptTooLong
    transformers: Any = import_module("transformers")
    ended = False

    def over(tokens: Any, scores: Any, **_: Any) -> Any:
        nonlocal ended
        said = shared.tokenizer.decode(tokens[0, len(ids) :].tolist())
        ended = said.lstrip() != "" and "\n" in said.lstrip()
        late = deadline is not None and time.monotonic() >= deadline
        stop = ended or late or cancelled()
        if not stop:
            shared.step_aside(adapter)
        return torch.full((tokens.shape[0],), stop, dtype=torch.bool, device=tokens.device)

    class Over(transformers.StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any, **given: Any) -> Any:
            return over(input_ids, scores, **given)

    end = shared.model.config.eos_token_id
    end = end[0] if isinstance(end, list) else end
    how = transformers.GenerationConfig(
        max_new_tokens=max_tokens, do_sample=False, eos_token_id=end, pad_token_id=end or 0, use_cache=True
    )
    try:
        with shared.using(adapter), torch.inference_mode():
            if (deadline is not None and time.monotonic() >= deadline) or cancelled():
                return ""
            given = torch.tensor([ids], device=shared.model.device)
            made = shared.model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                past_key_values=shared.cache(len(ids) + max_tokens),
                generation_config=how,
                stopping_criteria=transformers.StoppingCriteriaList([Over()]),
            )[0, len(ids) :].tolist()
    except (torch.OutOfMemoryError, MemoryError):
        raise EngineMemory from None
    except RuntimeError as error:
        raise (EngineMemory if "memory" in str(error) else EngineError)() from None
    ended = ended or (bool(made) and made[-1] == end)
    return whole(shared.tokenizer.decode(made), ended=ended)


def whole(text: str, *, ended: bool) -> str:
    """The first paragraph of what a model wrote; where it was cut off, only its whole sentences."""
    first = text.strip().split("\n", 1)[0].strip()
    if ended:
        return first
    found = _WHOLE.match(first)
    return found[1] if found is not None else ""
