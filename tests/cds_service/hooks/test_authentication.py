"""Trust at the HTTP door, over a real uvicorn: lines 7, 14 to 18, 20 and 24 of the checklist."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.hooks.authentication import needed
from tests import callers
from tests.bundles import PANEL
from tests.callers import ISSUER, RSA_KEY, claims, clients_file, token
from tests.cds_service.hooks.conftest import CALL, Door, Open, issues, request


def _authorized(url: str, **changed: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(claims(url, now=time.time()) | changed)}"}


async def _get(door: Door, path: str = "/cds-services", headers: dict[str, str] | None = None) -> httpx2.Response:
    return await door.client.get(path, headers=headers or {})


async def test_every_address_asks_for_a_token_but_health(open_door: Open, tmp_path: Path) -> None:
    async with open_door(clients=clients_file(tmp_path)) as door:
        assert {(await _get(door, path)).status_code for path in ("/healthz", "/readyz")} == {200}
        for path in ("/cds-services", "/openapi.json", "/", "/nothing", "/healthz/", "//healthz"):
            response = await _get(door, path)
            assert response.status_code == 401, path
            assert issues(response) == [("unauthenticated", None)]
            assert response.headers["www-authenticate"] == "Bearer"
        assert (await door.call(request(PANEL))).status_code == 401
        assert (await door.call(b"x" * 100, CALL + "/feedback")).status_code == 401
        discovered = await _get(door, headers=_authorized(f"{door.base}/cds-services"))
        answered = await door.call(request(PANEL), **_authorized(door.base + CALL))
        clients = [span.attributes.get("labcue.client") for span in door.spans.get_finished_spans() if span.attributes]
    assert [one for one in clients if one] == ["ehr", "ehr"]
    assert discovered.json()["services"]
    assert answered.json()["cards"]


async def test_a_token_is_good_for_one_call_of_one_address(open_door: Open, tmp_path: Path) -> None:
    async with open_door(clients=clients_file(tmp_path)) as door:
        once = _authorized(f"{door.base}/cds-services")
        codes = [(await _get(door, headers=once)).status_code for _ in range(2)]
        elsewhere = await door.call(request(PANEL), **_authorized(f"{door.base}/cds-services"))
        feedback = f"{door.base}{CALL}/feedback"
        to_feedback = await door.call(request(PANEL), CALL + "/feedback", **_authorized(feedback))
    assert codes == [200, 401]
    assert elsewhere.status_code == 401
    assert to_feedback.status_code != 401


async def test_tokens_of_real_clients(open_door: Open, tmp_path: Path) -> None:
    """The sandbox: ES384, iat rounded up, its own public jku. Epic: RS384, sub, nbf five minutes back, aud an array."""
    async with open_door(clients=clients_file(tmp_path)) as door:
        url, now = f"{door.base}/cds-services", time.time()
        sandbox = token(claims(url, now=now, iat=int(now) + 2), jku=f"{ISSUER}/jwks.json")
        epic = token(claims([url], now=now, sub=ISSUER, nbf=int(now) - 300), RSA_KEY, alg="RS384")
        codes = [(await _get(door, headers={"authorization": f"Bearer {one}"})).status_code for one in (sandbox, epic)]
    assert codes == [200, 200]


async def test_behind_a_trusted_proxy_the_url_called_is_the_public_one(open_door: Open, tmp_path: Path) -> None:
    public = "https://cds.example.org/cds-services"
    forwarded = {"x-forwarded-proto": "https", "x-forwarded-host": "cds.example.org"}
    async with open_door(clients=clients_file(tmp_path), trusted_proxies="127.0.0.1") as door:
        through = await _get(door, headers=_authorized(public) | forwarded)
        around = await _get(door, headers=_authorized(public))
    async with open_door(clients=clients_file(tmp_path)) as door:
        untrusted = await _get(door, headers=_authorized(public) | forwarded)
    assert [through.status_code, around.status_code, untrusted.status_code] == [200, 401, 401]


async def test_with_public_addresses_what_the_caller_writes_into_host_does_not_count(
    open_door: Open, tmp_path: Path
) -> None:
    """Else whoever got a token for his own service could send it on to this one."""
    async with open_door(clients=clients_file(tmp_path), public_urls="https://cds.example.org") as door:
        host = {"host": "evil.example.org"}
        sent_on = await _get(door, headers=_authorized("http://evil.example.org/cds-services") | host)
        meant = await _get(door, headers=_authorized("https://cds.example.org/cds-services") | host)
    assert [sent_on.status_code, meant.status_code] == [401, 200]


async def test_permissions_and_rates(open_door: Open, tmp_path: Path) -> None:
    file = clients_file(
        tmp_path,
        f'[clients.reader]\nissuer = "{ISSUER}"\nkey_file = "ehr.json"\npermissions = ["feedback"]\n'
        "rate_per_minute = 1\nburst = 2\n",
    )
    async with open_door(clients=file) as door:
        forbidden = await door.call(request(PANEL), **_authorized(door.base + CALL))
        unnamed = await _get(door, "/metrics", _authorized(f"{door.base}/metrics"))
        found = [await _get(door, headers=_authorized(f"{door.base}/cds-services")) for _ in range(3)]
    assert issues(forbidden) == issues(unnamed) == [("permission-denied", None)]
    assert [forbidden.status_code, unnamed.status_code] == [403, 403]
    assert [one.status_code for one in found] == [200, 200, 429]
    assert issues(found[-1]) == [("rate-limited", None)]
    assert 1 <= int(found[-1].headers["retry-after"]) <= 60


def test_what_is_not_named_needs_the_highest_permission() -> None:
    assert needed("GET", "/cds-services") is None
    assert needed("POST", "/cds-services/labcue-results") == "evaluate"
    assert needed("POST", "/cds-services/labcue-results/feedback") == "feedback"
    for method, path in (
        ("POST", "/cds-services"),
        ("DELETE", "/cds-services/x"),
        ("POST", "/cds-services/x/y"),
        ("GET", "/x"),
    ):
        assert needed(method, path) == "admin"


async def test_two_authorizations_are_none(open_door: Open, tmp_path: Path) -> None:
    async with open_door(clients=clients_file(tmp_path)) as door:
        one = _authorized(f"{door.base}/cds-services")["authorization"]
        response = await door.client.get("/cds-services", headers=[("authorization", one), ("authorization", one)])
    assert response.status_code == 401


async def test_any_garbage_is_401(open_door: Open, tmp_path: Path) -> None:
    async with open_door(clients=clients_file(tmp_path)) as door:
        loop = asyncio.get_running_loop()
        good = token(claims(f"{door.base}/cds-services", now=time.time())).split(".")

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(
            st.one_of(
                st.lists(st.sampled_from([*range(0x21, 0x7F), *range(0x80, 0x100)]), max_size=200).map(bytes),
                st.tuples(*[st.one_of(st.just(part), st.text("AZaz09-_.", max_size=30)) for part in good[:2]]).map(
                    lambda parts: ".".join(["Bearer " + parts[0], parts[1], "AAAA"]).encode()
                ),
            )
        )
        def tries(value: bytes) -> None:
            sent = door.client.get("/cds-services", headers=[(b"authorization", value)])
            response = asyncio.run_coroutine_threadsafe(sent, loop).result(20)
            assert response.status_code == 401

        await asyncio.to_thread(tries)


async def test_no_token_and_no_fault_of_one_stands_in_logs_spans_or_answers(
    open_door: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_door(clients=clients_file(tmp_path)) as door:
        url = f"{door.base}/cds-services"
        sent = [
            token(claims(url, now=time.time(), jti="ZQXJ-1", tenant="ZQXJ", sub="ZQXJ")),
            token(claims(url, now=time.time(), jti="ZQXJ-2", iss="https://ZQXJ.example.org")),
            token(claims("https://ZQXJ.example.org", now=time.time())),
            token(claims(url, now=time.time()), kid="ZQXJ", jku="https://ZQXJ.example.org"),
        ]
        answers = [await _get(door, headers={"authorization": f"Bearer {one}"}) for one in sent]
        basic = await _get(door, headers={"authorization": "Basic WlFYSg=="})
        spans = "".join(span.to_json() for span in door.spans.get_finished_spans())
        metrics = str(door.metrics.get_metrics_data())
    assert [one.status_code for one in answers] == [200, 401, 401, 401]
    assert "refused: unknown-issuer" in caplog.text
    captured = capfd.readouterr()
    told = [str(one.headers) + one.text for one in [*answers[1:], basic]]
    assert len({one.text for one in answers[1:]}) == 1  # the same, whatever was wrong
    for text in (caplog.text, spans, metrics, captured.out, captured.err, *told):
        assert "ZQXJ" not in text
        assert "WlFYSg" not in text
        assert not any(part in text for one in sent for part in one.split("."))


async def test_a_client_is_a_word_and_an_address_is_not_in_the_log(
    open_door: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Line 18: a URL may name a patient, whoever wrote it."""
    caplog.set_level(logging.DEBUG)
    async with open_door(clients=clients_file(tmp_path)) as door:
        for path in ("/cds-services/ZQXJ", "/ZQXJ?patient=ZQXJ", "/cds-services?patient=ZQXJ"):
            await _get(door, path, _authorized(door.base + path.partition("?")[0]))
        spans = "".join(span.to_json() for span in door.spans.get_finished_spans())
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("cds_service"))
    assert "GET /cds-services 200" in said
    for text in (said, spans):
        assert "ZQXJ" not in text


async def test_the_token_for_the_ehr_is_never_stored(open_door: Open, tmp_path: Path) -> None:
    """Line 7; ``test_gathering`` holds that it goes to no other server, log or span."""
    kept = tmp_path / "kept"
    kept.mkdir()
    authorization = {
        "access_token": "ZQXJ-token",
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "patient/Observation.read",
        "subject": "cds-service",
    }
    sent = request(PANEL, fhirServer="https://ehr.example.org/fhir", fhirAuthorization=authorization)
    async with open_door(clients=clients_file(tmp_path), records=str(kept / "records.sqlite3")) as door:
        answer = await door.call(sent, **_authorized(door.base + CALL))
    assert answer.json()["cards"]
    files = [path.read_bytes() for path in kept.iterdir()]
    assert any(b"cards" in data for data in files)
    assert not any(b"ZQXJ" in data for data in files)


ORIGIN = "https://sandbox.cds-hooks.org"


async def test_cors_is_an_allowlist(open_door: Open, tmp_path: Path) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    async with open_door(clients=clients_file(tmp_path), cors_origins=f"{ORIGIN},http://localhost:8000") as door:
        preflight = await door.client.options(CALL, headers={"origin": ORIGIN} | asked)
        foreign = await door.client.options(CALL, headers={"origin": "https://evil.example.org"} | asked)
        authorized = _authorized(f"{door.base}/cds-services")
        good = await _get(door, headers=authorized | {"origin": ORIGIN})
        posted = await door.call(request(PANEL), origin=ORIGIN, **_authorized(door.base + CALL))
        refused = [
            await _get(door, headers={"origin": ORIGIN}),
            await door.call(request(PANEL), origin=ORIGIN),
            await door.call(b"no json", origin=ORIGIN, **_authorized(door.base + CALL)),
        ]
        others = [
            await _get(door, headers={"origin": one})
            for one in (
                "https://evil.example.org",
                "null",
                ORIGIN + ".evil.example.org",
                ORIGIN.replace("https", "http"),
            )
        ]
        plain = await _get(door)
        names = [span.name for span in door.spans.get_finished_spans()]
    assert names[:2] == ["OPTIONS /{preflight}"] * 2
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN
    assert {"authorization", "content-type"} <= set(
        preflight.headers["access-control-allow-headers"].lower().split(", ")
    )
    assert {"GET", "POST"} == set(preflight.headers["access-control-allow-methods"].split(", "))
    assert [good.status_code, posted.status_code] == [200, 200]
    assert [one.status_code for one in refused] == [401, 401, 400]
    for answer in (good, posted, *refused):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "Origin" in answer.headers["vary"]
    for answer in (foreign, *others, plain):
        assert "access-control-allow-origin" not in answer.headers
    for answer in (preflight, good, *refused, *others):
        assert "access-control-allow-credentials" not in answer.headers


async def test_without_origins_no_page_may_call(open_door: Open) -> None:
    async with open_door() as door:
        response = await _get(door, headers={"origin": ORIGIN})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


async def test_what_every_answer_tells_a_browser(open_door: Open) -> None:
    async with open_door() as door:
        plain = [await _get(door), await _get(door, "/nothing"), await door.call(b"no json")]
    async with open_door(behind_proxy=True, insecure=True) as door:
        behind = await _get(door)
    for answer in (*plain, behind):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in plain[0].headers
    assert behind.headers["strict-transport-security"] == "max-age=31536000"


async def test_tls_is_served_directly_and_a_certificate_is_a_client(open_door: Open, tmp_path: Path) -> None:
    pem = callers.certificates(tmp_path)
    file = clients_file(
        tmp_path, '[clients.engine]\ncertificates = ["dns:engine.example.org"]\npermissions = ["evaluate"]\n'
    )
    given = {"tls_cert": pem["server-cert"], "tls_key": pem["server-key"], "tls_client_ca": pem["ca-cert"]}

    def caller(port: int | None, name: str | None) -> httpx2.AsyncClient:
        context = ssl.create_default_context(cafile=pem["ca-cert"])
        if name is not None:
            context.load_cert_chain(pem[f"{name}-cert"], pem[f"{name}-key"])
        return httpx2.AsyncClient(base_url=f"https://localhost:{port}", verify=context, trust_env=False, timeout=20)

    async with open_door(clients=file, **given) as door:
        async with caller(door.server.http_port, "client") as engine:
            discovered = await engine.get("/cds-services")
            answered = await engine.post(CALL, json=json.loads(json.dumps(request(PANEL))))
            forbidden = await engine.post(CALL + "/feedback", json={})
        async with caller(door.server.http_port, "stranger") as stranger:
            unknown = await stranger.get("/cds-services")
        async with caller(door.server.http_port, None) as nobody:
            with pytest.raises(httpx2.TransportError):
                await nobody.get("/cds-services")
        with pytest.raises(httpx2.TransportError):
            await _get(door)  # plain HTTP to a TLS port
    assert [discovered.status_code, answered.status_code] == [200, 200]
    assert [forbidden.status_code, unknown.status_code] == [403, 401]
    assert discovered.headers["strict-transport-security"]


async def test_a_key_of_another_certificate_stops_the_start(open_door: Open, tmp_path: Path) -> None:
    from fhir_adapter.errors import ConfigError

    pem = callers.certificates(tmp_path)
    with pytest.raises(ConfigError) as caught:
        async with open_door(tls_cert=pem["server-cert"], tls_key=pem["client-key"]):
            pass
    assert [violation.path for violation in caught.value.violations] == ["tls_cert"]
