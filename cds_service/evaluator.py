"""One evaluation inside its limits, for every door: admission, a worker thread, the deadline, an orderly end.

A door turns its own wire into bytes of FHIR and back; what lies between is the same for all of them, and they share one
of these, so that the limits hold for all doors together.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from cds_service.admission import Admission
from cds_service.config import Settings
from cds_service.pipeline import Evaluation, Trace, Work
from cds_service.records.store import Records
from cds_service.telemetry.setup import Call, Counts, Telemetry
from cds_service.turns import step_back
from fhir_adapter.errors import DeadlineTooShort, Draining

T = TypeVar("T")


class Evaluates(Protocol):
    """What a door needs of ``pipeline.Pipeline``."""

    def evaluate(self, bundle: bytes, *, language: str | None = None, work: Work | None = None) -> Evaluation: ...

    def trace(self, bundle: bytes, *, language: str | None = None, work: Work | None = None) -> Trace: ...


class Evaluator:
    """``max_concurrency`` evaluations compute at a time; ``max_queue`` more may wait, in line or for the model, and while an
    overload lasts only as many as get through in ``max_wait_s``.

    An evaluation that waits for the model lends its place, so that the model has many to take together. With its scores it
    goes on beside those that began meanwhile, again at most ``max_concurrency`` at a time. Each holds a thread, of which there are
    as many as evaluations may be inside.
    """

    def __init__(self, settings: Settings, pipeline: Evaluates, telemetry: Telemetry, records: Records) -> None:
        self._settings, self._pipeline, self._telemetry, self._records = settings, pipeline, telemetry, records
        self._admission = Admission(
            settings.max_concurrency, settings.max_queue, telemetry, longest_s=settings.max_wait_s
        )
        inside = settings.max_concurrency + settings.max_queue
        self._threads = ThreadPoolExecutor(
            inside + max(1, inside // 2), thread_name_prefix="evaluate", initializer=step_back
        )
        self._back = threading.Semaphore(settings.max_concurrency)
        self.draining = False

    @property
    def inside(self) -> int:
        """Evaluations that run or wait now."""
        return self._admission.inside

    def check_open(self) -> None:
        """Raises Draining once the service is stopping."""
        if self.draining:
            raise Draining

    def check_room(self) -> None:
        """Raises Overloaded where one more would be refused: so that refusing costs next to nothing."""
        self._admission.check_room()

    def stream_turn(self) -> AbstractAsyncContextManager[Any]:
        """An item of a stream waits here before its time starts to run; then it evaluates with ``refuse=False``."""
        return self._admission.stream_turn()

    def deadline(self, left: float | None = None) -> float:
        """The deadline (``time.monotonic``) of a call whose caller gives it ``left`` seconds, capped by ours."""
        longest = self._settings.default_deadline_s
        return time.monotonic() + (longest if left is None else min(left, longest))

    async def evaluate(
        self,
        bundle: bytes,
        *,
        language: str | None,
        deadline: float,
        call: Call,
        write: Callable[[Evaluation], T],
        news: Callable[[str], bool] | None = None,
        user: str | None = None,
        refuse: bool = True,
        adapter: str | None = None,
    ) -> T:
        """The answer to one bundle as ``write`` puts it, which runs in the worker thread too. ``user`` is who will see the
        cards, as the caller names them: what they know already may be held back.

        ``adapter``: which of the settings' adapters is to judge. ``news`` says by FHIRPath which results the cards are about (default: all). A caller that leaves (cancellation) stops the work at its next step; its place is held until the thread has ended.

        Raises:
            InvalidInput: the bundle can't be read.
            Overloaded: no room (not with ``refuse=False``).
            DeadlineTooShort: the deadline (``time.monotonic``) passed, or is too near to begin.
        """

        def judge(work: Work) -> tuple[Counts | None, T]:
            evaluation = self._pipeline.evaluate(bundle, language=language, work=replace(work, adapter=adapter))
            evaluation, issue = self._records.settle(evaluation, user=user)
            written = write(evaluation)
            self._records.remember(issue)
            return self._telemetry.counted(evaluation), written

        return await self._judged(judge, deadline, call, news, refuse=refuse)

    async def trace(
        self, bundle: bytes, *, language: str | None, deadline: float, call: Call, write: Callable[[Trace], T]
    ) -> T:
        """As :meth:`evaluate`, with all that lies between input and answer."""

        def judge(work: Work) -> tuple[Counts | None, T]:
            trace = self._pipeline.trace(bundle, language=language, work=work)
            evaluation, issue = self._records.settle(trace.evaluation)
            written = write(replace(trace, evaluation=evaluation))
            self._records.remember(issue)
            return self._telemetry.counted(evaluation), written

        return await self._judged(judge, deadline, call, None)

    async def _judged(
        self,
        judge: Callable[[Work], tuple[Counts | None, T]],
        deadline: float,
        call: Call,
        news: Callable[[str], bool] | None,
        *,
        refuse: bool = True,
    ) -> T:
        if deadline - time.monotonic() < self._settings.min_deadline_s:
            raise DeadlineTooShort
        gone = threading.Event()
        loop = asyncio.get_running_loop()

        async with self._admission.place(deadline, refuse=refuse) as slot:
            with_model = _Away(lambda: loop.call_soon_threadsafe(slot.lend), self._back)
            work = Work(deadline, gone.is_set, call.observe, news, away=with_model)

            def run() -> tuple[Counts | None, T]:
                # What was judged goes where it was made: its thousands of records cost another core four times as much to free.
                try:
                    return judge(work)
                except (StopIteration, SystemExit, KeyboardInterrupt) as error:
                    # A future can't carry the first, and the others would end the server from within a request.
                    raise RuntimeError(type(error).__name__) from error
                finally:
                    with_model.end()

            running = loop.run_in_executor(self._threads, run)
            slot.keep_until(running)
            try:
                done, _ = await asyncio.wait((running,), timeout=max(0.0, deadline - time.monotonic()))
            except asyncio.CancelledError:
                gone.set()
                raise
            if not done:
                gone.set()
                raise DeadlineTooShort
            counts, written = running.result()
        if counts is not None:
            self._telemetry.found(call.span, counts)
        return written

    async def finish(self, grace: float) -> None:
        """Refuses new evaluations as Draining and waits, at most ``grace`` seconds, until those inside have ended."""
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._admission.wait_empty()

    def close(self) -> None:
        """Waits for running work and ends its threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)


class _Away:
    """One evaluation's absence while it waits for the model: ``lend`` gives its place away, ``back`` is the turn to go on."""

    def __init__(self, lend: Callable[[], object], back: threading.Semaphore) -> None:
        self._lend, self._back = lend, back
        self._holds = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.end()
        self._lend()
        try:
            yield
        finally:
            self._back.acquire()
            self._holds = True

    def end(self) -> None:
        """Gives the turn back."""
        if self._holds:
            self._holds = False
            self._back.release()
