"""Key sets that are fetched: from a real server on loopback, which counts how often it is asked."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cds_service.trust.key_sets import MAX_BYTES, STALE_FOR_S, KeySets, KeysUnavailable, fetcher, may_fetch
from tests import callers
from tests.callers import KEY, OTHER_KEY, RSA_KEY, Clock, Published, key_set, published


@pytest.fixture
def place() -> Iterator[Published]:
    with published(key_set(KEY)) as place:
        yield place


def _sets(clock: Clock) -> KeySets:
    return KeySets(fetcher(allow_loopback_http=True), ttl_s=3600, retry_s=30, clock=clock)


async def test_a_set_is_asked_for_once_and_kept(place: Published) -> None:
    sets = _sets(Clock())
    found = await asyncio.gather(*(sets.find(place.url, "k1") for _ in range(20)))
    assert all(key is not None and key.as_dict(private=False) == KEY.as_dict(private=False) for key in found)
    assert len(place.asked) == 1


async def test_an_unknown_key_makes_it_ask_again_but_only_now_and_then(place: Published) -> None:
    clock = Clock()
    sets = _sets(clock)
    await sets.find(place.url, "k1")
    for attempt in range(50):  # what anybody can send
        assert await sets.find(place.url, f"made-up-{attempt}") is None
    assert len(place.asked) == 1
    clock.now += 30
    place.body = key_set(KEY, RSA_KEY)  # the client's new key
    found = await asyncio.gather(*(sets.find(place.url, "r1") for _ in range(10)))
    assert None not in found
    assert len(place.asked) == 2


async def test_a_key_that_is_gone_stops_counting_when_the_set_is_read_again(place: Published) -> None:
    clock = Clock()
    sets = _sets(clock)
    assert await sets.find(place.url, "k1") is not None
    place.body = key_set(RSA_KEY)
    assert await sets.find(place.url, "k1") is not None
    clock.now += 3601
    assert await sets.find(place.url, "k1") is None


async def test_refreshed_sets_are_read_again_when_needed_and_held_where_that_fails(place: Published) -> None:
    sets = _sets(Clock())
    await sets.find(place.url, "k1")
    sets.refresh()
    assert len(place.asked) == 1
    place.status = 500
    assert await sets.find(place.url, "k1") is not None
    assert len(place.asked) == 2
    place.status, place.body = 200, key_set(RSA_KEY)
    sets.refresh()
    assert await sets.find(place.url, "k1") is None


async def test_keys_outlive_an_outage_but_not_for_ever(place: Published, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sets = _sets(clock)
    await sets.find(place.url, "k1")
    place.status = 500
    clock.now += 3601
    assert await sets.find(place.url, "k1") is not None
    assert "answered with status 500" in caplog.text
    clock.now += STALE_FOR_S
    with pytest.raises(KeysUnavailable):
        await sets.find(place.url, "k1")
    place.status = 200
    clock.now += 30
    assert await sets.find(place.url, "k1") is not None


@pytest.mark.parametrize(
    ("status", "headers", "body", "said"),
    [
        (404, {}, b"", "answered with status 404"),
        (302, {"location": "http://127.0.0.1:1/elsewhere"}, b"", "answered with status 302"),
        (200, {}, b"<html>", "is not JSON"),
        (200, {}, b" " * (MAX_BYTES + 1), "is larger than"),
        (200, {}, b'{"keys": []}', "holds no public signing key"),
        (200, {"content-length": "9"}, b"{", "can't be fetched"),
    ],
)
async def test_what_is_no_answer_gives_no_keys(
    place: Published, caplog: pytest.LogCaptureFixture, status: int, headers: dict[str, str], body: bytes, said: str
) -> None:
    place.status, place.headers, place.body = status, headers, body
    sets = _sets(Clock())
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await sets.find(place.url, "k1")
    assert len(place.asked) == 1
    assert said in caplog.text


async def test_an_address_that_does_not_answer_is_left_alone(
    place: Published, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    place.before = held.wait
    monkeypatch.setattr("cds_service.trust.key_sets.FETCH_WITHIN_S", 0.05)
    with pytest.raises(KeysUnavailable):
        await _sets(Clock()).find(place.url, "k1")
    held.set()
    assert "did not answer in time" in caplog.text


async def test_https_needs_a_certificate_of_a_known_authority(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pem = callers.certificates(tmp_path)
    known = ssl.create_default_context(cafile=pem["ca-cert"])
    with published(key_set(KEY), certificate=(pem["server-cert"], pem["server-key"])) as place:
        assert b"k1" in await fetcher(context=known)(place.url)
        with pytest.raises(ValueError, match="can't be fetched"):
            await fetcher()(place.url)
        with pytest.raises(ValueError, match="can't be fetched"):
            await fetcher(context=known)(place.url.replace("localhost", "127.0.0.1"))
    assert len(place.asked) == 1


async def test_plain_http_is_refused_unless_from_this_machine_by_setting(place: Published) -> None:
    with pytest.raises(ValueError, match="is no https address"):
        await fetcher()(place.url)
    assert place.asked == []


@pytest.mark.parametrize(
    "url",
    ["http://example.org/", "ftp://localhost/", "file:///etc/passwd", "https://", "https://a@b/", "https://b/#c", "x"],
)
def test_addresses_that_keys_never_come_from(url: str) -> None:
    assert not may_fetch(url, allow_loopback_http=True)


def test_the_log_names_addresses_of_the_allowlist_alone(caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP client would log each request's address at INFO: fine, for it is a setting's. Nothing else is there."""
    caplog.set_level(logging.DEBUG)
    with published(key_set(OTHER_KEY)) as place:
        asyncio.run(_sets(Clock()).find(place.url, "secret-kid"))
    assert "secret-kid" not in caplog.text
