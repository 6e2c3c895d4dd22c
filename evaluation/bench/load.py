"""The running service under open-loop load: requests arrive when they arrive, whether or not earlier ones were answered.

Latency counts from the moment at which a request was to be sent, so that a service that falls behind can't hide it (no coordinated
omission). The service has a process of its own; the clients are here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from cds_service.client import AsyncLabCueClient, Retry
from evaluation.bench.service import Row, latency, percentile, throughput
from evaluation.panels import bundle
from fhir_adapter.errors import LabCueError

RESULTS = 20
TIMEOUT_S = 5.0
CHANNELS = 8
"""Connections that the requests are spread over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: its ending ("ok", "degraded" or an error's code), and seconds from when it was due."""

    ending: str
    seconds: float


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of a Poisson process of ``rate`` a second, from 0 to ``seconds``."""
    chance = random.Random(seed)
    times: list[float] = []
    at = chance.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += chance.expovariate(rate)
    return times


async def open_loop(target: str, times: Sequence[float], *, results: int = RESULTS) -> list[Outcome]:
    """Sends one request at each of ``times`` and waits for all; nothing is retried."""
    data = bundle(results)
    async with AsyncExitStack() as open_clients:
        clients = [
            await open_clients.enter_async_context(
                AsyncLabCueClient(target, timeout=TIMEOUT_S, retry=Retry(attempts=1))
            )
            for _ in range(CHANNELS)
        ]
        await asyncio.gather(*(client.service_info() for client in clients))
        begin = time.perf_counter() + 0.05

        async def one(number: int, due: float) -> Outcome:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            try:
                answer = await clients[number % CHANNELS].evaluate(data)
                ending = "degraded" if answer.extension.evaluation.degraded else "ok"
            except LabCueError as error:
                ending = error.code
            return Outcome(ending, time.perf_counter() - due)

        return await asyncio.gather(*(one(number, begin + at) for number, at in enumerate(times)))


def summary(name: str, rate: float, outcomes: Sequence[Outcome]) -> Row:
    """One row of the report: shares of endings, and the latency of those that were admitted and answered."""
    count = len(outcomes)
    endings = Counter(outcome.ending for outcome in outcomes)
    answered = sorted(outcome.seconds * 1e3 for outcome in outcomes if outcome.ending in ("ok", "degraded"))
    shed = endings.pop("overloaded", 0)
    other = count - shed - len(answered)
    return {
        "load": name,
        "offered/s": round(rate, 1),
        "requests": count,
        "answered": len(answered),
        "by rules alone": endings["degraded"],
        "shed (RESOURCE_EXHAUSTED)": f"{shed / max(1, count):.1%}",
        "other endings": other,
        "p50 ms": round(percentile(answered, 0.5), 1) if answered else "-",
        "p99 ms": round(percentile(answered, 0.99), 1) if answered else "-",
    }


def measure(target: str, *, quick: bool) -> dict[str, list[Row]]:
    """Unloaded latency, closed-loop throughput of 1 and 32 clients, and open-loop load at 70, 100 and 200 % of capacity, which is
    what 32 clients in a closed loop get through."""
    calls = 10 if quick else 400
    seconds = 1.0 if quick else 20.0
    unloaded = asyncio.run(latency(target, (RESULTS,), {RESULTS: calls}))
    closed = asyncio.run(throughput(target, (1, 32), 64 if quick else 3000, RESULTS))
    capacity = float(closed[-1]["requests/s"])
    opened: list[Row] = []
    for share in (0.7, 1.0, 2.0):
        rate = capacity * share
        times = arrivals(rate, seconds, seed=round(share * 100))
        opened.append(summary(f"{share:.0%} of capacity", rate, asyncio.run(open_loop(target, times))))
    return {"unloaded": unloaded, "closed": closed, "open": opened}


def verdicts(found: dict[str, list[Row]]) -> list[Row]:
    """The aims beside what was found. Nothing is asserted."""
    unloaded, (one, many), (seventy, full, double) = found["unloaded"][0], found["closed"], found["open"]
    median = float(unloaded["p50 ms"])
    gain = float(many["requests/s"]) / float(one["requests/s"])

    def times(row: Row, of: float) -> str:
        return "-" if row["p99 ms"] == "-" or not of else f"{float(row['p99 ms']) / of:.1f}"

    full_p99 = 0.0 if full["p99 ms"] == "-" else float(full["p99 ms"])
    return [
        {"what": "unloaded p50 / p99, ms", "aim": "< 30 / < 100", "found": f"{median} / {unloaded['p99 ms']}"},
        {"what": "32 clients over one, requests/s", "aim": "≥ 3", "found": f"{gain:.1f}"},
        {"what": "p99 at 70 % over unloaded p50", "aim": "< 2", "found": times(seventy, median)},
        {"what": "shed at 200 %", "aim": "about half", "found": double["shed (RESOURCE_EXHAUSTED)"]},
        {"what": "p99 of admitted at 200 % over that at 100 %", "aim": "about 1", "found": times(double, full_p99)},
    ]
