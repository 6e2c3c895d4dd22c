"""Threads that compute stand behind the doors' thread."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence

import pytest

from cds_service import turns
from cds_service.client import AsyncLabCueClient
from cds_service.config import Settings
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher
from cds_service.pipeline import Pipeline
from fhir_adapter import catalog
from fhir_adapter.prompt import Prompt
from tests.bundles import PANEL
from tests.cds_service.inference.engines import Telling
from tests.cds_service.rpc.conftest import Serve


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a niceness of threads")
async def test_what_computes_stands_behind_the_doors(serve: Serve) -> None:
    model: list[int] = []

    def look(prompts: Sequence[Prompt]) -> None:
        model.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    doors = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    pipeline = Pipeline(Settings(engine="none"), catalog.load(), Batched(Telling(look), Batcher()))
    async with serve(pipeline) as served, AsyncLabCueClient(served.target) as client:
        await client.evaluate(PANEL)
        rules = [
            os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)
            for thread in threading.enumerate()
            if thread.name.startswith("evaluate")
        ]
    behind = min(19, doors + turns.BACK)
    assert model
    assert rules
    assert {*model, *rules} == {behind}
