"""Flags from a model on another machine: vLLM, or any server that speaks OpenAI's `/v1/completions` with log probabilities.

The tokenizer and the manifest are here, the weights are there: prompts go out as tokens, so that no text can hold a special one,
and what comes back is checked as if it were anybody's. A server that is down, slow or wrong leaves the answer to the rules.
docs/vllm.md tells how to run one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference import tokens
from cds_service.inference.calls import Calls
from cds_service.inference.completions import Dialect, body, labels_of, note_body, read, read_note
from cds_service.inference.engine import Prepared, SlotScores
from cds_service.inference.manifest import Manifest, read_manifest, refuse
from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_tokenizer
from cds_service.inference.writing import whole
from fhir_adapter.errors import ConfigError, EngineError, EngineRefused, Violation
from fhir_adapter.prompt import Prompt

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)
WARM_UP_S = 10.0
SLOTS_A_CALL = 128
"""Slots asked for in one request; a panel with more goes in several, which share its prefix there."""
LONGEST = 32_768
"""Tokens of a prompt where the manifest names no limit: the context window of Mistral-7B-v0.1."""


class RemoteEngine:
    """Scores panels by asking a server, each call inside its caller's deadline; safe from several threads."""

    def __init__(
        self, calls: Calls, model: str, tokenizer: Tokenizer, manifest: Manifest, dialect: Dialect = "vllm"
    ) -> None:
        self._calls, self._model, self._dialect = calls, model, dialect
        self._tokenizer, self._manifest = tokenizer, manifest
        self._labels = labels_of(tokenizer, label_ids(tokenizer, manifest.label_tokens))

    @property
    def info(self) -> ModelInfo:
        """From the manifest: an adapter's names its base."""
        manifest = self._manifest
        adapter = manifest.name if manifest.base else None
        return ModelInfo(manifest.base or manifest.name, manifest.version, adapter, manifest.prompt_version)

    @property
    def thresholds(self) -> Thresholds:
        """From the manifest."""
        return self._manifest.fitted

    @property
    def max_results(self) -> int | None:
        """Most results in one prompt, from the manifest."""
        return self._manifest.max_results

    def warm_up(self) -> None:
        """Asks the server once, for what it serves and for a small panel. One that can't be reached now may be later: that is
        logged, and rules answer until then.

        Raises:
            ConfigError: it doesn't serve the model, or doesn't take the key.
            EngineAnswer: what it answers are not this model's labels.
        """
        try:
            self._check_served()
            self.score([tokens.sample()])
        except EngineRefused:
            text = f"the server refuses requests for the model {self._model}"
            fault = "set one that it serves, and the key that it takes; the log has its status"
            raise ConfigError(text, violations=(Violation("remote_model", f"{text}: {fault}"),)) from None
        except EngineError as error:
            if error.code == "engine-bad-answer":
                raise
            log.error("the model's server does not answer yet (%s): rules answer until it does", error.code)

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """As :meth:`score_within`, for callers with time."""
        return self.score_within(prompts, deadline=None, cancelled=lambda: False)

    def score_within(
        self, prompts: Sequence[Prompt], *, deadline: float | None, cancelled: Callable[[], bool]
    ) -> list[tuple[SlotScores, ...]]:
        """The scores of all slots by ``deadline`` (``time.monotonic``).

        Raises:
            PromptTooLong: a prompt beyond the model's context window.
            EngineError: as :meth:`cds_service.inference.calls.Calls.post`.
            Cancelled: ``cancelled`` says so.
        """
        longest = self._manifest.max_tokens or LONGEST
        rows = tokens.prepare(prompts, self._tokenizer, self._manifest, longest)
        return [self._ask(row, deadline, cancelled) for row in rows]

    @property
    def writes_notes(self) -> bool:
        """From the manifest."""
        return self._manifest.writes_notes

    def write(self, prompt: str, *, max_tokens: int, deadline: float | None, cancelled: Callable[[], bool]) -> str:
        """As :meth:`cds_service.notes.write.Writes.write`.

        Raises:
            EngineError, Cancelled: as :meth:`score_within`.
        """
        ids = self._tokenizer.encode(prompt).ids
        asked = note_body(self._model, ids, max_tokens)

        def answer(raw: bytes) -> tuple[str, bool]:
            return read_note(raw, model=self._model, prompt=ids)

        text, ended = self._calls.post("/completions", asked, answer, deadline=deadline, cancelled=cancelled)
        return whole(text, ended=ended)

    def load_adapter(self, model: str, folder: Path, where: str = "adapter_path") -> RemoteEngine:
        """An engine for another model of the same server and tokenizer (``model`` is an adapter's name there), read by the
        manifest of ``folder``.

        Raises:
            ConfigError: the manifest doesn't hold.
        """
        manifest = read_manifest(folder, where=where)
        return RemoteEngine(self._calls, model, self._tokenizer, manifest, self._dialect)

    def close(self) -> None:
        """Ends connections and thread."""
        self._calls.close()

    def _ask(self, row: Prepared, deadline: float | None, cancelled: Callable[[], bool]) -> tuple[SlotScores, ...]:
        found: list[tuple[float, ...]] = []
        for start in range(0, len(row.at), SLOTS_A_CALL):
            asked = [row.ids[: at + 1] for at in row.at[start : start + SLOTS_A_CALL]]

            def answer(raw: bytes, asked: list[Sequence[int]] = asked) -> list[tuple[float, ...]]:
                return read(
                    raw,
                    model=self._model,
                    prompts=asked,
                    labels=self._labels,
                    temperature=self._manifest.temperature,
                )

            request = body(self._model, asked, self._labels, self._dialect)
            found += self._calls.post("/completions", request, answer, deadline=deadline, cancelled=cancelled)
        return tokens.scores(row, found)

    def _check_served(self) -> None:
        """Raises ConfigError where the server lists what it serves and the model isn't there."""
        try:
            listed = orjson.loads(self._calls.get("/models", deadline=time.monotonic() + WARM_UP_S))
            served = [str(one["id"]) for one in listed["data"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return  # not every server has a list; the first question will tell
        if self._model not in served:
            text = (
                f"remote_model: the server doesn't serve {self._model}; it serves {', '.join(served[:20]) or 'nothing'}"
            )
            raise ConfigError(text, violations=(Violation("remote_model", text),))


def load_remote(
    calls: Calls, model: str, model_path: Path, adapter_path: Path | None = None, *, dialect: Dialect = "vllm"
) -> RemoteEngine:
    """The engine for ``model`` as the server calls it, read from folders that need no weights: ``tokenizer.json`` and
    ``labcue.json``; the manifest of ``adapter_path``, if given, counts instead.

    Raises:
        ConfigError: a folder, manifest or tokenizer doesn't hold.
    """
    if not model_path.is_dir():
        raise refuse(model_path, "is not a folder")
    where = "model_path" if adapter_path is None else "adapter_path"
    manifest = read_manifest(adapter_path or model_path, where=where)
    return RemoteEngine(calls, model, load_tokenizer(model_path), manifest, dialect)
