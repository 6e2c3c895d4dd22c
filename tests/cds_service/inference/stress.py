"""A crowd against the running service: cancels, deadlines, poison, memory that runs out, and models swapped meanwhile.

Each panel has a value of its own, from which the right probability follows for each version of the model, so that an answer that
belongs to another panel, or to another model than it names, can't pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import random
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc

from cds_service.client import AsyncLabCueClient, Retry
from cds_service.config import Settings
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher, Limits
from cds_service.inference.waiting import Entry
from cds_service.pipeline import Pipeline
from cds_service.serving import Running, running
from fhir_adapter import catalog
from fhir_adapter.errors import DeadlineTooShort, EngineError, EngineMemory, LabCueError, Overloaded
from fhir_adapter.prompt import Prompt
from tests.bundles import bundle, observation
from tests.cds_service.inference.engines import Telling, abnormal, numbers_in

POISON = 0.05
"""Share of panels that make the model fail."""
AT_ONCE = 96
TOGETHER = 6
"""Panels that go into the model's memory at once."""


@dataclass
class Seen:
    """What became of the requests, and every answer that was not right."""

    endings: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    resident: list[int] = field(default_factory=list)
    entries: int = 0


class Swapping:
    """What the pipeline asks: one model in several versions, the newest of which answers who comes now."""

    def __init__(self) -> None:
        self.batcher = Batcher(Limits(queue=256, tokens=2048))
        self.engine: Batched
        self.version = 0
        self.gate = threading.Event()
        self.gate.set()
        self.swap()

    def swap(self) -> None:
        """Puts the next version in; who has begun is answered by the one before."""
        self.version += 1
        engine = Telling(_fault, version=self.version)
        engine.gate = self.gate
        self.engine = Batched(engine, self.batcher)


def _poisoned(number: float) -> bool:
    return int(number * 1e5) % 100 < POISON * 100


def _fault(prompts: Sequence[Prompt]) -> None:
    if len(prompts) > TOGETHER:
        raise EngineMemory
    if any(_poisoned(number) for prompt in prompts for number in numbers_in(prompt)):
        raise EngineError


def resident() -> int:
    """Bytes of resident memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class _Pipeline:
    """The real pipeline with whichever version is in force when a request begins."""

    def __init__(self, model: Swapping) -> None:
        self._model = model
        self._base = Pipeline(Settings(engine="none"), catalog.load())

    def evaluate(self, data: bytes, **given: object) -> object:
        return replace(self._base, engine=self._model.engine).evaluate(data, **given)  # type: ignore[arg-type]


async def stress(count: int, seed: int) -> Seen:
    """``count`` requests; the same ones for the same ``seed``. Raises where the service stops answering."""
    chance, seen, model = random.Random(seed), Seen(), Swapping()
    gc.collect()
    others = _entries()  # that tests before this one left; held, so that no new one takes their place in memory
    settings = Settings(engine="none", port=0, doors="grpc", max_concurrency=2, max_queue=30, idempotency_entries=0)
    room = asyncio.Semaphore(AT_ONCE)
    async with (
        running(settings, _Pipeline(model)) as server,
        AsyncLabCueClient(  # type: ignore[arg-type]
            f"127.0.0.1:{server.port}", retry=Retry(attempts=1)
        ) as client,
    ):

        async def one(number: int, kind: str, wait: float) -> None:
            value = 2 + number / 1e5  # five decimals: every panel another value
            try:
                seen.endings[await _ask(client, value, kind, wait, seen)] += 1
            finally:
                room.release()

        model.gate.clear()  # until the crowd is larger than the service: so that some are refused, however fast it is
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                while number == AT_ONCE - 1 and not seen.endings["overloaded"]:
                    await asyncio.sleep(0.01)
                if number == AT_ONCE - 1:
                    model.gate.set()
                await room.acquire()
                kind = chance.choices(("plain", "cancel", "deadline"), (8, 1, 1))[0]
                tasks.create_task(one(number, kind, chance.uniform(0, 0.08)))
                if chance.random() < 0.02:
                    model.swap()
                if number % 500 == 499:
                    gc.collect()
                    seen.resident.append(resident())
        await _emptied(server)
    model.batcher.close()
    gc.collect()
    seen.entries = len({id(one) for one in _entries()} - {id(one) for one in others})
    return seen


def _entries() -> list[Entry]:
    """Those alive in this process. By their type: isinstance would wake lazy objects of torch."""
    return [one for one in gc.get_objects() if type(one) is Entry]


async def _emptied(server: Running) -> None:
    async with asyncio.timeout(30):
        while server.backend.evaluator.inside:
            await asyncio.sleep(0.01)


async def _ask(client: AsyncLabCueClient, value: float, kind: str, wait: float, seen: Seen) -> str:
    """One request and its ending; what is not right about an answer goes into ``seen.wrong``."""
    data = bundle(observation("k", "2823-3", value, "mmol/L", 3.5, 5.1))
    call = asyncio.create_task(client.evaluate(data, timeout=wait + 0.002 if kind == "deadline" else 60))
    if kind == "cancel":
        await asyncio.sleep(wait / 4)
        call.cancel()
    try:
        answer = await call
    except asyncio.CancelledError:
        return "cancelled" if kind == "cancel" else seen.wrong.append(f"{value}: cancelled") or "wrong"
    except (Overloaded, DeadlineTooShort) as error:
        if isinstance(error, DeadlineTooShort) and kind != "deadline":
            seen.wrong.append(f"{value}: {error.code} with a minute left")
        return error.code
    except (LabCueError, grpc.aio.AioRpcError) as error:
        seen.wrong.append(f"{value}: {type(error).__name__}")
        return "wrong"
    found = answer.extension.evaluation
    with contextlib.suppress(ValueError):
        (flag,) = found.flags
        if not math.isclose(float(flag.value), value, abs_tol=1e-9):
            seen.wrong.append(f"{value}: the flag of {flag.value}")
        if found.degraded:
            if not (_poisoned(value) and found.degraded == "model failed") and not (
                kind == "deadline" and found.degraded == "model too late"
            ):
                seen.wrong.append(f"{value}: {found.degraded}")
            return "degraded"
        seen.versions[found.model.version] += 1
        if _poisoned(value) or not math.isclose(
            flag.probability, abnormal(value, int(found.model.version)), abs_tol=1e-6
        ):
            seen.wrong.append(f"{value}: not this panel's probability by version {found.model.version}")
        return "ok"
    seen.wrong.append(f"{value}: {len(found.flags)} flags")
    return "wrong"
