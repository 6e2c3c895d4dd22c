"""The batcher alone, before a model that costs what an accelerator's does: a pass has a price of its own, whoever shares it.

A simulation, and reported as one: it shows what batching gains where the model's passes are worth sharing. On a CPU they hardly are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher, Limits
from cds_service.inference.engine import SlotScores
from cds_service.inference.tokens import sample
from evaluation.bench.load import SHARES, Outcome, arrivals, summary
from evaluation.bench.service import Row, percentile
from fhir_adapter.errors import LabCueError
from fhir_adapter.prompt import LABELS, PROMPT_VERSION, Prompt

PASS_S, PROMPT_S = 0.020, 0.0004
"""What a pass costs, and each prompt in it."""
PLACES = 48
"""Callers inside at most, in the open loop: as the door has them before the batcher."""


class Accelerator:
    """Sleeps as long as a pass would take; the answers mean nothing."""

    info = ModelInfo("simulated", "1", prompt_version=PROMPT_VERSION)
    thresholds = Thresholds()

    def warm_up(self) -> None:
        """Nothing to load."""

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        """The same probability for each label everywhere, after the time that a pass takes."""
        time.sleep(PASS_S + PROMPT_S * len(prompts))
        even = (1 / len(LABELS),) * len(LABELS)
        return [tuple(SlotScores(slot.result, even) for slot in prompt.slots) for prompt in prompts]


def measure(calls: int, clients: Sequence[int] = (1, 8, 32)) -> list[Row]:
    """Requests a second through the batcher with so many threads that ask, each again as soon as it was answered."""
    rows: list[Row] = []
    prompt = sample(20)
    for count in clients:
        engine = Batched(Accelerator(), Batcher(Limits(tokens=32_768)))
        spent: list[float] = []

        def ask(share: int = max(1, calls // count), engine: Batched = engine, spent: list[float] = spent) -> None:
            for _ in range(share):
                began = time.perf_counter()
                engine.score([prompt])
                spent.append((time.perf_counter() - began) * 1e3)

        threads = [threading.Thread(target=ask) for _ in range(count)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - began
        engine.close()
        spent.sort()
        rows.append(
            {
                "callers": count,
                "requests/s": round(len(spent) / wall, 1),
                "p50 ms": round(percentile(spent, 0.5), 1),
                "p99 ms": round(percentile(spent, 0.99), 1),
            }
        )
    return rows


def opened(closed: Sequence[Row], seconds: float) -> list[Row]:
    """Poisson arrivals at 70, 100 and 200 % of the capacity that ``closed`` found, through the batcher behind a door of PLACES. Latency
    counts from the moment a caller was due."""
    capacity, prompt = float(closed[-1]["requests/s"]), sample(20)
    rows: list[Row] = []
    for share in SHARES:
        engine = Batched(Accelerator(), Batcher(Limits(tokens=32_768)))
        places = threading.Semaphore(PLACES)

        def ask(due: float, engine: Batched = engine, places: threading.Semaphore = places) -> Outcome:
            if not places.acquire(blocking=False):
                return Outcome("overloaded", time.perf_counter() - due)
            try:
                engine.score([prompt])
            except LabCueError as error:
                return Outcome(error.code, time.perf_counter() - due)
            finally:
                places.release()
            return Outcome("ok", time.perf_counter() - due)

        with ThreadPoolExecutor(PLACES + 16) as threads:
            begin = time.perf_counter()
            asked = []
            for at in arrivals(capacity * share, seconds, seed=round(share * 100)):
                time.sleep(max(0.0, begin + at - time.perf_counter()))
                asked.append(threads.submit(ask, begin + at))
            rows.append(summary(f"{share:.0%} of capacity", capacity * share, [one.result() for one in asked]))
        engine.close()
    return rows
