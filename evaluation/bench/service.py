"""The running service over loopback gRPC, in a process of its own."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cds_service.client import AsyncLabCueClient
from evaluation.panels import bundle

Row = dict[str, float | int | str]
COMMAND = [
    sys.executable,
    "-m",
    "cds_service.cli",
    "serve",
    "--port",
    "0",
    "--http-port",
    "0",
]
RULES = ("--engine", "none", "--set", "max_queue=256")
"""Rules only, with room for all clients of the throughput measure."""


@dataclass(frozen=True, slots=True)
class Server:
    """A served process: where its doors are, its pid, and seconds from start to ready."""

    target: str
    http: str
    pid: int
    startup_s: float

    @property
    def resident_mib(self) -> float:
        """Resident memory now (Linux); 0 where /proc isn't there."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.is_file():
            return 0.0
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return round(int(line.split()[1]) / 1024, 1)


@contextmanager
def served(options: Sequence[str] = RULES) -> Iterator[Server]:
    """The service, with options of `labcue serve`, for the length of the block; ended by SIGTERM and waited for."""
    began = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() if process.stdout is not None else "" for _ in range(2)]
        if not all(line.startswith("labcue serves on ") for line in lines):
            raise RuntimeError("the service did not start")
        grpc_at, http_at = (line.split()[3] for line in lines)
        yield Server(grpc_at, http_at.removesuffix("/cds-services"), process.pid, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


def percentile(ordered: list[float], share: float) -> float:
    """The nearest-rank percentile of sorted numbers."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def latency(target: str, sizes: tuple[int, ...], calls: dict[int, int]) -> list[Row]:
    """Milliseconds of Evaluate by bundle size, one client, one call at a time."""
    rows: list[Row] = []
    async with AsyncLabCueClient(target, timeout=30) as client:
        for size in sizes:
            data = bundle(size)
            for _ in range(5):
                await client.evaluate(data)
            spent = []
            for _ in range(calls[size]):
                began = time.perf_counter()
                await client.evaluate(data)
                spent.append((time.perf_counter() - began) * 1e3)
            spent.sort()
            shown = {
                name: round(percentile(spent, share), 2)
                for name, share in (("p50 ms", 0.5), ("p95 ms", 0.95), ("p99 ms", 0.99))
            }
            rows.append({"results": size, "calls": calls[size], **shown})
    return rows


async def throughput(target: str, clients: tuple[int, ...], calls: int, size: int = 20) -> list[Row]:
    """Requests per second of ``size`` results with so many clients at once, each sending as soon as it was answered."""
    data = bundle(size)
    rows: list[Row] = []
    for count in clients:
        spent: list[float] = []
        connected = [AsyncLabCueClient(target, timeout=30) for _ in range(count)]

        async def one(client: AsyncLabCueClient, share: int, spent: list[float] = spent) -> None:
            for _ in range(share):
                began = time.perf_counter()
                await client.evaluate(data)
                spent.append((time.perf_counter() - began) * 1e3)

        await asyncio.gather(*(client.evaluate(data) for client in connected))
        began = time.perf_counter()
        await asyncio.gather(*(one(client, max(1, calls // count)) for client in connected))
        wall = time.perf_counter() - began
        for client in connected:
            await client.close()
        spent.sort()
        rows.append(
            {
                "clients": count,
                "requests/s": round(len(spent) / wall, 1),
                "p50 ms": round(percentile(spent, 0.5), 2),
                "p99 ms": round(percentile(spent, 0.99), 2),
            }
        )
    return rows


def help_seconds(repeats: int) -> float:
    """Seconds of `labcue --help` as a whole process, the least of a few."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cds_service.cli", "--help"], check=True, stdout=subprocess.DEVNULL)
        spent.append(time.perf_counter() - began)
    return min(spent)
