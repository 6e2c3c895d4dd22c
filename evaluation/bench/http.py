"""The CDS Hooks door over loopback HTTP, beside the gRPC door of the same process and beside HealthChain.

HealthChain isn't a dependency: where `LABCUE_BENCH_HEALTHCHAIN` names a Python that has it (`python -m venv hc;
hc/bin/pip install healthchain==0.16.1`), its gateway is measured in the same run; else a line says that it wasn't.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from cds_service.domain import FlagsListed
from cds_service.hooks.request import ASKED
from evaluation.bench.service import Row, percentile
from evaluation.panels import bundle

HEALTHCHAIN = "LABCUE_BENCH_HEALTHCHAIN"
ARRIVED = ("org.labcue.result-arrived", "/cds-services/labcue-results")
LISTED: dict[FlagsListed, str] = {"all": "LabCue", "abnormal": "LabCue, abnormal flags"}
HOOKS = {"dict": "patient-view", "typed": "encounter-discharge"}
"""HealthChain keeps one handler for each hook."""


def arrived(size: int, flags: FlagsListed = "all") -> bytes:
    """A call that brings ``size`` results in its context, and wants these flags in the answer."""
    sent = json.loads(bundle(size))
    patient = next(one["resource"]["id"] for one in sent["entry"] if one["resource"]["resourceType"] == "Patient")
    context = {"patientId": patient, "observations": sent}
    body = {"hook": ARRIVED[0], "hookInstance": str(uuid.uuid4()), "context": context}
    return json.dumps(body | {"extension": {ASKED: {"flags": flags}}}).encode()


def prefetched(size: int, hook: str) -> bytes:
    """The same results as a prefetch, as HealthChain's handlers get them."""
    sent = json.loads(bundle(size))
    context = {"userId": "Practitioner/1", "patientId": "p", "encounterId": "e"}
    body = {"hook": hook, "hookInstance": str(uuid.uuid4()), "context": context, "prefetch": {"results": sent}}
    return json.dumps(body).encode()


async def measured(name: str, url: str, body: bytes, calls: int, clients: int = 1) -> Row:
    """Milliseconds and requests per second of one address, with so many clients, each asking as soon as it was answered."""
    headers = {"content-type": "application/json"}
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        for _ in range(3):
            answer = await client.post(url, content=body, headers=headers)
            answer.raise_for_status()
        spent: list[float] = []

        async def one(share: int) -> None:
            for _ in range(share):
                began = time.perf_counter()
                await client.post(url, content=body, headers=headers)
                spent.append((time.perf_counter() - began) * 1e3)

        began = time.perf_counter()
        await asyncio.gather(*(one(max(1, calls // clients)) for _ in range(clients)))
        wall = time.perf_counter() - began
    spent.sort()
    return {
        "what": name,
        "clients": clients,
        "requests/s": round(len(spent) / wall, 1),
        "p50 ms": round(percentile(spent, 0.5), 2),
        "p99 ms": round(percentile(spent, 0.99), 2),
    }


def measure(base: str, calls: dict[int, int], clients: tuple[int, ...] = (1, 8)) -> tuple[list[Row], str | None]:
    """The door at ``base``, and HealthChain where it is at hand; and why it isn't."""
    rows: list[Row] = []
    for size, count in calls.items():
        for several in clients:
            for flags, name in LISTED.items():
                body = arrived(size, flags)
                rows.append(asyncio.run(measured(f"{name}, {size}", base + ARRIVED[1], body, count, several)))
    python = os.environ.get(HEALTHCHAIN)
    if not python:
        return rows, f"HealthChain was not measured: set {HEALTHCHAIN} to a Python that has it."
    with healthchain(python) as other:
        for size, count in calls.items():
            for kind, hook in HOOKS.items():
                body, url = prefetched(size, hook), f"{other}/cds/cds-services/{kind}"
                fewer = count if kind == "dict" else max(3, count // 10)
                for several in clients:
                    rows.append(asyncio.run(measured(f"HealthChain {kind}, {size}", url, body, fewer, several)))
    return rows, None


@contextmanager
def healthchain(python: str) -> Iterator[str]:
    """HealthChain's gateway in a process of its own, one worker."""
    script = Path(__file__).with_name("healthchain_gateway.py")
    process = subprocess.Popen(
        [python, "-I", str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        line = ""
        while process.stdout is not None and not line.startswith("serving "):
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("HealthChain did not start")
        base = line.split()[1]
        for _ in range(300):
            try:
                httpx2.get(base, timeout=1, trust_env=False)
                break
            except httpx2.HTTPError:
                time.sleep(0.1)
        yield base
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    for row in measure(sys.argv[1], {20: 100, 200: 30})[0]:
        print(row)
