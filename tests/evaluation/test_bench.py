"""The benchmark runs and says what it measured; never how fast."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev

import pytest

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.serving import running
from evaluation.bench import batching, load, trust
from evaluation.bench.__main__ import main
from evaluation.panels import bundle
from fhir_adapter import catalog


def test_made_bundles_are_the_same_each_time_and_fully_judged() -> None:
    assert bundle(50) == bundle(50)
    evaluation = Pipeline(Settings(engine="none"), catalog.load()).evaluate(bundle(50))
    assert len(evaluation.verdict.flags) == evaluation.observations == 50
    assert any(flag.abnormal for flag in evaluation.verdict.flags)
    assert any(not flag.abnormal for flag in evaluation.verdict.flags)


def test_what_it_costs_to_know_who_calls() -> None:
    assert [row["what"] for row in trust.measure(2)] == [
        "headers of an answer",
        *(f"a token, {name}" for name in ("ES384", "ES256", "RS384", "Ed25519")),
    ]


def test_arrivals_are_poisson_and_the_same_for_a_seed() -> None:
    times = load.arrivals(100, 50, seed=3)
    assert times == load.arrivals(100, 50, seed=3) == sorted(times)
    assert 4500 < len(times) < 5500
    gaps = [after - before for before, after in pairwise(times)]
    assert 0.9 < pstdev(gaps) / mean(gaps) < 1.1


async def test_open_loop_counts_each_ending_and_the_time_from_when_it_was_due() -> None:
    """Two requests are due together before a service that takes one: the second is shed, or waits for the first."""
    settings = Settings(engine="none", port=0, doors="grpc", max_concurrency=1, max_queue=0)
    async with running(settings) as server:
        outcomes = await load.open_loop(f"127.0.0.1:{server.port}", [0.0] * 20)
    assert len(outcomes) == 20
    assert {outcome.ending for outcome in outcomes} <= {"ok", "overloaded"}
    assert all(outcome.seconds > 0 for outcome in outcomes)
    row = load.summary("x", 1.0, outcomes)
    assert row["answered"] == sum(outcome.ending == "ok" for outcome in outcomes) >= 1
    assert row["other endings"] == 0


def test_a_summary_of_nothing_answered_says_so() -> None:
    row = load.summary("x", 1.0, [load.Outcome("overloaded", 0.001), load.Outcome("deadline-exceeded", 5.0)])
    assert (row["answered"], row["other endings"], row["p99 ms"]) == (0, 1, "-")
    assert row["shed (RESOURCE_EXHAUSTED)"] == "50.0%"


def test_the_batcher_shares_passes_that_cost() -> None:
    closed = batching.measure(4, clients=(1, 4))
    assert [row["callers"] for row in closed] == [1, 4]
    rows = batching.opened([{"requests/s": 200.0}], 0.1)
    assert [row["load"] for row in rows] == ["70% of capacity", "100% of capacity", "200% of capacity"]
    for row in rows:
        assert float(row["requests"]) > 0
        assert row["other endings"] == row["by rules alone"] == 0


def test_the_least_wait_is_that_of_queueing_theory() -> None:
    """One core at half its capacity: 1 % waits longer than 3.3 times its service (M/D/1); a core that nobody shares keeps nobody waiting."""
    assert load.least(0.5, 1) == pytest.approx(4.33, abs=0.1)
    assert load.least(0.001, 1) == pytest.approx(1.0, abs=0.01)
    assert load.least(0.7, 2) > 2 > load.least(0.7, 8)
    assert load.least(0.7, 2, seed=2) == pytest.approx(load.least(0.7, 2), rel=0.1)


def test_each_aim_stands_beside_what_was_found() -> None:
    row = {"p50 ms": 10.0, "p99 ms": 40.0, "requests/s": 50.0, "shed (RESOURCE_EXHAUSTED)": "51.0%"}
    opened = [row, {**row, "p99 ms": 80.0}, {**row, "p99 ms": 100.0}]
    found = {"unloaded": [row], "closed": [row, {**row, "requests/s": 80.0}], "open": opened}
    said = {str(one["what"]): one["found"] for one in load.verdicts({**found, "open, max_wait_s 0.1": opened[::-1]})}
    assert said["32 clients over one, requests/s"] == "1.6"
    assert said["p99 at 70 % over unloaded p50"] == "4.0"
    assert said["p99 of admitted at 200 % over that at 70 %"] == "2.5"
    assert said["p99 of admitted at 200 % over that at 70 %, max_wait_s 0.1"] == "0.4"


@pytest.mark.slow
def test_a_quick_run_writes_its_report(tmp_path: Path) -> None:
    assert main(["--quick", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert [row["results"] for row in found["latency"]] == [1, 20, 200, 2000]
    assert [row["clients"] for row in found["throughput"]] == [1, 8, 32]
    assert [row["what"] for row in found["http"]][:2] == ["LabCue, 20", "LabCue, abnormal flags, 20"]
    assert "HealthChain was not measured" in (tmp_path / "report.md").read_text()
    assert [row["clients"] for row in found["load"]["closed"]] == [1, 32]
    assert len(found["load"]["open"]) == len(found["load"]["open, max_wait_s 0.1"]) == len(found["batching open"]) == 3
    assert "## Throughput" in (tmp_path / "report.md").read_text()
