"""The running service under open-loop load: requests arrive when they arrive, whether or not earlier ones were answered.

Latency counts from the moment at which a request was to be sent, so that a service that falls behind can't hide it (no coordinated
omission). The service has a process of its own; the clients are here.
"""

from __future__ import annotations

import asyncio
import heapq
import os
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
SHARES = (0.7, 1.0, 2.0)
TIMEOUT_S = 5.0
SOON = ("--set", "max_wait_s=0.1")
"""Options of the service that sheds what would wait: the open loop is measured with and without."""
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
    """Unloaded latency, and closed-loop throughput of 1 and 32 clients: what 32 get through is the capacity."""
    calls = 10 if quick else 400
    unloaded = asyncio.run(latency(target, (RESULTS,), {RESULTS: calls}))
    closed = asyncio.run(throughput(target, (1, 32), 64 if quick else 3000, RESULTS))
    return {"unloaded": unloaded, "closed": closed}


def opened(target: str, capacity: float, *, quick: bool) -> list[Row]:
    """Open-loop load at 70, 100 and 200 % of ``capacity`` (requests a second)."""
    rows: list[Row] = []
    for share in SHARES:
        rate = capacity * share
        times = arrivals(rate, 1.0 if quick else 20.0, seed=round(share * 100))
        rows.append(summary(f"{share:.0%} of capacity", rate, asyncio.run(open_loop(target, times))))
    return rows


def least(share: float, cores: int, *, count: int = 200_000, seed: int = 1) -> float:
    """The 99th percentile of the time spent by requests that come as a Poisson process at ``share`` of what ``cores`` can do, each taking
    one core for a time of 1, first come first served and nothing else: what no service that computes each by itself can fall below."""
    chance, free, at = random.Random(seed), [0.0] * cores, 0.0
    spent: list[float] = []
    for _ in range(count):
        at += chance.expovariate(share * cores)
        ends = max(at, heapq.heappop(free)) + 1
        heapq.heappush(free, ends)
        spent.append(ends - at)
    return percentile(sorted(spent), 0.99)


def verdicts(found: dict[str, list[Row]]) -> list[Row]:
    """The aims beside what was found, and what can be had at all where each request is computed by itself, as on a CPU, whose passes cost
    as much as the panels in them. Nothing is asserted."""
    unloaded, (one, many) = found["unloaded"][0], found["closed"]
    median, cores = float(unloaded["p50 ms"]), os.cpu_count() or 1
    gain = float(many["requests/s"]) / float(one["requests/s"])

    def times(row: Row, of: object) -> str:
        return "-" if "-" in (row["p99 ms"], of) or not of else f"{float(row['p99 ms']) / float(str(of)):.1f}"

    aims: list[tuple[str, str, str, str]] = [
        ("unloaded p50 / p99, ms", "< 30 / < 100", f"{median} / {unloaded['p99 ms']}", "-"),
        ("32 clients over one, requests/s", "≥ 3", f"{gain:.1f}", f"{cores}, less the clients' share"),
    ]
    for said, rows in (("", found["open"]), (", max_wait_s 0.1", found["open, max_wait_s 0.1"])):
        seventy, full, double = rows
        aims += [
            (f"p99 at 70 % over unloaded p50{said}", "< 2", times(seventy, median), f"{least(0.7, cores):.1f}"),
            (f"shed at 200 %{said}", "about half", str(double["shed (RESOURCE_EXHAUSTED)"]), "50 %"),
            (f"p99 of admitted at 200 % over that at 100 %{said}", "about 1", times(double, full["p99 ms"]), "1"),
            (f"p99 of admitted at 200 % over that at 70 %{said}", "about 1", times(double, seventy["p99 ms"]), "1"),
        ]
    return [
        {"what": what, "aim": aim, "found": seen, f"at best on {cores} cores": best} for what, aim, seen, best in aims
    ]
