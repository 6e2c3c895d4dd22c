"""What the public CDS Hooks sandbox sends, as its source has it (github.com/cds-hooks/sandbox): discovery from a browser,
prefetch by its own hands, a call, feedback. The page itself isn't run here."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import httpx2

from tests.bundles import observation
from tests.cds_service.hooks.conftest import Door, Open
from tests.cds_service.hooks.fhir_server import FhirServer, fhir_server

ORIGIN = "https://sandbox.cds-hooks.org"
TOKEN = {"authorization": "Bearer header.payload.signature"}
RESULTS = [
    observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
    observation("na", "2951-2", 140, "mmol/L", 135, 145),
]


async def preflight(door: Door, path: str, method: str) -> httpx2.Response:
    """What a browser asks before a request that carries a token."""
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type",
    }
    return await door.client.request("OPTIONS", path, headers=headers)


def configured(discovery_url: str, services: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Its services by address: of those that share an id the last one stays."""
    return {f"{discovery_url}/{service['id']}": service for service in services}


async def prefetched(ehr: FhirServer, templates: dict[str, str]) -> dict[str, Any]:
    """It fills the templates, sorts the parameters, asks the FHIR server, and leaves out what fails."""
    found = {}
    async with httpx2.AsyncClient(trust_env=False) as client:
        for key, template in templates.items():
            path, question, query = template.replace("{{context.patientId}}", "p").partition("?")
            filled = urlencode(sorted(parse_qsl(query)), quote_via=quote)
            url = f"{ehr.base}/{path}{question}{filled}"
            answer = await client.get(url, headers={"accept": "application/json+fhir"})
            if answer.status_code == 200:
                found[key] = answer.json()
    return found


async def test_discovery_a_call_and_feedback(open_door: Open) -> None:
    browser = {"origin": ORIGIN, "accept": "application/json", **TOKEN}
    async with fhir_server(observations=RESULTS) as ehr, open_door(cors_origins=(ORIGIN,)) as door:
        assert (await preflight(door, "/cds-services", "GET")).status_code == 200
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
        sent = {**browser, "content-type": "application/json;charset=utf-8"}
        response = await door.client.post(url, json=body, headers=sent)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == ORIGIN
        card = response.json()["cards"][0]
        assert card["indicator"] == "critical"
        assert card["source"]["label"]

        reason = {"reason": card["overrideReasons"][0], "userComment": "seen"}
        entry = {"card": card["uuid"], "outcome": "overridden", "overrideReason": reason}
        feedback = {"feedback": [entry | {"outcomeTimestamp": "2024-03-01T10:00:00.000Z"}]}
        stored = await door.client.post(f"{url}/feedback", json=feedback, headers=sent)
        assert stored.status_code == 200
        assert "unmatchedCards" not in stored.json()["extension"]["org.labcue.feedback"]


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
