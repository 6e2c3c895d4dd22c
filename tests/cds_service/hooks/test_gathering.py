"""Where results come from: context, prefetch, or a real FHIR server on loopback that serves, pages, stalls and lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from tests.bundles import PANEL, bundle, observation
from tests.cds_service.hooks.conftest import Open, issues, request
from tests.cds_service.hooks.fhir_server import MEDIA, Handler, fhir, fhir_server, searchset

POTASSIUM = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1)
SODIUM = observation("na", "2951-2", 140, "mmol/L", 135, 145)
TOKEN = {
    "access_token": "secret-token",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/Observation.rs",
    "subject": "labcue",
}
VIEW = {"hook": "patient-view"}
RESULTS = "prefetch.results"


@asynccontextmanager
async def both(open_door: Open, settings: dict[str, Any] | None = None, **server: Any) -> AsyncIterator[Any]:
    """A FHIR server, and a door that may ask it."""
    async with fhir_server(**server) as ehr:
        given = {"fhir_servers": ehr.base, "fhir_plain_http": True, "fhir_private_addresses": True, **(settings or {})}
        async with open_door(**given) as door:
            yield ehr, door


def states(answer: dict[str, Any]) -> dict[str, str]:
    return {key: part["state"] for key, part in answer["extension"]["org.labcue.data"].items()}


def paths(answer: dict[str, Any]) -> list[str]:
    return [flag["path"] for flag in answer["extension"]["org.labcue.evaluation"]["flags"]]


# From the request


async def test_results_of_the_context_alone(open_door: Open) -> None:
    async with open_door() as door:
        answer = (await door.call(request(PANEL))).json()
    assert states(answer) == {"patient": "not-sent", "results": "not-sent"}
    assert paths(answer) == [f"context.observations.entry[{index}].resource" for index in (1, 2)]


@pytest.mark.parametrize("hook", ["patient-view", "encounter-start", "encounter-discharge", "order-sign"])
async def test_results_of_the_prefetch_alone(open_door: Open, hook: str) -> None:
    patient = {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1950-01-01"}
    prefetch = {"patient": patient, "results": searchset([POTASSIUM, SODIUM], "https://ehr.example.org/fhir")}
    async with open_door() as door:
        response = await door.call(request(hook=hook, prefetch=prefetch))
    answer = response.json()
    assert response.status_code == 200
    assert answer["cards"][0]["indicator"] == "critical"
    assert states(answer) == {"patient": "sent", "results": "sent"}
    assert paths(answer) == ["prefetch.results.entry[0].resource", "prefetch.results.entry[1].resource"]


async def test_earlier_results_are_the_background_of_new_ones(open_door: Open) -> None:
    """A card is about what arrived; what came before gives it its change, and no card of its own."""
    before = observation("k0", "2823-3", 4.0, "mmol/L", 3.5, 5.1, effectiveDateTime="2024-02-29T08:00:00Z")
    old = observation("g0", "2345-7", 700, "mg/dL", 70, 99, effectiveDateTime="2024-02-28T08:00:00Z")
    prefetch = {"results": searchset([before, old], "https://ehr.example.org/fhir")}
    async with open_door() as door:
        answer = (await door.call(request(bundle(POTASSIUM), prefetch=prefetch))).json()
    assert [card["summary"].split()[0] for card in answer["cards"]] == ["Potassium"]
    assert paths(answer) == [
        "context.observations.entry[1].resource",
        "prefetch.results.entry[0].resource",
        "prefetch.results.entry[1].resource",
    ]
    texts = [
        basis["text"] for basis in answer["extension"]["org.labcue.evaluation"]["flags"][0]["basis"] if "text" in basis
    ]
    assert any("4" in text and "earlier" in text for text in texts), texts


async def test_a_result_that_came_twice_is_one(open_door: Open) -> None:
    prefetch = {"results": searchset([POTASSIUM, SODIUM], "https://ehr.example.org/fhir")}
    async with open_door() as door:
        answer = (await door.call(request(bundle(POTASSIUM), prefetch=prefetch))).json()
    evaluation = answer["extension"]["org.labcue.evaluation"]
    assert evaluation["observations"] == 2
    assert len(evaluation["flags"]) == 2


@pytest.mark.parametrize(
    ("prefetch", "status", "state"),
    [
        ({"results": None}, 200, "none"),
        ({"results": searchset([])}, 200, "sent"),
        ({}, 412, None),
        (
            {"results": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}},
            412,
            None,
        ),
        ({"results": searchset([SODIUM], following="https://ehr.example.org/fhir/next")}, 412, None),
        ({"results": searchset([]) | {"total": 3}}, 412, None),
        ({"results": {"resourceType": "Patient", "id": "p"}}, 400, None),
        ({"results": "text"}, 400, None),
    ],
    ids=["null", "empty", "absent", "outcome", "next", "total-without-entries", "another-resource", "no-resource"],
)
async def test_each_way_a_prefetch_key_can_stand(
    open_door: Open, prefetch: dict[str, Any], status: int, state: str | None
) -> None:
    async with open_door() as door:
        response = await door.call(request(prefetch=prefetch, **VIEW))
    assert response.status_code == status
    if state is not None:
        assert response.json()["cards"] == []
        assert states(response.json())["results"] == state
    else:
        assert issues(response) == [("data-missing" if status == 412 else "invalid-input", RESULTS)]


async def test_a_search_that_went_wrong_in_part_is_no_search_that_found_little(open_door: Open) -> None:
    failed = {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}}
    warned = {"resource": {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "value"}]}}
    sent = searchset([SODIUM])
    async with open_door() as door:
        wrong = await door.call(request(prefetch={"results": sent | {"entry": [*sent["entry"], failed]}}, **VIEW))
        right = await door.call(request(prefetch={"results": sent | {"entry": [*sent["entry"], warned]}}, **VIEW))
    assert (wrong.status_code, right.status_code) == (412, 200)


async def test_the_newest_page_is_enough_and_says_so(open_door: Open) -> None:
    """200 results, newest first, are what was asked for; the next page holds older ones."""
    newest = [
        observation(
            f"n{index}",
            "2951-2",
            140,
            "mmol/L",
            135,
            145,
            effectiveDateTime=f"2024-03-01T{23 - index // 60:02d}:{59 - index % 60:02d}:00Z",
        )
        for index in range(200)
    ]
    unsorted = [newest[50], *newest[:50], *newest[51:]]
    following = "https://ehr.example.org/fhir/next"
    async with open_door() as door:
        sorted_page = await door.call(request(prefetch={"results": searchset(newest, following=following)}, **VIEW))
        other = await door.call(request(prefetch={"results": searchset(unsorted, following=following)}, **VIEW))
    assert sorted_page.status_code == 200
    assert sorted_page.json()["extension"]["org.labcue.data"]["results"] == {
        "state": "sent",
        "olderResultsNotRead": True,
    }
    assert other.status_code == 412


async def test_another_patients_results_are_refused(open_door: Open) -> None:
    stranger = bundle(POTASSIUM | {"subject": {"reference": "Patient/stranger"}})
    async with open_door() as door:
        context = await door.call(request(PANEL, patient="other"))
        mixed = await door.call(request(stranger))
        patient = await door.call(
            request(
                prefetch={"patient": {"resourceType": "Patient", "id": "q"}, "results": searchset([SODIUM])}, **VIEW
            )
        )
    assert (context.status_code, issues(context)) == (400, [("multiple-patients", "context.patientId")])
    assert mixed.status_code == 400
    assert (patient.status_code, issues(patient)) == (400, [("invalid-input", "prefetch.patient.id")])


async def test_places_are_those_of_the_request(open_door: Open) -> None:
    mixed = bundle(POTASSIUM, SODIUM | {"subject": {"reference": "Patient/q"}})
    async with open_door() as door:
        alone = await door.call(request(mixed))
        joined = await door.call(request(mixed, prefetch={"patient": {"resourceType": "Patient", "id": "p"}}))
    place = "context.observations.entry[2].resource.subject"
    assert issues(alone) == [("multiple-patients", place)]
    assert issues(joined) == [("multiple-patients", place)]


# From the FHIR server


async def test_results_of_the_fhir_server_alone(open_door: Open) -> None:
    async with both(open_door, observations=[POTASSIUM, SODIUM]) as (ehr, door):
        answer = (await door.call(request(fhirServer=ehr.base, fhirAuthorization=TOKEN, **VIEW))).json()
    assert answer["cards"][0]["indicator"] == "critical"
    assert states(answer) == {"patient": "fetched", "results": "fetched"}
    assert paths(answer) == ["fhirServer.results[0].entry[0].resource", "fhirServer.results[0].entry[1].resource"]
    assert ehr.paths == ["/fhir/Observation", "/fhir/Patient/p"]
    search = next(one for one in ehr.asked if one.url.path.endswith("Observation"))
    assert dict(search.query_params) == {"patient": "p", "category": "laboratory", "_sort": "-date", "_count": "200"}
    assert {one.headers["authorization"] for one in ehr.asked} == {"Bearer secret-token"}
    assert {one.headers["host"] for one in ehr.asked} == {f"127.0.0.1:{ehr.port}"}


async def test_an_open_server_is_asked_without_a_token(open_door: Open) -> None:
    async with both(open_door, observations=[SODIUM]) as (ehr, door):
        response = await door.call(request(fhirServer=ehr.base, **VIEW))
    assert response.status_code == 200
    assert all("authorization" not in one.headers for one in ehr.asked)


async def test_pages_are_followed_to_the_end(open_door: Open) -> None:
    many = [observation(f"o{index}", "2951-2", 140, "mmol/L", 135, 145) for index in range(5)]
    async with both(open_door, observations=[*many, POTASSIUM], page=2) as (ehr, door):
        answer = (await door.call(request(fhirServer=ehr.base, **VIEW))).json()
    assert answer["extension"]["org.labcue.evaluation"]["observations"] == 6
    assert answer["cards"][0]["indicator"] == "critical"
    assert "fhirServer.results[2].entry[1].resource" in paths(answer)


async def test_a_prefetch_that_is_one_page_is_completed(open_door: Open) -> None:
    async with both(open_door, observations=[SODIUM, POTASSIUM], page=1) as (ehr, door):
        first = searchset([SODIUM], ehr.base, f"{ehr.base}/Observation?patient=p&_page=1")
        answer = (await door.call(request(prefetch={"results": first}, fhirServer=ehr.base, **VIEW))).json()
    assert paths(answer) == ["prefetch.results.entry[0].resource", "fhirServer.results[1].entry[0].resource"]


async def test_nothing_is_fetched_that_was_sent(open_door: Open) -> None:
    prefetch = {"patient": None, "results": searchset([SODIUM])}
    async with both(open_door) as (ehr, door):
        response = await door.call(request(prefetch=prefetch, fhirServer=ehr.base, fhirAuthorization=TOKEN, **VIEW))
    assert response.status_code == 200
    assert ehr.asked == []


async def test_new_results_are_judged_although_nothing_else_can_be_had(open_door: Open) -> None:
    """The results are there: the Patient and earlier results help, and the answer says that they are missing."""

    async def fails(request: Request) -> Response:
        return fhir({}, 503)

    async with both(open_door, faults={"Patient": fails, "Observation": fails}) as (ehr, door):
        answer = (await door.call(request(PANEL, fhirServer=ehr.base))).json()
    assert answer["cards"]
    parts = answer["extension"]["org.labcue.data"]
    assert parts == {
        key: {"state": "failed", "reason": "the FHIR server answered 503"} for key in ("patient", "results")
    }


async def test_reads_go_on_at_once(open_door: Open) -> None:
    """Each waits for the other to have been asked: one after the other would end with neither."""
    arrived = asyncio.Barrier(2)

    async with both(open_door, observations=[SODIUM]) as (ehr, door):

        async def together(request: Request) -> Response:
            await arrived.wait()
            return fhir(ehr.patient if "Patient" in request.url.path else searchset([SODIUM]))

        ehr.faults = {"Patient": together, "Observation": together}
        response = await door.call(request(fhirServer=ehr.base, **VIEW))
    assert states(response.json()) == {"patient": "fetched", "results": "fetched"}


async def _never(request: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_silent_server_costs_the_budget_and_no_more(open_door: Open) -> None:
    async with both(open_door, {"fhir_budget_s": 0.2}, faults={"Observation": _never}) as (ehr, door):
        response = await door.call(request(fhirServer=ehr.base, **VIEW))
        answer = await door.call(request(PANEL, fhirServer=ehr.base))
    assert (response.status_code, issues(response)) == (412, [("data-missing", RESULTS)])
    assert "in time" in response.text
    assert states(answer.json()) == {"patient": "fetched", "results": "failed"}


def _sends(content: bytes, media: str = MEDIA, status: int = 200, **headers: str) -> Handler:
    async def handler(request: Request) -> Response:
        return Response(content, status, headers, media)

    return handler


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (_sends(b"{}", status=401), "answered 401"),
        (_sends(b"{}", status=500), "answered 500"),
        (_sends(b"<html>", "text/html"), "FHIR JSON"),
        (_sends(b"not json"), "Bundle"),
        (_sends(b""), "FHIR JSON"),
        (_sends(b'{"resourceType":"Patient","id":"p"}'), "Bundle"),
        (_sends(b'{"resourceType":"Bundle","type":"searchset","total":4}'), "sent none"),
        (_sends(b" " * 5000 + b"{}"), "more than is read"),
        (_sends(b"\x1f\x8b", **{"content-encoding": "gzip"}), "FHIR JSON"),
        (_sends(b"", status=302, location="https://evil.example.org/"), "another address"),
        (_sends(b"", status=307, location="//evil.example.org/fhir"), "another address"),
        (_sends(b"", status=302, location="/fhir/Observation"), "without an end"),
        (
            _sends(b'{"resourceType":"Bundle","link":[{"relation":"next","url":"https://evil.example.org/"}]}'),
            "another address",
        ),
        (_sends(b'{"resourceType":"Bundle","link":[{"relation":"next","url":"?patient=p"}]}'), "circle"),
        (
            _sends(
                b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"OperationOutcome",'
                b'"issue":[{"severity":"fatal","code":"timeout"}]}}]}'
            ),
            "OperationOutcome",
        ),
    ],
    ids=[
        "401", "500", "html", "no-json", "empty", "patient", "hollow", "too-large", "gzip", "redirect-away",
        "redirect-away-without-scheme", "redirect-round", "next-away", "next-round", "failed-search",
    ],
)  # fmt: skip
async def test_a_server_that_fails_or_lies_gives_412(open_door: Open, handler: Handler, why: str) -> None:
    settings = {"max_bundle_bytes": 4096}
    async with both(open_door, settings, faults={"Observation": handler}) as (ehr, door):
        response = await door.call(request(fhirServer=ehr.base, fhirAuthorization=TOKEN, **VIEW))
    assert (response.status_code, issues(response)) == (412, [("data-missing", RESULTS)])
    assert why in response.json()["issue"][0]["diagnostics"]


async def test_endless_pages_are_cut_off(open_door: Open) -> None:
    async def another(request: Request) -> Response:
        number = int(request.query_params.get("_page", 0))
        return fhir(searchset([SODIUM | {"id": f"o{number}"}], following=f"?_page={number + 1}"))

    async with both(open_door, {"fhir_max_pages": 3}, faults={"Observation": another}) as (ehr, door):
        response = await door.call(request(fhirServer=ehr.base, **VIEW))
    assert response.status_code == 412
    assert len([path for path in ehr.paths if path.endswith("Observation")]) == 3


async def test_a_server_that_sends_another_patients_results_is_not_believed(open_door: Open) -> None:
    strange = [SODIUM | {"subject": {"reference": "Patient/stranger"}}]
    async with both(open_door, observations=strange) as (ehr, door):
        lying = await door.call(request(fhirServer=ehr.base, **VIEW))
        ehr.observations = [SODIUM]
        ehr.faults["Patient"] = _sends(b'{"resourceType":"Patient","id":"stranger"}')
        other = (await door.call(request(fhirServer=ehr.base, **VIEW))).json()
    assert lying.status_code == 412
    assert "stranger" not in lying.text
    assert states(other) == {"patient": "failed", "results": "fetched"}


async def test_a_redirect_on_the_same_server_is_followed(open_door: Open) -> None:
    async with both(open_door, observations=[SODIUM]) as (ehr, door):

        async def moved(request: Request) -> Response:
            if "moved" not in request.query_params:
                return Response(status_code=307, headers={"location": f"{ehr.base}/Observation?moved=1"})
            return fhir(searchset([SODIUM]))

        ehr.faults = {"Observation": moved}
        response = await door.call(request(fhirServer=ehr.base, fhirAuthorization=TOKEN, **VIEW))
    assert response.status_code == 200


async def test_the_token_goes_nowhere_else(open_door: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with both(open_door, faults={"Observation": _sends(b"{}", status=403)}) as (ehr, door):
        response = await door.call(request(fhirServer=ehr.base, fhirAuthorization=TOKEN, **VIEW))
    assert "secret-token" not in response.text
    told = [str(span.to_json()) for span in door.spans.get_finished_spans()]
    assert any("cds_hooks.fetch" in one for one in told)
    for text in (*told, caplog.text):
        assert "secret-token" not in text
        assert str(ehr.port) not in text
        assert "Patient/p" not in text


async def test_only_allowed_servers_are_asked(open_door: Open) -> None:
    async with fhir_server(observations=[SODIUM]) as ehr:
        refusals = {
            "allowlist": {"fhir_servers": "https://ehr.example.org/fhir"},
            "without TLS": {"fhir_servers": ehr.base, "fhir_private_addresses": True},
            "private address": {"fhir_servers": ehr.base, "fhir_plain_http": True},
        }
        for why, settings in refusals.items():
            async with open_door(**settings) as door:
                response = await door.call(request(fhirServer=ehr.base, fhirAuthorization=TOKEN, **VIEW))
            assert response.status_code == 412
            assert why in response.text
    assert ehr.asked == []
