"""The page's files, read once, with the headers that keep a browser strict about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing from elsewhere, nothing inline, no HTML made from text: a bundle is data whatever it holds."""

STRICT = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE = "index.html"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. ``etag`` is the hash of its content, so that a browser takes it again only where it has changed."""

    content: bytes
    media_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the browser has it."""
        headers = {**STRICT, "cache-control": "no-cache", "etag": self.etag}
        known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def load() -> dict[str, Asset]:
    """All files of ``static/`` by name: what isn't in it has no address, however it is written."""
    folder = resources.files("cds_service.workbench") / "static"
    return {file.name: _asset(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()}


def _asset(name: str, content: bytes) -> Asset:
    suffix = name[name.rindex(".") :]
    return Asset(content, TYPES[suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
