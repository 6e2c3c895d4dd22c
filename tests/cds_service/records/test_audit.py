"""The auditId of an answer leads to what is remembered of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cds_service.cli import app
from cds_service.client import AsyncLabCueClient
from cds_service.records.audit import Answer, find
from tests.bundles import PANEL, bundle, observation
from tests.cds_service.hooks.conftest import CALL, Open, known_analytes, open_door, request  # noqa: F401 (fixtures)

NORMAL = bundle(observation("na", "2951-2", 140, "mmol/L", 135, 145))
EVALUATION = "org.labcue.evaluation"


def feedback(card: str) -> dict[str, Any]:
    entry = {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-02-01T12:00:00Z"}
    return {"feedback": [entry]}


async def test_by_either_door_with_and_without_cards(open_door: Open, where: dict[str, Any]) -> None:  # noqa: F811
    async with open_door(doors="both", port=0, **where) as door:
        records = door.server.backend.records
        abnormal = (await door.call(request(PANEL))).json()
        nothing = (await door.call(request(NORMAL))).json()
        async with AsyncLabCueClient(f"127.0.0.1:{door.server.port}") as client:
            by_grpc = (await client.evaluate(PANEL)).extension.evaluation.audit_id
        ids = [answer["extension"][EVALUATION].get("auditId", "") for answer in (abnormal, nothing)] + [by_grpc]
        if "records" not in where:  # in memory nobody could look it up
            assert ids == ["", "", ""]
            return
        assert len({one for one in ids if re.fullmatch("[0-9a-f]{32}", one)}) == 3
        await door.call(feedback(abnormal["cards"][0]["uuid"]), f"{CALL}/feedback")
        records.flush()
        with records.database.reading() as connection:
            found = [find(connection, one) for one in ids]
    first, second, third = (one for one in found if isinstance(one, Answer))
    assert [card.uuid for card in first.cards] == [card["uuid"] for card in abnormal["cards"]]
    assert first.cards[0].outcome == "overridden"
    assert first.facts["observations"] == 2
    assert first.facts["patient"] not in (None, "p", "Patient/p")
    assert (second.cards, second.facts["observations"], second.facts["not_assessed"]) == ((), 1, 0)
    assert third.cards[0].outcome is None
    assert [flag[1] for card in third.cards for flag in card.flags] == [f[1] for c in first.cards for f in c.flags]


async def test_the_command(open_door: Open, tmp_path: Path) -> None:  # noqa: F811
    where = str(tmp_path / "r.sqlite3")
    async with open_door(records=where) as door:
        answer = (await door.call(request(PANEL))).json()
    audit = answer["extension"][EVALUATION]["auditId"]
    shown = CliRunner().invoke(app, ["records", "show", audit, "--records", where])
    assert shown.exit_code == 0
    assert answer["cards"][0]["uuid"] in shown.output
    assert "not answered" in shown.output
    assert not re.search(r"\b6\.9|Patient/", shown.output)
    unknown = CliRunner().invoke(app, ["records", "show", "0" * 32, "--records", where])
    assert unknown.exit_code == 78
    assert "there is no answer 000" in unknown.stderr
