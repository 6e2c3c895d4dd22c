"""HealthChain's sandbox client, an EHR mock that others wrote, calls the service as it is.

HealthChain isn't a dependency: LABCUE_BENCH_HEALTHCHAIN names a Python that has it (``python -m venv hc; hc/bin/pip install
healthchain==0.16.1``). CDS Hooks' own sandbox is in test_sandbox.py.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.bundles import observation
from tests.cds_service.hooks.conftest import CALL, Door, Open
from tests.cds_service.hooks.fhir_server import searchset

PYTHON = os.environ.get("LABCUE_BENCH_HEALTHCHAIN")
SCRIPT = Path(__file__).with_name("healthchain_client.py")
pytestmark = pytest.mark.skipif(PYTHON is None, reason="LABCUE_BENCH_HEALTHCHAIN names no Python that has healthchain")


async def called(door: Door, folder: Path, hook: str, prefetch: dict[str, Any], *patient: str) -> dict[str, Any]:
    """What HealthChain sent and got, and what it says on stderr."""
    file = folder / "prefetch.json"
    file.write_text(json.dumps(prefetch))
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), "-I", str(SCRIPT), door.base + CALL, hook, str(file), *patient),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found | {"said": out.decode() + errors.decode()}


def results(subject: str | None = None) -> dict[str, Any]:
    found = [
        observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
        observation("na", "2951-2", 140, "mmol/L", 135, 145),
    ]
    for one in found:
        one["subject"] = {"reference": f"Patient/{subject}"}
        if subject is None:
            del one["subject"]
    return {"results": searchset(found)}


async def test_its_requests_get_cards(open_door: Open, tmp_path: Path) -> None:
    prefetch = results("nora") | {"patient": {"resourceType": "Patient", "id": "nora", "birthDate": "1951-09-14"}}
    async with open_door() as door:
        found = await called(door, tmp_path, "patient-view", prefetch, "nora")
    [sent], [got] = found["sent"], found["got"]
    assert (sent["hook"], sent["context"]["patientId"]) == ("patient-view", "nora")
    assert got["cards"][0]["indicator"] == "critical"
    assert got["cards"][0]["summary"].startswith("Potassium 6.9 mmol/L")


async def test_with_a_patient_that_it_makes_up(open_door: Open, tmp_path: Path) -> None:
    """Results that name nobody are judged; those of somebody else than its made-up patient are refused, never mixed."""
    async with open_door() as door:
        unnamed = await called(door, tmp_path, "patient-view", results())
        others = await called(door, tmp_path, "patient-view", results("nora"))
    assert unnamed["got"][0]["cards"][0]["indicator"] == "critical"
    assert others["got"] == [{}]
    assert "multiple-patients" in others["said"]


async def test_the_context_that_it_cuts_short_is_refused_by_name(open_door: Open, tmp_path: Path) -> None:
    """HealthChain 0.16.1 sends no encounterId, which encounter-discharge requires."""
    async with open_door() as door:
        found = await called(door, tmp_path, "encounter-discharge", results("nora"), "nora")
    assert "encounterId" not in found["sent"][0]["context"]
    assert found["got"] == [{}]
    assert "context.encounterId: is required" in found["said"]
