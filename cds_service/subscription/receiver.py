"""The receiver as the service has it: notifications in, and a worker behind them that judges and sends."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from cds_service.config import Settings
from cds_service.evaluator import Evaluator
from cds_service.hooks.authorities import Authorities
from cds_service.hooks.fhir_client import FhirClient
from cds_service.records.database import Database
from cds_service.subscription.judging import Judge
from cds_service.subscription.notification import Notification
from cds_service.subscription.queue import Queue, Received
from cds_service.subscription.sending import Sender
from cds_service.subscription.tokens import Tokens
from cds_service.subscription.worker import Worker
from cds_service.telemetry.setup import Telemetry
from fhir_adapter.errors import InvalidInput, RecordsUnavailable, Violation

log = logging.getLogger(__name__)
_RELATIVE = re.compile(r"Subscription/[A-Za-z0-9\-.]{1,64}")


class Receiver:
    """Takes notifications of ``subscription_server`` for the worker."""

    def __init__(self, settings: Settings, queue: Queue, worker: Worker, tokens: Tokens) -> None:
        self._server, self._queue, self._worker = settings.subscription_server or "", queue, worker
        self.tokens = tokens

    async def receive(self, notification: Notification) -> Received:
        """Stores the events for good; what was missed is stored to be asked for.

        Raises:
            InvalidInput: the subscription is none of this server's.
            RecordsUnavailable: they can't be stored now; the server has to send them again.
        """
        relative = notification.subscription.removeprefix(self._server + "/")
        if _RELATIVE.fullmatch(relative) is None:
            place = "Bundle.entry[0].resource.subscription"
            raise InvalidInput(violations=(Violation(place, "must be a Subscription of subscription_server"),))
        try:
            received = await asyncio.to_thread(self._queue.receive, replace(notification, subscription=relative))
        except SQLAlchemyError as error:
            log.error("a notification can't be stored: %s", type(error).__name__)
            raise RecordsUnavailable from None
        if received.missed:
            log.warning("%d events were missed; they are asked for", received.missed)
        self._worker.wake()
        return received


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def receiving(
    settings: Settings,
    database: Database,
    evaluator: Evaluator,
    telemetry: Telemetry,
    authorities: Authorities,
    now: Callable[[], datetime] = _now,
) -> AsyncIterator[Receiver]:
    """A receiver whose worker runs for the length of the block."""
    async with AsyncExitStack() as ending:
        tokens = Tokens(settings)
        client, sender = FhirClient(settings, authorities), Sender(settings, authorities, tokens)
        ending.push_async_callback(client.close)
        ending.push_async_callback(sender.close)
        queue = Queue(database, now, settings.outbox_attempts)
        worker = Worker(queue, Judge(settings, client, evaluator, telemetry, now, tokens), sender, now)
        task = asyncio.create_task(worker.run())
        try:
            yield Receiver(settings, queue, worker, tokens)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
