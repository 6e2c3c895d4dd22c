"""The OpenAPI document is true: what it allows is answered as it says, what it forbids is refused."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from jsonschema import Draft202012Validator
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as about

from cds_service.config import Settings
from cds_service.hooks import openapi
from cds_service.hooks.services import PREFETCH, SERVICES
from cds_service.pipeline import Pipeline
from cds_service.serving import running
from fhir_adapter.catalog import Catalog
from tests.cds_service.hooks.conftest import Open, request
from tests.cds_service.hooks.fhir_server import searchset
from tests.cds_service.subscription.conftest import notify, result

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "bundles").glob("*.json"))
OPERATIONS = [(method.upper(), path) for path, item in openapi.document("1")["paths"].items() for method in item]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    about.status_code_conformance,
    about.content_type_conformance,
    about.response_headers_conformance,
    about.response_schema_conformance,
    about.negative_data_rejection,
    about.unsupported_method,
]


@pytest.fixture(scope="module")
def base(known_analytes: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The door in a thread of its own: schemathesis calls from a blocking client. It takes notifications, of a server that
    never answers."""
    nobody = "http://127.0.0.1:9/fhir"
    settings = Settings(
        doors="http",
        http_port=0,
        engine="none",
        records=str(tmp_path_factory.mktemp("openapi") / "r.sqlite3"),
        subscription_server=nobody,
        fhir_servers=(nobody,),
        fhir_plain_http=True,
    )
    started, stop = threading.Event(), asyncio.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        async with running(settings, Pipeline(settings, known_analytes)) as server:
            found["loop"], found["port"] = asyncio.get_running_loop(), server.http_port
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{found['port']}"
    found["loop"].call_soon_threadsafe(stop.set)
    thread.join(30)


@pytest.mark.parametrize("name", openapi.NAMES)
def test_each_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(openapi.schema(name))


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        *((method, path, GenerationMode.POSITIVE) for method, path in OPERATIONS),
        *((method, path, GenerationMode.NEGATIVE) for method, path in OPERATIONS if method == "POST"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_each_operation_is_answered_as_documented(base: str, method: str, path: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{base}/openapi.json")
    operation = schema[path][method]

    @seed(20240301)
    @hypothesis_settings(
        max_examples=15 if method == "POST" else 2,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: schemathesis.Case) -> None:
        if "id" in (case.path_parameters or {}) and mode is GenerationMode.POSITIVE:
            case.path_parameters["id"] = "labcue-results"
        case.call_and_validate(base_url=base, checks=CHECKS, timeout=20)

    holds()


async def test_the_schemas_name_what_is_there(open_door: Open) -> None:
    hooks = openapi.schema("request")["properties"]["hook"]["enum"]
    assert hooks == [service.hook for service in SERVICES]
    assert set(openapi.schema("request")["properties"]["prefetch"]["properties"]) == set(PREFETCH)
    async with open_door() as door:
        described = (await door.client.get("/openapi.json")).json()["paths"]
    routes = {path: {method.upper() for method in item} for path, item in described.items()}
    assert routes["/cds-services"] == {"GET"}
    assert routes["/cds-services/{id}"] == routes["/cds-services/{id}/feedback"] == {"POST"}
    assert openapi.SUBSCRIPTION not in routes  # it takes no notifications


@pytest.mark.parametrize("form", ["R4", "R4B", "R5"])
@pytest.mark.parametrize("kind", ["handshake", "heartbeat", "event-notification"])
def test_notifications_as_servers_send_them_hold(form: str, kind: str) -> None:
    schema = Draft202012Validator(openapi.schema("notification"))
    numbers = {3: "Observation/a", 4: None} if kind == "event-notification" else None
    schema.validate(json.loads(notify(kind, numbers, result("a", 4.0), form=form, count=4)))
    broken = json.loads(notify(kind, {-1: None}, form=form, of="Patient/x"))
    assert schema.is_valid(broken) is (form == "R4")  # Parameters are described from outside


async def test_every_example_bundle_holds(open_door: Open) -> None:
    """The client of these tests holds each answer to its schema; here to all examples, in both places."""
    async with open_door() as door:
        for file in EXAMPLES:
            sent = json.loads(file.read_bytes())
            if sent.get("resourceType") != "Bundle":
                sent = searchset([]) | {"entry": [{"resource": sent}]}
            named = re.search(r"Patient/([A-Za-z0-9.-]+)", file.read_text())
            patient = named[1] if named else "p"
            arrived = await door.call(request(sent, patient=patient))
            prefetched = await door.call(request(hook="patient-view", patient=patient, prefetch={"results": sent}))
            assert (arrived.status_code, prefetched.status_code) == (200, 200), (file.stem, arrived.text[:300])
