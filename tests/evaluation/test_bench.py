"""The benchmark runs and says what it measured; never how fast."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from evaluation.bench import trust
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


@pytest.mark.slow
def test_a_quick_run_writes_its_report(tmp_path: Path) -> None:
    assert main(["--quick", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "report.json").read_text())
    assert [row["results"] for row in found["latency"]] == [1, 20, 200, 2000]
    assert [row["clients"] for row in found["throughput"]] == [1, 8, 32]
    assert [row["what"] for row in found["http"]][:2] == ["LabCue, 20", "LabCue, 20"]
    assert "HealthChain was not measured" in (tmp_path / "report.md").read_text()
    assert "## Throughput" in (tmp_path / "report.md").read_text()
