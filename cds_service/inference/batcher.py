"""Many callers, one model: requests that wait together go through it together. docs/inference.md tells the whole.

One thread owns the model. Callers block in :meth:`Batcher.score` until their scores are there, their deadline is near, they have
gone, or the model is found dead or hanging: no caller waits longer than it has time for, whatever the model does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cds_service.inference.engine import Engine, FreesMemory, Prepared, Prepares, SlotScores
from cds_service.inference.passes import judge
from cds_service.inference.waiting import Entry, Row, Waiting
from cds_service.turns import step_back
from fhir_adapter.errors import Cancelled, EngineError, EngineLate, EngineStopped
from fhir_adapter.prompt import Prompt

T = TypeVar("T")
log = logging.getLogger(__name__)
LOOK_S = 0.05
"""How often a waiting caller looks whether it is still wanted and the model still alive."""
RECENT_S = 0.1
"""After a pass of several callers, how long more of them are expected at once."""
CHARACTERS_A_TOKEN = 4
"""For engines that don't prepare prompts: a guess, for packing only."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``tokens`` of one pass; ``delay_s`` that a pass waits for others while requests come in together; ``queue``: callers that may
    wait; ``hang_s``: a pass that takes longer counts as hanging."""

    tokens: int = 8192
    delay_s: float = 0.002
    queue: int = 256
    hang_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass was, for those who watch: callers and tokens in it, seconds it took."""

    requests: int
    tokens: int
    seconds: float


class Batcher:
    """The thread that owns a model, and the queue before it. Several engines may stand on one model (its adapters): each pass is
    one engine's. The thread starts with the first question; :meth:`close` ends it."""

    def __init__(self, limits: Limits | None = None, *, observe: Callable[[Pass], None] = lambda seen: None) -> None:
        self._limits, self.observe = limits or Limits(), observe
        self._waiting = Waiting(self._limits.queue)
        self._jobs: deque[_Job[Any]] = deque()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._stopped = False

    @property
    def healthy(self) -> bool:
        """False once the model died, and while a pass hangs. A pass that ends after all makes it true again."""
        return not self._stopped and not self._hangs()

    def score(
        self, engine: Engine, prompts: Sequence[Prompt], *, deadline: float | None, cancelled: Callable[[], bool]
    ) -> list[tuple[SlotScores, ...]]:
        """``engine``'s scores of one caller's prompts, in order, computed together with whatever else waits.

        Raises:
            PromptTooLong, EngineError: of these prompts alone.
            EngineLate: no answer by ``deadline``.
            EngineStopped: the model died or hangs.
            Cancelled: ``cancelled`` says so.
            Overloaded: more callers wait than the queue holds.
        """
        if not self.healthy:
            raise EngineStopped
        asked = [prompt for prompt in prompts if prompt.slots]
        if not asked:
            return [()] * len(prompts)
        entry = Entry(engine, _prepare(engine, asked), deadline, cancelled)
        self._waiting.put(entry)
        self._run()
        self._await(entry)
        if entry.error is not None:
            raise entry.error
        answers = iter(entry.scores[number] for number in range(len(entry.rows)))
        return [next(answers) if prompt.slots else () for prompt in prompts]

    def exclusively(self, job: Callable[[], T], *, timeout: float | None = None) -> T:
        """Runs ``job`` in the model's thread, between two passes: to warm up, or to generate. Not from within a job.

        Raises:
            TimeoutError: not done after ``timeout`` seconds; it still will be.
            EngineStopped: the model died.
            Exception: from ``job``.
        """
        if self._stopped:
            raise EngineStopped
        alone = _Job(job)
        self._jobs.append(alone)
        self._run()
        self._waiting.wake()
        if self._stopped:  # meanwhile: nobody else would end it
            self._end()
        return alone.future.result(timeout)

    def close(self) -> None:
        """Ends the thread once its pass is over; callers that wait get EngineStopped. Nothing can be asked afterwards."""
        self._end()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(min(self._limits.hang_s, 5.0))

    def _await(self, entry: Entry) -> None:
        """Returns once ``entry`` has ended, by the model's thread or, where that can't be waited for, by this one."""
        while True:
            now = time.monotonic()
            left = LOOK_S if entry.deadline is None else min(LOOK_S, entry.deadline - now)
            if left > 0 and entry.done.wait(left):
                return
            if entry.cancelled():
                entry.fail(Cancelled())
            elif entry.deadline is not None and time.monotonic() >= entry.deadline:
                entry.fail(EngineLate())
            elif self._hangs() or not self._alive():
                entry.fail(EngineStopped())
            if entry.done.is_set():
                return

    def _hangs(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > self._limits.hang_s

    def _alive(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def _run(self) -> None:
        """Starts the thread, or another one where it died."""
        with self._start:
            if not self._stopped and not self._alive():
                self._thread = threading.Thread(target=self._work, name="model", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        """The model's thread: waits, packs, computes; between passes, what is to be done alone."""
        step_back()
        crowd, left, ended = 1, 0, 0.0
        while self._waiting.wait(lambda: bool(self._jobs)):
            if self._jobs:
                self._jobs.popleft().run()
            if crowd > 1 and time.monotonic() - ended < RECENT_S:
                # Those answered are expected back beside those that waited meanwhile: else the two would take turns for good.
                self._waiting.gather(crowd + left, self._limits.tokens, ended, self._limits.delay_s)
            if rows := self._waiting.take(self._limits.tokens):
                crowd = self._pass(rows)
                left, ended = len(self._waiting), time.monotonic()

    def _pass(self, rows: Sequence[Row]) -> int:
        """Computes; each of ``rows`` has its scores, or its entry an error, afterwards. Returns how many entries there were."""
        engine = rows[0][0].engine
        prepared = [entry.rows[number] for entry, number in rows]
        began = time.monotonic()
        try:
            outcomes = judge(
                prepared,
                lambda some: self._score(engine, some),
                free_memory=engine.free_memory if isinstance(engine, FreesMemory) else lambda: None,
                wanted=lambda index: not rows[index][0].settle(time.monotonic()),
            )
        except BaseException as error:  # EngineStopped, or what ends threads: this model answers nothing more
            log.error("the model stopped: %s", type(error).__name__)
            self._end()
            for entry, _ in rows:
                entry.fail(EngineStopped())
            return len(rows)
        for (entry, number), outcome in zip(rows, outcomes, strict=True):
            if isinstance(outcome, EngineError):
                entry.fail(type(outcome)(str(outcome)))  # its own: an exception is not shared between threads
            elif outcome is not None:
                entry.answer(number, outcome)
        requests = len({id(entry) for entry, _ in rows})
        self.observe(Pass(requests, sum(len(row.ids) for row in prepared), time.monotonic() - began))
        return requests

    def _score(self, engine: Engine, rows: Sequence[Prepared]) -> list[tuple[SlotScores, ...]]:
        self._busy_since = time.monotonic()
        try:
            if isinstance(engine, Prepares):
                return engine.score_prepared(rows)
            return engine.score([row.prompt for row in rows])
        finally:
            self._busy_since = None

    def _end(self) -> None:
        self._stopped = True
        self._waiting.close(EngineStopped())
        while self._jobs:
            self._jobs.popleft().future.set_exception(EngineStopped())


class _Job(Generic[T]):
    """Something to be done in the model's thread, and what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self.future: Future[T] = Future()

    def run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


def _prepare(engine: Engine, prompts: Sequence[Prompt]) -> Sequence[Prepared]:
    if isinstance(engine, Prepares):
        return engine.prepare(prompts)
    return [Prepared(prompt, range(len(prompt.text) // CHARACTERS_A_TOKEN + 1), ()) for prompt in prompts]
