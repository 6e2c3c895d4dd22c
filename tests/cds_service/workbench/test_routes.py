"""What the page asks of the service."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest

from cds_service.config import Settings
from cds_service.example_bundles import examples
from cds_service.explanation import explain
from cds_service.inference.fake import FakeEngine
from cds_service.pipeline import Pipeline
from cds_service.workbench import assets, is_on
from fhir_adapter import catalog
from tests.bundles import bundle, observation
from tests.cds_service.workbench.conftest import serving

JSON = {"content-type": "application/json"}
PANEL = bundle(observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1))


def test_the_page_is_strict_about_where_things_come_from(client: httpx2.Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(one.partition(" ")[::2] for one in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["img-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_the_page_names_only_what_is_there_and_nothing_elsewhere(client: httpx2.Client) -> None:
    seen, left = set(), [("/", client.get("/").text)]
    while left:
        at, text = left.pop()
        names = re.findall(r'(?:src|href)="(workbench/static/[^"]+)"', text)
        names += [f"workbench/static/{name}" for name in re.findall(r'from "\./([\w.]+)"', text)]
        assert not re.search(r"(?:src|href|url\()\s*=?\s*[\"']?(?:https?:)?//", text), at
        for name in set(names) - seen:
            seen.add(name)
            found = client.get(f"/{name}")
            assert found.status_code == 200, name
            left.append((name, found.text))
    assert {name.rsplit("/", 1)[1] for name in seen} == set(assets.load()) - {assets.PAGE}


def test_nothing_of_the_page_is_inline(client: httpx2.Client) -> None:
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize(
    "name", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
)
def test_no_module_makes_html_or_code_from_text(name: str) -> None:
    assert [file for file, asset in assets.load().items() if name.encode() in asset.content] == []


def test_a_file_is_sent_again_only_when_it_changed(client: httpx2.Client) -> None:
    first = client.get("/workbench/static/app.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/workbench/static/app.js", headers={"if-none-match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get("/workbench/static/app.js", headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/workbench/static/none.js",
        "/workbench/static/..%2fassets.py",
        "/workbench/static/%2e%2e/assets.py",
        "/workbench/examples/none",
        "/workbench/examples/..%2f01-normal",
        "/workbench/examples/01-normal.json",
        "/workbench",
    ],
)
def test_what_is_not_there_is_a_404_with_an_outcome(client: httpx2.Client, path: str) -> None:
    found = client.get(path)
    assert found.status_code == 404
    assert found.json()["resourceType"] == "OperationOutcome"


def test_the_examples_are_those_that_ship(client: httpx2.Client) -> None:
    assert client.get("/workbench/examples").json() == [file.stem for file in examples()]
    file = examples()[1]
    sent = client.get(f"/workbench/examples/{file.stem}")
    assert sent.content == file.read_bytes()
    assert sent.headers["cache-control"] == "no-store"


def test_explain_says_what_the_command_says(client: httpx2.Client) -> None:
    answer = client.post("/workbench/explain?language=fr", content=PANEL, headers=JSON)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    shown = answer.json()
    pipeline = Pipeline(Settings(engine="fake"), catalog.load(), FakeEngine())
    expected = json.loads(json.dumps(explain(pipeline, PANEL, "fr")))
    for one in (shown["explanation"], expected):
        one.pop("timings")
    assert shown["explanation"] == expected
    assert shown["response"]["cards"][0]["indicator"] == "critical"
    assert shown["response"]["extension"]["org.labcue.evaluation"]["language"] == "fr"


def test_a_result_is_shown_as_on_its_card_and_read_as_it_was_sent(client: httpx2.Client) -> None:
    sent = client.get("/workbench/examples/01-normal").content
    found = client.post("/workbench/explain?language=fr", content=sent, headers=JSON).json()["explanation"]
    (read,) = (one["value"] for one in found["read"] if "10*3" in one["value"] and one["name"].startswith("Platelet"))
    (shown,) = (one["shown"] for one in found["normalized"] if one["analyte"] == "platelets")
    assert shown == read.replace("10*3/uL", "× 10³/µL")


def test_its_cards_are_known_to_feedback(client: httpx2.Client, service) -> None:  # type: ignore[no-untyped-def]
    from cds_service.records.feedback import Feedback

    card = client.post("/workbench/explain", content=PANEL, headers=JSON).json()["response"]["cards"][0]["uuid"]
    entry = Feedback(card, "overridden", outcome_at="2026-03-04T08:00:00Z")
    assert service.backend.records.add_feedback([entry]) == []


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "not-json"),
        (b"", JSON, 400, "not-json"),
        (b'{"resourceType": "Patient"}', JSON, 400, "unsupported-resource"),
        (b'{"resourceType": "Bundle", "type": "collection"}', JSON, 400, "no-observations"),
        (PANEL, {"content-type": "text/html"}, 415, "unsupported-media-type"),
        (PANEL, JSON | {"content-encoding": "gzip"}, 415, "unsupported-media-type"),
        (b'{"a": "' + b"a" * (8 * 1024 * 1024) + b'"}', JSON, 413, "limit-exceeded"),
    ],
)
def test_a_fault_is_an_outcome(
    client: httpx2.Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = client.post("/workbench/explain", content=content, headers=headers)
    assert answer.status_code == status
    issue = answer.json()["issue"][0]
    assert issue["details"]["coding"][0]["code"] == code


@pytest.mark.parametrize(
    ("host", "setting", "on"),
    [
        ("127.0.0.1", "auto", True),
        ("127.9.9.9", "auto", True),
        ("::1", "auto", True),
        ("[::1]", "auto", True),
        ("localhost", "auto", True),
        ("0.0.0.0", "auto", False),
        ("::", "auto", False),
        ("10.0.0.1", "auto", False),
        ("labcue.example.org", "auto", False),
        ("localhost.example.org", "auto", False),
        ("10.0.0.1", "on", True),
        ("127.0.0.1", "off", False),
    ],
)
def test_it_is_on_by_default_on_this_machine_alone(host: str, setting: str, on: bool) -> None:
    # Beyond this machine a service asks for more than a host; only what the workbench looks at matters here.
    assert is_on(Settings.model_construct(host=host, workbench=setting)) is on  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "given", [{"behind_proxy": True}, {"trusted_proxies": "127.0.0.1"}, {"clients": "clients.toml"}]
)
def test_it_is_off_by_default_where_others_call_or_a_token_is_asked_for(given: dict[str, Any]) -> None:
    assert not is_on(Settings(**given))
    assert is_on(Settings(workbench="on", **given))


def test_where_it_is_off_there_is_nothing() -> None:
    with (
        serving(workbench="off", engine="none") as server,
        httpx2.Client(base_url=f"http://127.0.0.1:{server.http_port}", trust_env=False) as client,
    ):
        for path in ("/", "/workbench/static/app.js", "/workbench/about", "/workbench/examples"):
            assert client.get(path).status_code == 404
        assert client.post("/workbench/explain", content=PANEL, headers=JSON).status_code == 404
        assert client.get("/cds-services").status_code == 200
