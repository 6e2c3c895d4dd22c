"""What a CDS Service must do, a test for each point. The numbers are the points of CDS Hooks 2.0 as docs/integration.md
lists them; those on tokens, certificates and origins (14 to 17) stand in test_authentication.py."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cds_service.config import Settings
from cds_service.hooks import openapi, services
from cds_service.hooks.services import ID, PREFETCH, RESULT_ARRIVED, SERVICES
from cds_service.pipeline import Pipeline
from fhir_adapter.catalog import Catalog
from tests.bundles import PANEL, bundle, observation
from tests.cds_service.hooks.conftest import CALL, Open, issues, request
from tests.cds_service.rpc.conftest import Gated

FEEDBACK = f"{CALL}/feedback"
ROOT = Path(__file__).resolve().parents[3]
NORMAL = bundle(observation("na", "2951-2", 140, "mmol/L", 135, 145))


async def test_line_01_discovery(open_door: Open) -> None:
    async with open_door() as door:
        response = await door.client.get("/cds-services")
    found = response.json()["services"]
    assert response.status_code == 200
    assert {service["hook"] for service in found} == {
        RESULT_ARRIVED,
        "patient-view",
        "encounter-start",
        "encounter-discharge",
        "order-sign",
    }
    for service in found:
        assert {"hook", "id", "title", "description", "version", "hookVersion", "prefetch", "usageRequirements"} == set(
            service
        )


async def test_line_02_services_share_an_id(open_door: Open) -> None:
    assert {service.id for service in SERVICES} == {ID}
    async with open_door() as door:
        for service in SERVICES:
            body = request(PANEL, hook=service.hook, prefetch={"results": json.loads(PANEL)})
            assert (await door.call(body)).status_code == 200


def test_line_03_and_25_prefetch_templates_are_simple() -> None:
    for template in PREFETCH.values():
        tokens = re.findall(r"{{(.*?)}}", template)
        assert set(tokens) == {"context.patientId"}
        parameters = [one.partition("=")[0] for one in template.partition("?")[2].split("&") if one]
        assert set(parameters) <= {"patient", "category", "_sort", "_count"}
        assert "today()" not in template


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"hook": None}, "hook"),
        ({"hook": 5}, "hook"),
        ({"hook": "order-select"}, "hook"),
        ({"hookInstance": None}, "hookInstance"),
        ({"hookInstance": "not-a-uuid"}, "hookInstance"),
        ({"context": None}, "context"),
        ({"context": []}, "context"),
        ({"context": {}}, "context.patientId"),
        ({"context": {"patientId": 7}}, "context.patientId"),
        ({"context": {"patientId": "a/../b"}}, "context.patientId"),
        ({"context": {"patientId": "p", "observations": {"resourceType": "Patient"}}}, "context.observations"),
        ({"context": {"patientId": "p", "userId": ""}}, "context.userId"),
        ({"context": {"patientId": "p", "draftOrders": []}}, "context.draftOrders"),
        ({"prefetch": []}, "prefetch"),
        ({"fhirServer": 5}, "fhirServer"),
        ({"fhirServer": "ftp://ehr.example.org"}, "fhirServer"),
        ({"fhirServer": "https://user:secret@ehr.example.org"}, "fhirServer"),
        ({"extension": "text"}, "extension"),
        ({"fhirServer": "https://ehr.example.org", "fhirAuthorization": {}}, "fhirAuthorization"),
        ({"fhirServer": "https://ehr.example.org", "fhirAuthorization": "token"}, "fhirAuthorization"),
    ],
)
async def test_line_04_and_05_each_fault_has_its_place(open_door: Open, change: dict[str, Any], place: str) -> None:
    async with open_door() as door:
        response = await door.call(request(PANEL) | change)
    assert response.status_code == 400
    assert issues(response) == [("invalid-input", place)]


async def test_line_04_a_token_needs_a_server_and_the_right_patient(open_door: Open) -> None:
    token = {"access_token": "t", "token_type": "Bearer", "expires_in": 3, "scope": "s", "subject": "c"}
    async with open_door() as door:
        alone = await door.call(request(PANEL, fhirAuthorization=token))
        server = "https://ehr.example.org/fhir"
        other = await door.call(request(PANEL, fhirServer=server, fhirAuthorization=token | {"patient": "q"}))
        typed = await door.call(request(PANEL, fhirServer=server, fhirAuthorization=token | {"expires_in": "3"}))
        kind = await door.call(request(PANEL, fhirServer=server, fhirAuthorization=token | {"token_type": "MAC"}))
    assert issues(alone) == [("invalid-input", "fhirServer")]
    assert issues(other) == [("invalid-input", "fhirAuthorization.patient")]
    assert issues(typed) == [("invalid-input", "fhirAuthorization.expires_in")]
    assert issues(kind) == [("invalid-input", "fhirAuthorization.token_type")]


async def test_line_05_all_faults_are_told_at_once(open_door: Open) -> None:
    async with open_door() as door:
        response = await door.call({"hookInstance": 3, "context": {}, "prefetch": 4})
        wanting = await door.call(
            {"hook": "order-sign", "hookInstance": str(uuid.uuid4()), "context": {"patientId": "p"}}
        )
    assert [place for _, place in issues(response)] == ["hook", "hookInstance", "context.patientId", "prefetch"]
    assert [place for _, place in issues(wanting)] == ["context.userId", "context.draftOrders"]


async def test_line_05_statuses(open_door: Open) -> None:
    async with open_door(http_max_body_bytes=4096) as door:
        found = {
            "no such service": await door.call(request(PANEL), "/cds-services/other"),
            "wrong method": await door.client.get(CALL),
            "no content type": await door.client.post(CALL, content=b"{}"),
            "wrong content type": await door.call(b"<a/>", content_type="application/xml"),
            "wrong charset": await door.call(b"{}", content_type="application/json; charset=latin-1"),
            "too large": await door.call(b" " * 5000),
            "not JSON": await door.call(b"{"),
            "not UTF-8": await door.call(b'{"hook":"\xff"}'),
            "empty": await door.call(b""),
            "no object": await door.call(b"[]"),
            "too deep": await door.call(b'{"context":' + b"[" * 2000 + b"]" * 2000 + b"}"),
        }
    told = {name: (response.status_code, issues(response)[0]) for name, response in found.items()}
    assert told == {
        "no such service": (404, ("not-found", "id")),
        "wrong method": (405, ("method-not-allowed", None)),
        "no content type": (415, ("unsupported-media-type", "header.Content-Type")),
        "wrong content type": (415, ("unsupported-media-type", "header.Content-Type")),
        "wrong charset": (415, ("unsupported-media-type", "header.Content-Type")),
        "too large": (413, ("limit-exceeded", "body")),
        "not JSON": (400, ("not-json", None)),
        "not UTF-8": (400, ("not-json", "$this")),
        "empty": (400, ("not-json", "$this")),
        "no object": (400, ("invalid-input", "$this")),
        "too deep": (413, ("limit-exceeded", "$this")),
    }


async def test_line_08_nothing_abnormal_is_no_card_and_no_member_is_empty(open_door: Open) -> None:
    async with open_door() as door:
        answer = (await door.call(request(NORMAL))).json()
    assert answer["cards"] == []
    assert "systemActions" not in answer
    text = json.dumps(answer["extension"], separators=(",", ":"))
    assert not re.search(r':(null|""|\[\]|\{\})[,}]', text)


async def test_line_09_and_23_cards(open_door: Open) -> None:
    """The schema holds the rest: uuid, indicator, source, overrides with code, system and display, links without extras."""
    async with open_door() as door:
        for file in sorted((ROOT / "examples" / "bundles").glob("*.json")):
            sent = json.loads(file.read_bytes())
            if sent["resourceType"] != "Bundle":
                continue
            named = re.search(r"Patient/([A-Za-z0-9.-]+)", file.read_text())
            cards = (await door.call(request(sent, patient=named[1] if named else "p"))).json()["cards"]
            assert len({card["uuid"] for card in cards}) == len(cards)
            for card in cards:
                assert len(card["summary"]) < 140
                assert not re.search(r"<[a-zA-Z/]", card["detail"])


async def test_line_10_suggestions(open_door: Open) -> None:
    sent = json.loads((ROOT / "examples" / "bundles" / "14-haemolysed-potassium.json").read_bytes())
    patient = re.search(r"Patient/([A-Za-z0-9.-]+)", json.dumps(sent))
    async with open_door() as door:
        cards = (await door.call(request(sent, patient=patient[1] if patient else "p"))).json()["cards"]
    assert any("actions" in one for card in cards for one in card["suggestions"])
    for card in cards:
        assert card["selectionBehavior"] == "at-most-one"
        assert sum(one.get("isRecommended", False) for one in card["suggestions"]) <= 1
        for suggestion in card["suggestions"]:
            assert "actionSelectionBehavior" not in suggestion
            for action in suggestion.get("actions", []):
                assert action["type"] == "create"
                assert action["resource"]["resourceType"] == "ServiceRequest"


def test_line_11_the_custom_hook_is_named_in_reverse_domain_notation() -> None:
    assert RESULT_ARRIVED == "org.labcue.result-arrived"
    assert PREFETCH["results"] == (
        "Observation?patient={{context.patientId}}&category=laboratory&_sort=-date&_count=200"
    )


async def test_line_12_extensions_have_reverse_domain_keys(open_door: Open) -> None:
    async with open_door() as door:
        answer = (await door.call(request(PANEL))).json()
    assert set(answer["extension"]) == {"org.labcue.evaluation", "org.labcue.data"}
    assert all(set(card.get("extension", {})) <= {"org.labcue.card"} for card in answer["cards"])


def _entry(card: str, **more: Any) -> dict[str, Any]:
    at = datetime(2024, 3, 1, tzinfo=UTC).isoformat().replace("+00:00", "Z")
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": at} | more


async def test_line_13_feedback(open_door: Open) -> None:
    async with open_door() as door:
        card = (await door.call(request(PANEL))).json()["cards"][0]
        reason = {"reason": card["overrideReasons"][0], "userComment": "known since Monday"}
        sent = [
            _entry(card["uuid"], overrideReason=reason),
            _entry(card["uuid"], outcome="accepted", acceptedSuggestions=[{"id": "s"}]),
            _entry("not-ours"),
        ]
        response = await door.call({"feedback": sent}, FEEDBACK)
        unknown = await door.call({"feedback": sent}, "/cds-services/other/feedback")
    assert response.status_code == 200
    assert response.json()["extension"]["org.labcue.feedback"] == {"stored": 3, "unmatchedCards": ["not-ours"]}
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({"card": "c"}, "feedback[0]"),
        (_entry(""), "feedback[0].card"),
        (_entry("c", outcome="ignored"), "feedback[0].outcome"),
        (_entry("c", outcome="accepted"), "feedback[0].acceptedSuggestions"),
        (_entry("c", outcomeTimestamp="yesterday"), "feedback[0].outcomeTimestamp"),
        (_entry("c", overrideReason={"userComment": 5}), "feedback[0].overrideReason.userComment"),
    ],
)
async def test_line_13_feedback_that_cannot_be_stored(open_door: Open, entry: dict[str, Any], place: str) -> None:
    async with open_door() as door:
        response = await door.call({"feedback": [entry]}, FEEDBACK)
    assert (response.status_code, issues(response)) == (400, [("invalid-feedback", place)])


async def test_line_18_no_address_or_value_of_a_request_is_told(
    open_door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    planted = ["Zyxwvut", "p-4711-0815", "6.94321", "Mustermann"]
    sent = bundle(observation("k", "2823-3", 6.94321, "mmol/L", 3.5, 5.1, subject={"reference": "Patient/p-4711-0815"}))
    async with open_door() as door:
        failures = [
            await door.client.get("/Patient/p-4711-0815?name=Mustermann"),
            await door.call(request(sent, patient="Zyxwvut")),
            await door.call(request(sent, patient="p-4711-0815") | {"hook": "Zyxwvut"}),
            await door.call(b'{"hook": "Zyxwvut', CALL),
            await door.call({"feedback": [_entry("c", outcome="Mustermann")]}, FEEDBACK),
        ]
        await door.call(request(sent, patient="p-4711-0815"))
        told = [span.to_json() for span in door.spans.get_finished_spans()]
        told.append(str(door.metrics.get_metrics_data()))
    for planted_one in planted:
        for response in failures:
            assert response.status_code >= 400
            assert planted_one not in response.text
        for text in (
            *told,
            *(record.getMessage() for record in caplog.records if record.name.startswith("cds_service")),
        ):
            assert planted_one not in text
    assert {span.name for span in door.spans.get_finished_spans()} >= {
        "POST /cds-services/{id}",
        "POST /cds-services/{id}/feedback",
        "GET /{unknown}",
    }


async def test_line_19_asked_again_it_judges_again(open_door: Open) -> None:
    corrected = bundle(observation("k", "2823-3", 4.1, "mmol/L", 3.5, 5.1, status="corrected"))
    body = request(PANEL)
    async with open_door() as door:
        first = (await door.call(body)).json()
        second = (await door.call(body | {"context": {"patientId": "p", "observations": json.loads(corrected)}})).json()
    assert first["cards"]
    assert second["cards"] == []


@pytest.mark.parametrize("error", [RuntimeError("Mustermann"), StopIteration(), SystemExit(1)])
async def test_line_21_a_handler_that_fails_is_no_empty_answer(
    open_door: Open, known_analytes: Catalog, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    gated = Gated(Pipeline(Settings(engine="none"), known_analytes), error=error)
    gated.gate.set()
    async with open_door(gated) as door:
        response = await door.call(request(PANEL))
        alive = await door.client.get("/healthz")
    assert (response.status_code, issues(response)) == (500, [("internal", None)])
    assert alive.status_code == 200
    assert "Mustermann" not in response.text + caplog.text


async def test_line_21_a_hook_that_is_not_the_services_is_refused(open_door: Open) -> None:
    async with open_door() as door:
        response = await door.call(request(PANEL) | {"hook": "medication-prescribe"})
    assert (response.status_code, issues(response)) == (400, [("invalid-input", "hook")])


async def test_line_21_one_call_does_not_hold_up_the_others(open_door: Open, known_analytes: Catalog) -> None:
    """While every worker is busy, discovery and health answer; a call too many is told to come back; a late one is told so."""
    gated = Gated(Pipeline(Settings(engine="none"), known_analytes))
    async with open_door(gated, max_concurrency=1, max_queue=1, default_deadline_s=5.0) as door:
        held = [asyncio.create_task(door.call(request(PANEL))) for _ in range(2)]
        while door.server.backend.evaluator.inside < 2:
            await asyncio.sleep(0.01)
        assert (await door.client.get("/cds-services")).status_code == 200
        refused = await door.call(request(PANEL))
        gated.gate.set()
        answers = await asyncio.gather(*held)
    assert (refused.status_code, issues(refused)) == (429, [("overloaded", None)])
    assert int(refused.headers["retry-after"]) >= 1
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_line_21_a_late_answer_is_an_error(open_door: Open, known_analytes: Catalog) -> None:
    gated = Gated(Pipeline(Settings(engine="none"), known_analytes))
    async with open_door(gated, default_deadline_s=0.2) as door:
        response = await door.call(request(PANEL))
    assert (response.status_code, issues(response)) == (504, [("deadline-exceeded", None)])


async def test_line_21_a_door_that_drains_says_so_and_ends_what_runs(open_door: Open, known_analytes: Catalog) -> None:
    gated = Gated(Pipeline(Settings(engine="none"), known_analytes))
    async with open_door(gated) as door:
        assert (await door.client.get("/readyz")).status_code == 200
        running = asyncio.create_task(door.call(request(PANEL)))
        await asyncio.to_thread(gated.begun.acquire)
        draining = asyncio.create_task(door.server.drain())
        while not door.server.backend.evaluator.draining:
            await asyncio.sleep(0.01)
        ready = await door.client.get("/readyz")
        late = await door.call(request(PANEL))
        gated.gate.set()
        assert (await running).status_code == 200
        await draining
    assert (ready.status_code, late.status_code) == (503, 503)
    assert issues(late) == [("draining", None)]


async def test_line_22_what_the_specification_has_is_accepted(open_door: Open) -> None:
    body = request(PANEL, extension={"com.example.ehr": {"anything": [1, 2]}}, unknown="member")
    body["context"] |= {"userId": "Practitioner/1", "encounterId": "e", "com.example": {"more": True}}
    async with open_door() as door:
        assert (await door.call(body)).status_code == 200
        assert (await door.client.get("/cds/cds-services")).status_code == 404
        order = request(hook="order-sign", prefetch={"results": json.loads(PANEL)})
        order["context"]["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "X"}}]}
        answer = (await door.call(order)).json()
    assert "MedicationRequest" not in json.dumps(answer["cards"])


def test_line_23_links_have_no_other_key() -> None:
    link = openapi.schema("response")["$defs"]["card"]["properties"]["links"]["items"]
    assert set(link["properties"]) == {"label", "url", "type", "appContext", "autolaunchable"}
    assert link["additionalProperties"] is False


async def test_line_26_r4_r4b_and_r5_lose_nothing(open_door: Open) -> None:
    """R5 names the same elements; what a model of the wrong version would drop is judged here."""
    sent = json.loads((ROOT / "examples" / "bundles" / "21-r5-hypokalaemia.json").read_bytes())
    patient = re.search(r"Patient/([A-Za-z0-9.-]+)", json.dumps(sent))
    async with open_door() as door:
        answer = (await door.call(request(sent, patient=patient[1] if patient else "p"))).json()
    assert any("otassium" in card["summary"] for card in answer["cards"])


async def test_the_language_is_that_of_the_client(open_door: Open) -> None:
    async with open_door() as door:
        french = await door.call(request(PANEL), accept_language="de, fr-CA;q=0.8, en;q=0.2")
        english = await door.call(request(PANEL), accept_language="de;q=x, zh")
    assert french.json()["extension"]["org.labcue.evaluation"]["language"] == "fr"
    assert english.json()["extension"]["org.labcue.evaluation"]["language"] == "en"


def test_the_services_say_what_they_need() -> None:
    assert all(services.USAGE in json.dumps(one) for one in services.discovery("1")["services"])
