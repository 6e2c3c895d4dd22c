"""The HTTP door as a whole: what is there, that both doors are one service, and how it begins and ends."""

from __future__ import annotations

from cds_service.client import AsyncLabCueClient
from tests.bundles import PANEL
from tests.cds_service.hooks.conftest import CALL, Open, issues, request


async def test_results_in_cards_out(open_door: Open) -> None:
    async with open_door() as door:
        answer = await door.call(request(PANEL))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["cards"][0]["summary"].startswith("Potassium 6.9 mmol/L")


async def test_both_doors_are_one_service(open_door: Open) -> None:
    async with open_door(doors="both", port=0) as door:
        async with AsyncLabCueClient(f"127.0.0.1:{door.server.port}") as client:
            by_grpc = await client.evaluate(PANEL)
        by_http = (await door.call(request(PANEL))).json()
    assert [card.summary for card in by_grpc.cards] == [card["summary"] for card in by_http["cards"]]


async def test_what_is_not_there_is_said(open_door: Open) -> None:
    async with open_door() as door:
        nowhere = await door.client.get("/nowhere/123-45-6789")
        method = await door.client.put(CALL)
        unknown = await door.call(request(PANEL), "/cds-services/other")
    assert (nowhere.status_code, issues(nowhere)) == (404, [("not-found", None)])
    assert "6789" not in nowhere.text
    assert (method.status_code, issues(method)) == (405, [("method-not-allowed", None)])
    assert method.headers["allow"] == "POST"
    assert (unknown.status_code, issues(unknown)) == (404, [("not-found", "id")])
