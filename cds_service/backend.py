"""What all doors share: settings, one pipeline with one engine, one evaluator, telemetry, the records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module

from cds_service.build import build_pipeline
from cds_service.config import Settings
from cds_service.evaluator import Evaluates, Evaluator
from cds_service.hooks.authorities import Authorities
from cds_service.inference.batched import Batched
from cds_service.pipeline import Pipeline
from cds_service.records.store import Records
from cds_service.subscription.receiver import Receiver, receiving
from cds_service.telemetry.setup import Telemetry, setup
from cds_service.trust.gate import Gate, open_gate


@dataclass(slots=True)
class Backend:
    """The parts behind the doors. ``ready`` turns true once warm and false again when the service drains.

    ``gate`` is None where nobody has to say who they are, ``receiver`` where no notifications are taken.
    """

    settings: Settings
    pipeline: Evaluates
    telemetry: Telemetry
    records: Records
    evaluator: Evaluator
    authorities: Authorities
    gate: Gate | None = None
    receiver: Receiver | None = None
    ready: bool = False


@asynccontextmanager
async def opened(
    settings: Settings, pipeline: Evaluates | None = None, *, telemetry: Telemetry | None = None
) -> AsyncIterator[Backend]:
    """The backend for the length of the block; at its end threads, records and telemetry are closed in that order.

    Raises:
        ConfigError, CatalogError, EngineError: what is set can't be loaded.
    """
    async with AsyncExitStack() as ending:
        telemetry = telemetry or setup(settings)
        ending.push_async_callback(asyncio.to_thread, telemetry.shutdown)
        records = await asyncio.to_thread(Records, settings)
        ending.push_async_callback(asyncio.to_thread, records.close)
        authorities = Authorities(settings.fhir_ca)
        gate = open_gate(settings, records if settings.records is not None else None)
        judge = pipeline if pipeline is not None else await asyncio.to_thread(build_pipeline, settings)
        if pipeline is None and isinstance(judge, Pipeline):
            ending.push_async_callback(asyncio.to_thread, judge.close)
        engine = getattr(judge, "engine", None)
        if isinstance(engine, Batched):
            engine.batcher.observe = telemetry.passed
        evaluator = Evaluator(settings, judge, telemetry, records)
        ending.push_async_callback(asyncio.to_thread, evaluator.close)
        if settings.validation == "strict":
            # Before serving: the first request would wait a second for it.
            import_module("fhir.resources.R4B.bundle")
            import_module("fhir.resources.R4B.observation")
        receiver = None
        if settings.subscription_server is not None:
            receiver = await ending.enter_async_context(
                receiving(settings, records.database, evaluator, telemetry, authorities)
            )
        yield Backend(settings, judge, telemetry, records, evaluator, authorities, gate, receiver)


def warm_up(pipeline: Evaluates) -> None:
    """Loads what the first request would otherwise wait for."""
    from fhir_adapter import units

    units.normalize_unit("warm.up")  # the UCUM parser, for units outside the usual ones
    engine = getattr(pipeline, "engine", None)
    if engine is not None:
        engine.warm_up()
