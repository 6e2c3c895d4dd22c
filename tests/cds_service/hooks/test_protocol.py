"""Connections that cost too much are cut off, and the others don't notice."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable

import pytest

from cds_service.client import AsyncLabCueClient
from cds_service.hooks import protocol
from tests.bundles import PANEL
from tests.cds_service.hooks.conftest import CALL, Door, Open, issues, request

HEAD = f"POST {CALL} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".encode()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEADERS_WITHIN_S", 0.3)
    monkeypatch.setattr(protocol, "LINGER_S", 0.3)


async def answer(door: Door, sent: bytes, then: AsyncIterator[bytes] | None = None) -> bytes:
    """What the door says until it closes the connection. It must close it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.server.http_port)
    writer.write(sent)

    async def go_on() -> None:
        if then is not None:
            with contextlib.suppress(ConnectionError):
                async for more in then:
                    writer.write(more)
                    await writer.drain()

    sending = asyncio.create_task(go_on())
    received = b""
    with contextlib.suppress(ConnectionError):
        while more := await reader.read(65536):
            received += more
    sending.cancel()
    writer.close()
    return received


async def slowly(piece: bytes) -> AsyncIterator[bytes]:
    while True:
        yield piece
        await asyncio.sleep(0.01)


async def test_a_silent_connection_is_closed(open_door: Open) -> None:
    async with open_door() as door:
        assert (await answer(door, b"")).startswith(b"HTTP/1.1 408")


async def test_headers_that_trickle_are_cut_off(open_door: Open) -> None:
    async with open_door() as door:
        assert (await answer(door, HEAD, slowly(b"x-a: b\r\n"))).startswith(b"HTTP/1.1 4")
        assert (await answer(door, HEAD + b"x-a: ", slowly(b"b"))).startswith(b"HTTP/1.1 408")


async def test_headers_that_trickle_on_a_kept_connection_are_cut_off(open_door: Open) -> None:
    async with open_door() as door:
        received = await answer(door, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nho")
    assert b"200 OK" in received
    assert b"408" in received


async def test_ten_thousand_headers_and_endless_ones_are_cut_off(open_door: Open) -> None:
    async with open_door() as door:
        many = await answer(door, HEAD + b"".join(b"x-%d: y\r\n" % index for index in range(10_000)) + b"\r\n")
        long = await answer(door, HEAD + b"x-a: " + b"y" * 200_000)
        address = await answer(door, b"GET /" + b"a" * 200_000)
    assert many.startswith(b"HTTP/1.1 431")
    assert long.startswith(b"HTTP/1.1 431")
    assert address.startswith(b"HTTP/1.1 431")


async def test_a_body_without_an_end_is_cut_off(open_door: Open) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    async with open_door(http_max_body_bytes=100_000) as door:
        received = await answer(door, HEAD + b"transfer-encoding: chunked\r\n\r\n", chunks())
    assert received.startswith(b"HTTP/1.1 413")
    assert b"limit-exceeded" in received


async def test_a_body_that_trickles_is_cut_off(open_door: Open) -> None:
    async with open_door(http_body_timeout_s=0.3) as door:
        received = await answer(door, HEAD + b"content-length: 100000\r\n\r\n", slowly(b" "))
    assert received.startswith(b"HTTP/1.1 408")
    assert b"request-timeout" in received


async def test_a_connection_serves_on_after_an_answer_that_did_not_wait_for_the_body(open_door: Open) -> None:
    """Clients keep connections: one that is closed after a refusal would fail the next call."""
    async with open_door() as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.server.http_port)
        writer.write(b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"body")
        await asyncio.sleep(0)
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        writer.close()
    assert head.startswith(b"HTTP/1.1 404")


async def test_a_client_that_leaves_is_no_fault(open_door: Open) -> None:
    async with open_door() as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.server.http_port)
        writer.write(HEAD + b"content-length: 10\r\n\r\n{")
        await writer.drain()
        writer.close()
        assert (await door.client.get("/healthz")).status_code == 200


async def test_nothing_is_unpacked(open_door: Open) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    async with open_door() as door:
        response = await door.call(bomb, content_encoding="gzip")
        plain = await door.call(bomb)
    assert (response.status_code, issues(response)) == (415, [("unsupported-media-type", "header.Content-Encoding")])
    assert plain.status_code == 400


async def test_no_http(open_door: Open) -> None:
    async with open_door() as door:
        assert (await answer(door, b"\x16\x03\x01\x02\x00\x01 not http\r\n\r\n")).startswith(b"HTTP/1.1 400")


def endless() -> AsyncIterator[bytes]:
    return slowly(b"1000\r\n" + b" " * 0x1000 + b"\r\n")


BOMB = gzip.compress(b" " * 10_000_000)
ATTACKS: dict[str, Callable[[], tuple[bytes, AsyncIterator[bytes] | None]]] = {
    "headers that trickle": lambda: (HEAD, slowly(b"x-a: b\r\n")),
    "ten thousand headers": lambda: (HEAD + b"".join(b"x-%d: y\r\n" % index for index in range(10_000)), None),
    "a body that trickles": lambda: (HEAD + b"content-length: 100000\r\n\r\n", slowly(b" ")),
    "an endless body": lambda: (HEAD + b"transfer-encoding: chunked\r\n\r\n", endless()),
    "a bomb": lambda: (
        HEAD + b"connection: close\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB) + BOMB,
        None,
    ),
    "no HTTP": lambda: (b"\x16\x03\x01\x02\x00\x01 not http\r\n\r\n", None),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_the_other_door_goes_on(open_door: Open, attack: str) -> None:
    async with open_door(doors="both", port=0, http_body_timeout_s=0.3, http_max_body_bytes=100_000) as door:
        stuck = [asyncio.create_task(answer(door, *ATTACKS[attack]())) for _ in range(20)]
        async with AsyncLabCueClient(f"127.0.0.1:{door.server.port}") as client:
            assert (await client.evaluate(PANEL)).cards
        assert (await door.call(request(PANEL))).status_code == 200
        for received in await asyncio.gather(*stuck):
            assert received.startswith(b"HTTP/1.1 4")
