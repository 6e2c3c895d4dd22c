"""`python -m evaluation.bench`: measures and writes report.md, report.json and latency.svg."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from evaluation.bench import batching, http, load, service, steps, trust

PACKAGES = ("labcue", "grpcio", "protobuf", "msgspec", "fhir.resources")


def measure(quick: bool) -> dict[str, Any]:
    """All figures; ``quick`` with few repeats, to see that it runs."""
    sizes = (1, 20, 200, 2000)
    calls = dict.fromkeys(sizes, 5) if quick else {1: 500, 20: 500, 200: 200, 2000: 30}
    note("steps of the pipeline…")
    found: dict[str, Any] = {
        "measured": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "quick": quick,
        "steps": steps.measure(sizes, 2 if quick else 15),
        "catalog load ms": round(steps.catalog_load_ms(2 if quick else 15), 1),
        "fhir.resources µs/Observation": round(steps.fhir_resources(2 if quick else 15), 1),
    }
    note("who calls…")
    found["trust"] = trust.measure(20 if quick else 500)
    note("the service over loopback…")
    with service.served() as server:
        found["startup_s"] = round(server.startup_s, 2)
        found["resident_mib_before"] = server.resident_mib
        found["latency"] = asyncio.run(service.latency(server.target, sizes, calls))
        note("throughput…")
        found["throughput"] = asyncio.run(service.throughput(server.target, (1, 8, 32), 64 if quick else 2000))
        note("CDS Hooks over loopback HTTP…")
        found["http"], found["healthchain"] = http.measure(
            server.http, {20: 5, 200: 3} if quick else {20: 500, 200: 200}
        )
        found["resident_mib_after"] = server.resident_mib
    note("the embedded model under load…")
    with service.served(()) as server:
        found["model_startup_s"] = round(server.startup_s, 2)
        found["load"] = load.measure(server.target, quick=quick)
        capacity = float(found["load"]["closed"][-1]["requests/s"])
        found["load"]["open"] = load.opened(server.target, capacity, quick=quick)
        found["model_resident_mib"] = server.resident_mib
    with service.served(load.SOON) as server:
        found["load"]["open, max_wait_s 0.1"] = load.opened(server.target, capacity, quick=quick)
    found["batching"] = batching.measure(64 if quick else 2000)
    found["batching open"] = batching.opened(found["batching"], 0.3 if quick else 10.0)
    found["help_s"] = round(service.help_seconds(1 if quick else 5), 2)
    return found


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + " ---: |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(row[name]) for name in head) + " |" for row in rows])


def report(found: dict[str, Any]) -> str:
    """The figures for people."""
    packages = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    parts = [
        "# Benchmark",
        f"{found['measured']}, {found['cores']} cores, Python {found['python']}; {packages}. Rules only (`engine=none`) where no model is named."
        + (" Quick run: too few repeats to quote." if found["quick"] else ""),
        "## Steps, in process",
        table(found["steps"]),
        f"Reading and checking the catalog: {found['catalog load ms']} ms.",
        f"fhir.resources (R4B models), for comparison: {found['fhir.resources µs/Observation']} µs per Observation.",
        "## `Evaluate` over loopback gRPC, one client",
        table(found["latency"]),
        "## Throughput at 20 results",
        table(found["throughput"]),
        "## Who calls, in process",
        table(found["trust"]),
        "## CDS Hooks over loopback HTTP",
        table(found["http"]) + ("" if found["healthchain"] is None else f"\n\n{found['healthchain']}"),
        "## The embedded model, 20 results",
        "One client, one call at a time:",
        table(found["load"]["unloaded"]),
        "Closed loop, each client sending as soon as it was answered; capacity is what 32 of them get through:",
        table(found["load"]["closed"]),
        "Open loop, Poisson arrivals, latency from the moment a request was due, default settings:",
        table(found["load"]["open"]),
        "The same where what would take longer than 0.1 s is refused once an overload lasts (`max_wait_s`):",
        table(found["load"]["open, max_wait_s 0.1"]),
        "The aims, and what can be had at best where each request takes one core for its time, first come first served:",
        table(load.verdicts(found["load"])),
        "## The batcher before a simulated accelerator",
        f"A pass takes {batching.PASS_S * 1e3:.0f} ms and {batching.PROMPT_S * 1e3:.1f} ms a prompt; nothing else is measured.",
        table(found["batching"]),
        f"Open loop, Poisson arrivals, at most {batching.PLACES} inside; capacity is what the most callers got through:",
        table(found["batching open"]),
        "## Process",
        f"With the embedded model: start to SERVING {found['model_startup_s']} s, resident {found['model_resident_mib']} MiB after load.",
        f"Start to SERVING {found['startup_s']} s; `labcue --help` {found['help_s']} s; resident memory "
        f"{found['resident_mib_before']} MiB before, {found['resident_mib_after']} MiB after.",
    ]
    return "\n\n".join(parts) + "\n"


def plot(found: dict[str, Any], path: Path) -> None:
    """Latency against the number of results; left out where matplotlib isn't installed (extra `eval`)."""
    try:
        import matplotlib
    except ImportError:
        note("matplotlib isn't installed: no plot (pip install 'labcue[eval]')")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), facecolor="white")
    for name in ("p50 ms", "p99 ms"):
        axes.plot(
            [row["results"] for row in found["latency"]],
            [row[name] for row in found["latency"]],
            marker="o",
            label=name[:3],
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="results in the bundle",
        ylabel="Evaluate, ms",
        title="Latency over loopback gRPC",
    )
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.bench",
        description="Measures speed and memory; writes report.md, report.json and latency.svg.",
        epilog="Example: python -m evaluation.bench --out bench --quick",
    )
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder to write to (default: bench)")
    parser.add_argument("--quick", action="store_true", help="few repeats: shows that it runs, not how fast")
    given = parser.parse_args(arguments)
    found = measure(given.quick)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "report.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (given.out / "report.md").write_text(report(found), encoding="utf-8")
    plot(found, given.out / "latency.svg")
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
