"""Through the running service: requests that come together share a pass, though few compute at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cds_service.client import AsyncLabCueClient, Retry
from cds_service.config import Settings
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher
from cds_service.pipeline import Pipeline
from fhir_adapter import catalog
from fhir_adapter.errors import Overloaded
from tests.bundles import PANEL, bundle, observation
from tests.cds_service.inference.engines import Telling, abnormal
from tests.cds_service.rpc.conftest import Serve

CATALOG = catalog.load()


async def test_one_place_is_enough_to_fill_a_pass(serve: Serve) -> None:
    engine = Telling()
    pipeline = Pipeline(Settings(engine="none"), CATALOG, Batched(engine, Batcher()))
    async with (
        serve(pipeline, max_concurrency=1, max_queue=8) as served,
        AsyncLabCueClient(served.target, retry=Retry(attempts=1)) as client,
    ):
        engine.passes.clear()
        while engine.entered.acquire(blocking=False):
            pass
        engine.gate.clear()
        values = [4.0 + number / 10 for number in range(9)]

        def sent(value: float) -> asyncio.Task[Any]:
            panel = bundle(observation("k", "2823-3", value, "mmol/L", 3.5, 5.1))
            return asyncio.create_task(client.evaluate(panel))

        calls = [sent(values[0])]
        assert await asyncio.to_thread(engine.entered.acquire)  # alone: the second may else share its pass
        calls += [sent(value) for value in values[1:]]
        waiting = pipeline.engine.batcher._waiting  # type: ignore[union-attr]
        while len(waiting) < 8:
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):  # those that wait for the model are inside, too
            await client.evaluate(PANEL)
        engine.gate.set()
        answers = [await call for call in calls]
    assert sorted(len(one) for one in engine.passes) == [1, 8]
    for value, answer in zip(values, answers, strict=True):
        (flag,) = answer.extension.evaluation.flags
        assert float(flag.value) == value
        assert flag.probability == pytest.approx(abnormal(value))
    pipeline.close()


async def test_who_comes_back_from_the_model_takes_turns_and_frees_them(serve: Serve) -> None:
    """More rounds than places: a place or a turn that is lost would stop the service."""
    engine = Telling()
    pipeline = Pipeline(Settings(engine="none"), CATALOG, Batched(engine, Batcher()))
    async with serve(pipeline, max_concurrency=1, max_queue=40) as served, AsyncLabCueClient(served.target) as client:
        for _ in range(5):
            answers = await asyncio.gather(*(client.evaluate(PANEL) for _ in range(6)))
            assert all(answer.extension.evaluation.model.name == "telling" for answer in answers)
            assert served.server.backend.evaluator.inside == 0
    pipeline.close()
