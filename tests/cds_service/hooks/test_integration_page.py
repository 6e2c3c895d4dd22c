"""docs/integration.md and the README tell the truth: their requests are sent as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cds_service.hooks.services import PREFETCH, SERVICES
from tests.cds_service.hooks.conftest import CALL, Open, issues

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "examples" / "cds-hooks"
PAGE = (ROOT / "docs" / "integration.md").read_text(encoding="utf-8")
ANSWERS = {
    "result-arrived": (CALL, 200),
    "patient-view": (CALL, 200),
    "order-sign": (CALL, 200),
    "fhir-server": (CALL, 412),
    "feedback": (f"{CALL}/feedback", 200),
}


def test_every_example_is_sent() -> None:
    assert {file.stem for file in FOLDER.glob("*.json")} == set(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_example_is_answered(open_door: Open, name: str) -> None:
    path, status = ANSWERS[name]
    async with open_door() as door:
        response = await door.call((FOLDER / f"{name}.json").read_bytes(), path)
    assert response.status_code == status
    if status == 412:
        assert issues(response) == [("data-missing", "prefetch.results")]
        assert "allowlist" in response.text
    elif path == CALL:
        assert response.json()["cards"][0]["summary"].startswith("Potassium 6.4 mmol/L")


def test_the_curl_lines_name_what_is_there() -> None:
    for page in (PAGE, (ROOT / "README.md").read_text(encoding="utf-8")):
        for file, url in re.findall(r"-d @(\S+)[\s\\]+(\S+)", page):
            assert (ROOT / file).is_file()
            assert url.removeprefix("http://127.0.0.1:8080") in (CALL, f"{CALL}/feedback")


def test_the_page_names_each_hook_and_template() -> None:
    for service in SERVICES:
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{service.hook}` |"))
        assert all(f"`{name}`" in line for name in service.required)
    for template in PREFETCH.values():
        assert f"`{template}`" in PAGE
