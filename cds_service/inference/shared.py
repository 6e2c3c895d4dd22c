"""One model's weights, shared by the engines that stand on it: one thread at a time, one adapter at a time."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cds_service.inference import lora

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class SharedModel:
    """A model with its tokenizer and the adapters that were put in. Adapters are known by names of this object's own, so
    that a new version of one can stand beside the old one while that still answers."""

    def __init__(self, model: Any, tokenizer: Tokenizer, folder: Path) -> None:
        self.tokenizer = tokenizer
        self.folder = folder
        self.longest = int(model.config.max_position_embeddings)
        """Most tokens in one prompt."""
        self.model = model
        self.lock = threading.Lock()
        self._names = (f"adapter{number}" for number in itertools.count())
        self._active: str | None = None
        self._any = False
        self._retired: deque[str] = deque()

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[None]:
        """The model for one thread, with this adapter (None: the base alone) and no other in force."""
        with self.lock:
            self._clear()
            if self._any and self._active != adapter:
                lora.activate(self.model, adapter)
                self._active = adapter
            yield

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
