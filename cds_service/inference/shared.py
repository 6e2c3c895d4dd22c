"""One model's weights, shared by the engines that stand on it: one thread at a time, one adapter at a time."""

from __future__ import annotations

import itertools
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cds_service.inference import lora, upcast

if TYPE_CHECKING:
    from tokenizers import Tokenizer


BUCKET = 128
"""Compiled passes are padded to multiples of so many tokens."""


class SharedModel:
    """A model with its tokenizer and the adapters that were put in. Adapters are known by names of this object's own, so
    that a new version of one can stand beside the old one while that still answers."""

    def __init__(self, model: Any, tokenizer: Tokenizer, folder: Path, *, compiled: bool = False) -> None:
        self.tokenizer = tokenizer
        self.folder = folder
        self.longest = int(model.config.max_position_embeddings)
        """Most tokens in one prompt."""
        self.model = model
        self._widened = upcast.needed(str(model.device), model.dtype) and not getattr(model, "is_quantized", False)
        if self._widened:
            upcast.widen(model)
        self._compiled: Any = None
        if compiled:
            import torch

            self._compiled = torch.compile(model.model, dynamic=False)
        self.lock = threading.Lock()
        self._count, self._waiting = threading.Lock(), 0
        self._names = (f"adapter{number}" for number in itertools.count())
        self._active: str | None = None
        self._any = False
        self._retired: deque[str] = deque()

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[None]:
        """The model for one thread, with this adapter (None: the base alone) and no other in force."""
        self._acquire()
        try:
            self._prepare(adapter)
            yield
        finally:
            self.lock.release()

    def shape(self, rows: int, tokens: int) -> tuple[int, int]:
        """Rows and tokens of a pass, padded to one of a few shapes where each new one would have to be compiled."""
        if self._compiled is None:
            return rows, tokens
        width = -(-tokens // BUCKET) * BUCKET
        return 1 << (rows - 1).bit_length(), min(width, max(tokens, self.longest))

    def hidden(self, ids: Any) -> Any:
        """The last hidden states of ``ids`` (rows, tokens)."""
        body = self.model.model if self._compiled is None else self._compiled
        return body(input_ids=ids, use_cache=False).last_hidden_state

    def cache(self, tokens: int) -> Any:
        """Room for the keys and values of a text of so many tokens at most, where passes are compiled: of one size from the first token to
        the last, since a cache that grows has a new shape for each. None for one that grows."""
        if self._compiled is None:
            return None
        room = min(-(-tokens // BUCKET) * BUCKET, max(tokens, self.longest))
        return import_module("transformers").StaticCache(config=self.model.config, max_cache_len=room)

    def step_aside(self, adapter: str | None) -> None:
        """Inside :meth:`using`, lets those in who wait, and comes back."""
        if not self._waiting:
            return
        self.lock.release()
        try:
            for _ in range(100):  # a lock isn't handed over: give a waiter the time to take it
                time.sleep(0.0001)
                if not self._waiting or self.lock.locked():
                    break
        finally:
            self._acquire()
        self._prepare(adapter)

    def _acquire(self) -> None:
        with self._count:
            self._waiting += 1
        self.lock.acquire()
        with self._count:
            self._waiting -= 1

    def _prepare(self, adapter: str | None) -> None:
        self._clear()
        if self._any and self._active != adapter:
            lora.activate(self.model, adapter)
            self._active = adapter

    def add(self, adapter: lora.Adapter) -> str:
        """Puts an adapter in; returns its name here. Requests under way end first, later ones wait for the time that
        takes: the files were read before.

        Raises:
            ConfigError: it doesn't fit; the model is as it was.
        """
        name = next(self._names)
        with self.lock:
            self._clear()
            self._any, self._active = True, "?"  # peft activates what it puts in: set again before the next pass
            lora.attach(self.model, adapter, name)
            if self._widened:
                upcast.widen(self.model)
        return name

    def retire_with(self, owner: object, name: str) -> None:
        """Takes the adapter out once ``owner`` is gone: who still holds the engine of an old version can go on asking it."""
        weakref.finalize(owner, self._retired.append, name)

    def remove(self, name: str) -> None:
        """Takes an adapter out at once."""
        self._retired.append(name)
        with self.lock:
            self._clear()

    def _clear(self) -> None:
        """Done under the lock by whoever comes next, since a finalizer may run in any thread, even one that holds it."""
        while self._retired:
            lora.detach(self.model, self._retired.popleft())
            self._active = "?"
