"""The gate: who is let in, and why not."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from cds_service.trust.audience import Audience
from cds_service.trust.clients import Client, Permission, read_clients, secret_digest
from cds_service.trust.gate import Credentials, Gate
from cds_service.trust.key_sets import KeySets, fetcher
from cds_service.trust.keys import PublicKey
from cds_service.trust.reasons import Refused
from cds_service.trust.replay import MemoryReplays, Replays, digest
from cds_service.trust.token import Token
from fhir_adapter.errors import PermissionDenied, RateLimited, Unauthenticated
from tests.callers import ISSUER, KEY, NOW, OTHER_KEY, Clock, Published, claims, clients_file, key_set, published, token

URL = "https://cds.example.org/cds-services"
HERE = Audience(("/cds-services",), ("https://cds.example.org",))


def _gate(file: Path, clock: Clock | None = None, replays: Replays | None = None) -> Gate:
    clock = clock or Clock()
    return Gate(
        read_clients(file, allow_loopback_http=True),
        KeySets(fetcher(allow_loopback_http=True), ttl_s=3600, retry_s=30, clock=clock),
        replays or MemoryReplays(clock),
        leeway_s=5,
        life_s=300,
        now=clock,
        clock=clock,
        sleep=clock.sleep,
    )


async def _admit(gate: Gate, compact: str, permission: Permission | None = "evaluate") -> Client:
    return await gate.admit(Credentials((f"Bearer {compact}",)), HERE, permission)


async def _reason(gate: Gate, shown: Credentials) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await gate.admit(shown, HERE, None)
    assert str(caught.value) == "Authentication is required."
    assert isinstance(caught.value.__cause__, Refused)
    return caught.value.__cause__.reason


async def test_a_token_lets_its_client_in_once(tmp_path: Path) -> None:
    gate = _gate(clients_file(tmp_path))
    sent = token(claims(URL))
    assert (await _admit(gate, sent)).name == "ehr"
    assert await _reason(gate, Credentials((f"bearer {sent}",))) == "replayed"
    assert (await _admit(gate, token(claims(URL)))).name == "ehr"


async def test_of_many_at_once_one_is_the_first(tmp_path: Path) -> None:
    gate, sent = _gate(clients_file(tmp_path)), token(claims(URL))
    found = await asyncio.gather(*(_admit(gate, sent) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(one, Client) for one in found) == 1


async def test_a_token_for_elsewhere_or_forged_does_not_use_up_its_id(tmp_path: Path) -> None:
    gate, said = _gate(clients_file(tmp_path)), claims(URL, jti="the-one")
    elsewhere = said | {"aud": "https://elsewhere.example.org/"}
    assert await _reason(gate, Credentials((f"Bearer {token(elsewhere)}",))) == "audience"
    assert await _reason(gate, Credentials((f"Bearer {token(said, OTHER_KEY)}",))) == "signature"
    await _admit(gate, token(said))


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (Credentials(), "no-credentials"),
        (Credentials(("",)), "not-bearer"),
        (Credentials(("Bearer a.b.c", "Bearer a.b.c")), "not-bearer"),
        (Credentials(("Bearer",)), "not-bearer"),
        (Credentials(("Bearer ",)), "not-bearer"),
        (Credentials(("Basic YTpi",)), "not-bearer"),
        (Credentials(("Bearer x",)), "malformed"),
        (Credentials(("Bearer é.ü.ß",)), "malformed"),
        (Credentials((), ("dns:unknown",)), "unknown-certificate"),
    ],
)
async def test_what_lets_nobody_in(tmp_path: Path, shown: Credentials, reason: str) -> None:
    assert await _reason(_gate(clients_file(tmp_path)), shown) == reason


@pytest.mark.parametrize(
    ("changed", "header", "reason"),
    [
        ({"iss": "https://other.example.org"}, {}, "unknown-issuer"),
        ({}, {"jku": "https://other.example.org/jwks.json"}, "unknown-jku"),
        ({}, {"kid": "k2"}, "unknown-key"),
    ],
)
async def test_what_names_somebody_unknown(
    tmp_path: Path, changed: dict[str, Any], header: dict[str, Any], reason: str
) -> None:
    sent = token(claims(URL) | changed, **header)
    assert await _reason(_gate(clients_file(tmp_path)), Credentials((f"Bearer {sent}",))) == reason


async def test_a_bad_token_is_not_made_good_by_a_certificate(tmp_path: Path) -> None:
    file = clients_file(tmp_path, '[clients.engine]\ncertificates = ["dns:engine"]\npermissions = ["evaluate"]\n')
    gate = _gate(file)
    assert (await gate.admit(Credentials((), ("dns:engine",)), HERE, "evaluate")).name == "engine"
    assert await _reason(gate, Credentials(("Bearer x.y.z",), ("dns:engine",))) == "malformed"


async def test_a_secret_opens_notify_and_nothing_else(tmp_path: Path) -> None:
    """A FHIR server sends the same header with each notification: that must not be good for more."""
    secret = "labcue-secret-" + "x" * 43
    file = clients_file(
        tmp_path,
        f'[clients.fhir]\nsecrets_sha256 = ["{"0" * 64}", "{secret_digest(secret)}"]\n'
        'permissions = ["notify", "evaluate", "admin"]\n',
    )
    gate, shown = _gate(file), Credentials((f"Bearer {secret}",))
    for _ in range(2):
        assert (await gate.admit(shown, HERE, "notify")).name == "fhir"
    for permission in ("evaluate", "admin", None):
        with pytest.raises(PermissionDenied):
            await gate.admit(shown, HERE, permission)
    assert await _reason(gate, Credentials((f"Bearer {secret[:-1]}",))) == "unknown-secret"
    assert await _reason(gate, Credentials(("Bearer labcue-secret-",))) == "unknown-secret"


async def test_a_key_file_takes_the_place_of_the_address(tmp_path: Path) -> None:
    """The public sandbox names an address in ``jku``: keys given by file serve, and nothing is fetched."""
    with published(key_set(OTHER_KEY)) as place:
        file = clients_file(
            tmp_path,
            f'[clients.sandbox]\nissuer = "{ISSUER}"\njku = ["{place.url}"]\nkey_file = "ehr.json"\npermissions = ["evaluate"]',
        )
        await _admit(_gate(file), token(claims(URL), jku=place.url))
        await _admit(_gate(file), token(claims(URL)))
    assert place.asked == []


def _fetching(folder: Path, place: Published) -> Path:
    return clients_file(
        folder, f'[clients.ehr]\nissuer = "{ISSUER}"\njku = ["{place.url}"]\npermissions = ["evaluate"]\n'
    )


async def test_keys_are_fetched_from_the_address_that_the_file_lists_and_no_other(tmp_path: Path) -> None:
    with published(key_set(KEY)) as place, published(key_set(OTHER_KEY)) as foreign:
        gate = _gate(_fetching(tmp_path, place))
        await _admit(gate, token(claims(URL), jku=place.url))
        await _admit(gate, token(claims(URL)))
        shown = Credentials((f"Bearer {token(claims(URL), OTHER_KEY, jku=foreign.url)}",))
        assert await _reason(gate, shown) == "unknown-jku"
    assert (len(place.asked), foreign.asked) == (1, [])


async def test_a_stranger_makes_nothing_be_fetched(tmp_path: Path) -> None:
    with published(key_set(KEY)) as place:
        gate = _gate(_fetching(tmp_path, place))
        for sent in (
            token(claims(URL, iss="https://other.example.org"), jku=place.url),
            token(claims(URL), jku=place.url + "?x"),
            token(claims(URL), jku=place.url, typ=None),
        ):
            await _reason(gate, Credentials((f"Bearer {sent}",)))
    assert place.asked == []


async def test_no_keys_no_entry(tmp_path: Path) -> None:
    with published(b"") as place:
        place.status = 503
        assert await _reason(_gate(_fetching(tmp_path, place)), Credentials((f"Bearer {token(claims(URL))}",))) == (
            "keys-unavailable"
        )


async def test_permissions(tmp_path: Path) -> None:
    gate = _gate(clients_file(tmp_path))
    await _admit(gate, token(claims(URL)), "feedback")
    await _admit(gate, token(claims(URL)), None)
    for permission in ("audit", "admin"):
        with pytest.raises(PermissionDenied):
            await _admit(gate, token(claims(URL)), permission)


LIMITED = f"""
[clients.slow]
issuer = "{ISSUER}"
key_file = "ehr.json"
permissions = ["evaluate"]
rate_per_minute = 6
burst = 2
[clients.other]
issuer = "urn:other"
key_file = "ehr.json"
permissions = ["evaluate"]
"""


async def test_each_client_has_a_rate_of_its_own(tmp_path: Path) -> None:
    clock = Clock()
    gate = _gate(clients_file(tmp_path, LIMITED), clock)
    for _ in range(2):
        await _admit(gate, token(claims(URL)))
    with pytest.raises(RateLimited) as caught:
        await _admit(gate, token(claims(URL)))
    assert caught.value.retry_after_s == 10
    for _ in range(5):
        await _admit(gate, token(claims(URL, iss="urn:other")))
    clock.now += 10
    await _admit(gate, token(claims(URL)))


async def test_items_of_a_stream_wait_for_their_turn(tmp_path: Path) -> None:
    clock = Clock()
    gate = _gate(clients_file(tmp_path, LIMITED), clock)
    client = await _admit(gate, token(claims(URL)))
    for _ in range(3):
        await gate.wait_turn(client)
    assert sum(clock.slept) == pytest.approx(20)


async def test_the_log_says_why_and_nothing_of_the_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gate = _gate(clients_file(tmp_path))
    sent = token(claims("https://secret.example.org", jti="secret-id", tenant="secret"), jku=f"{ISSUER}/jwks.json")
    await _reason(gate, Credentials((f"Bearer {sent}",)))
    assert "refused: audience (client ehr)" in caplog.text
    assert "secret" not in caplog.text
    assert not any(part in caplog.text for part in sent.split("."))


def test_seen_tokens_are_forgotten_once_they_have_expired() -> None:
    clock = Clock()
    replays = MemoryReplays(clock)
    for number in range(255):
        assert replays.first(digest("a", str(number)), NOW + 10)
    assert not replays.first(digest("a", "0"), NOW + 10)
    clock.now += 11
    assert replays.first(digest("a", "new"), NOW + 300)
    assert len(replays) == 1


def test_two_issuers_may_use_the_same_id() -> None:
    assert len({digest("a", "bc"), digest("ab", "c"), digest("a", "\ud800"), digest("b", "bc")}) == 4


async def test_other_clients_take_over_and_rates_that_stay_keep_what_is_left(tmp_path: Path) -> None:
    def file(rate: int, name: str = "ehr") -> Path:
        return clients_file(
            tmp_path,
            f'[clients.{name}]\nissuer = "{ISSUER}"\nkey_file = "ehr.json"\npermissions = ["evaluate"]\n'
            f"rate_per_minute = {rate}\nburst = 1\n",
        )

    gate = _gate(file(6))
    client = await _admit(gate, token(claims(URL)))
    gate.replace(read_clients(file(6)))
    with pytest.raises(RateLimited):
        await _admit(gate, token(claims(URL)))
    gate.replace(read_clients(file(60)))
    await _admit(gate, token(claims(URL)))
    gate.replace(read_clients(file(60, "other")))
    assert (await _admit(gate, token(claims(URL)))).name == "other"
    with pytest.raises(Unauthenticated):  # its stream ends with its table
        await gate.wait_turn(client)


async def test_a_signature_is_checked_beside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    check = Token.check_signature

    def watched(self: Token, key: PublicKey) -> None:
        threads.append(threading.get_ident())
        check(self, key)

    monkeypatch.setattr(Token, "check_signature", watched)
    await _admit(_gate(clients_file(tmp_path)), token(claims(URL)))
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()
