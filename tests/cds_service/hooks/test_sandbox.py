"""What the page of the public CDS Hooks sandbox sends (github.com/cds-hooks/sandbox): discovery from a browser, prefetch by its
own hands, a call, feedback. So Chromium sent it, with the page built from its sources; here it is sent without page or browser."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
import pytest

from tests.bundles import observation
from tests.cds_service.hooks.conftest import Door, Open
from tests.cds_service.hooks.fhir_server import FhirServer, fhir_server

ORIGIN = "https://sandbox.cds-hooks.org"
TOKEN = {"authorization": "Bearer header.payload.signature"}
RESULTS = [
    observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
    observation("cr", "2160-0", 3.1, "mg/dL", 0.7, 1.3),
    observation("na", "2951-2", 121, "mmol/L", 135, 145),
]


async def preflight(door: Door, path: str, method: str, headers: str = "authorization,content-type") -> httpx2.Response:
    """What a browser asks before a request that carries a token."""
    asked = {"origin": ORIGIN, "access-control-request-method": method, "access-control-request-headers": headers}
    return await door.client.request("OPTIONS", path, headers=asked)


def configured(discovery_url: str, services: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Its services by address: of those that share an id the last one stays."""
    return {f"{discovery_url}/{service['id']}": service for service in services}


async def prefetched(ehr: FhirServer, templates: dict[str, str]) -> dict[str, Any]:
    """It fills the templates, sorts the parameters, searches by POST, then by GET if that fails, and leaves out what fails."""
    found = {}
    accept = {"accept": "application/json+fhir"}
    async with httpx2.AsyncClient(trust_env=False) as client:
        for key, template in templates.items():
            path, question, query = template.replace("{{context.patientId}}", "p").partition("?")
            filled = urlencode(sorted(parse_qsl(query)))
            url = f"{ehr.base}/{path}"
            if question:
                form = accept | {"content-type": "application/x-www-form-urlencoded"}
                answer = await client.post(f"{url}/_search", content=filled, headers=form)
            if not question or answer.status_code != 200:
                answer = await client.get(url + question + filled, headers=accept)
            if answer.status_code == 200:
                found[key] = answer.json()
    return found


@pytest.mark.parametrize("search_by_post", [True, False])
async def test_discovery_a_call_and_feedback(open_door: Open, search_by_post: bool) -> None:
    browser = {"origin": ORIGIN, "accept": "application/json", **TOKEN}
    ehr_like = fhir_server(observations=RESULTS, search_by_post=search_by_post)
    async with ehr_like as ehr, open_door(cors_origins=(ORIGIN,)) as door:
        assert (await preflight(door, "/cds-services", "GET", "authorization")).status_code == 200
        discovery = await door.client.get("/cds-services", headers=browser)
        assert discovery.headers["access-control-allow-origin"] == ORIGIN
        known = configured(f"{door.base}/cds-services", discovery.json()["services"])
        [(url, service)] = known.items()
        assert service["hook"] == "patient-view"  # what its first screen fires

        assert (await preflight(door, url, "POST")).status_code == 200
        body = {
            "hookInstance": str(uuid.uuid4()),
            "hook": service["hook"],
            "fhirServer": ehr.base,
            "context": {"patientId": "p", "userId": "Practitioner/COREPRACTITIONER1"},
            "prefetch": await prefetched(ehr, service["prefetch"]),
        }
        assert len(body["prefetch"]) == 2
        sent = {**browser, "content-type": "application/json"}
        response = await door.client.post(url, json=body, headers=sent)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == ORIGIN
        cards = response.json()["cards"]
        assert cards[0]["indicator"] == "critical"
        assert cards[0]["source"]["label"]

        assert (await preflight(door, f"{url}/feedback", "POST")).status_code == 200
        sent["accept"] = "application/json, text/plain, */*"
        for entry in answers(cards):
            stored = await door.client.post(f"{url}/feedback", json={"feedback": [entry]}, headers=sent)
            assert stored.status_code == 200
            assert "unmatchedCards" not in stored.json()["extension"]["org.labcue.feedback"]


def answers(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A button of the first card, a reason of the second's menu (by system and code, without its display), "Dismiss" of the third."""
    taken, overridden, dismissed = cards
    reason = {name: overridden["overrideReasons"][0][name] for name in ("code", "system")}
    at = {"outcomeTimestamp": "2024-03-01T10:00:00.000Z"}
    accepted = [{"id": taken["suggestions"][0]["uuid"]}]
    return [
        {"card": taken["uuid"], "outcome": "accepted", "acceptedSuggestions": accepted} | at,
        {"card": overridden["uuid"], "outcome": "overridden", "overrideReason": {"reason": reason}} | at,
        {"card": dismissed["uuid"], "outcome": "overridden"} | at,
    ]


async def test_a_refusal_reaches_the_page_too(open_door: Open) -> None:
    async with open_door(cors_origins=(ORIGIN,)) as door:
        body = {"hookInstance": "x", "hook": "patient-view", "context": {}}
        refused = await door.client.post("/cds-services/labcue-results", json=body, headers={"origin": ORIGIN, **TOKEN})
        # Older versions of the page tell of a suggestion taken at an address of their own; it is none of CDS Hooks.
        analytics = await door.client.post(
            f"/cds-services/labcue-results/analytics/{uuid.uuid4()}", json={}, headers={"origin": ORIGIN}
        )
    assert refused.status_code == 400
    assert analytics.status_code == 404
    for response in (refused, analytics):
        assert response.headers["access-control-allow-origin"] == ORIGIN
