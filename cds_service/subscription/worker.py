"""Judges the events that wait and sends what came of them, one after the other, for as long as the service runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from cds_service.subscription.judging import Judged, NotJudged
from cds_service.subscription.queue import Due, Queue, Waiting
from cds_service.subscription.sending import Sender

log = logging.getLogger(__name__)
AT_ONCE = 4
"""Taken together; all of them are done well within ``queue.LEASE``."""
LOOK_S = 15.0
"""How often to look for what another replica left, without being woken."""


class Judges(Protocol):
    """What the worker needs of :class:`cds_service.subscription.judging.Judge`."""

    async def judge(self, event: Waiting) -> Judged: ...


class Worker:
    """Over one queue. Any number of them may run, in one process or in several."""

    def __init__(self, queue: Queue, judge: Judges, sender: Sender, now: Callable[[], datetime]) -> None:
        self._queue, self._judge, self._sender, self._now = queue, judge, sender, now
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something has come."""
        self._woken.set()

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            self._woken.clear()
            pause = LOOK_S
            try:
                if await self.step():
                    continue
                pause = await self._pause()
            except SQLAlchemyError as error:
                log.error("subscriptions can't be worked on: %s", type(error).__name__)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), pause)

    async def step(self) -> bool:
        """Judges and sends some of what is due; whether there was anything."""
        waiting = await asyncio.to_thread(self._queue.take, AT_ONCE)
        for event in waiting:
            await self._judged(event)
        due = await asyncio.to_thread(self._queue.due, AT_ONCE)
        for item in due:
            await self._sent(item)
        return bool(waiting or due)

    async def _sent(self, item: Due) -> None:
        sent = await self._sender.send(item.key, item.body)
        if sent.done:
            await asyncio.to_thread(self._queue.sent, item)
        elif await asyncio.to_thread(partial(self._queue.not_sent, item, sent.why, again=sent.again)):
            log.error("a judgement could not be sent and is a dead letter: %s", sent.why)

    async def _judged(self, event: Waiting) -> None:
        try:
            judged = await self._judge.judge(event)
        except NotJudged as error:
            failure = error
        except Exception as error:  # whatever it is, the event must not be lost or hold up the others
            log.error("an event could not be judged: %s", type(error).__name__)
            failure = NotJudged("internal error", again=True)
        else:
            await asyncio.to_thread(self._queue.judged, event, judged.key, judged.body)
            return
        if await asyncio.to_thread(partial(self._queue.not_judged, event, str(failure), again=failure.again)):
            log.error("an event could not be judged and is a dead letter: %s", failure)

    async def _pause(self) -> float:
        first = await asyncio.to_thread(self._queue.next_due)
        return LOOK_S if first is None else min(max((first - self._now()).total_seconds(), 0.05), LOOK_S)
