"""The body of a request, bounded in size and time."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from fhir_adapter.errors import Cancelled, LimitExceeded, RequestTimeout, UnsupportedMediaType, Violation

JSON = frozenset({"application/json", "application/fhir+json"})
CHARSETS = frozenset({"utf-8", "utf8"})


async def read(request: Request, *, max_bytes: int, within_s: float) -> bytes:
    """The whole body.

    Raises:
        UnsupportedMediaType: no JSON in UTF-8, or compressed: nothing is unpacked here, so nothing can unpack to more.
        LimitExceeded: more than ``max_bytes``; the rest isn't read.
        RequestTimeout: not whole after ``within_s`` seconds.
        Cancelled: the client has gone.
    """
    _check_type(request)
    too_large = LimitExceeded(violations=(Violation("body", f"at most {max_bytes} bytes"),))
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Cancelled
                part = message.get("body", b"")
                size += len(part)
                if size > max_bytes:
                    raise too_large
                parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise RequestTimeout from None


def _check_type(request: Request) -> None:
    media, _, parameters = request.headers.get("content-type", "").partition(";")
    if media.strip().lower() not in JSON:
        raise UnsupportedMediaType(violations=(Violation("header.Content-Type", "must be application/json"),))
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in CHARSETS:
            raise UnsupportedMediaType(violations=(Violation("header.Content-Type", "the charset must be utf-8"),))
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType(violations=(Violation("header.Content-Encoding", "must not be compressed"),))
