"""FHIR from several places as one Bundle for the pipeline, and each path in it as a path in what was sent.

All of it is one EHR's, of one patient. Entries stay the bytes they are; a fullUrl that only repeats type and id is left out,
so that a result which came twice, once with it and once without, is one result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from cds_service.hooks.fhir_client import page_of
from fhir_adapter.guard import Checked

_ENTRY = re.compile(r"Bundle\.entry\[(\d+)\](.*)", re.DOTALL)
_AROUND = 3
"""What the joined Bundle puts around a resource at most: itself, its entries, the entry."""
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class _Head(msgspec.Struct):
    resourceType: str
    id: str | None = None


class _Entry(msgspec.Struct):
    fullUrl: str
    resource: _Head
    modifierExtension: list[msgspec.Raw] | None = None


class _Content(msgspec.Struct):
    resource: msgspec.Raw


_ENTRIES = msgspec.json.Decoder(_Entry)
_CONTENTS = msgspec.json.Decoder(_Content)


@dataclass(frozen=True, slots=True)
class Source:
    """One resource that came, and how it is named to the caller ("prefetch.results"). ``news`` tells what the cards are
    about from what is only its background."""

    name: str
    raw: bytes
    news: bool = True


@dataclass(frozen=True, slots=True)
class Joined:
    """One Bundle. ``origins`` names each of its entries; a lone source is passed on as it is and named by ``alone``."""

    bundle: bytes
    origins: tuple[str, ...] = ()
    alone: str | None = None
    background: frozenset[int] = frozenset()

    def where(self, path: str) -> str:
        """A FHIRPath of the joined Bundle as a path in the request."""
        if self.alone is not None:
            head, _, rest = path.partition(".")
            if head not in ("Bundle", "$this"):
                return path
            return f"{self.alone}.{rest}" if rest else self.alone
        found = _ENTRY.fullmatch(path)
        if found is None:
            return path
        origin, rest = self.origins[int(found[1])], found[2]
        return origin + (rest if origin.endswith("]") else rest.removeprefix(".resource"))

    def is_news(self, path: str) -> bool:
        """Whether a result is one that the cards are about."""
        if not self.background:
            return True
        found = _ENTRY.fullmatch(path)
        return found is None or int(found[1]) not in self.background


def join(sources: Sequence[Source]) -> Joined:
    """The sources as one Bundle, in their order."""
    if len(sources) == 1:
        return Joined(sources[0].raw, alone=sources[0].name)
    entries: list[bytes] = []
    origins: list[str] = []
    background: list[int] = []
    depths: list[int | None] = []
    for source in sources:
        before = len(entries)
        depths.append(source.raw.depth + _AROUND if isinstance(source.raw, Checked) else None)
        for entry, origin in _entries(source):
            entries.append(entry)
            origins.append(origin)
        if not source.news:
            background += range(before, len(entries))
    bundle = b'{"resourceType":"Bundle","type":"collection","entry":[' + b",".join(entries) + b"]}"
    known = [depth for depth in depths if depth is not None]
    if len(known) == len(depths):
        bundle = Checked.at(bundle, max(known))
    return Joined(bundle, tuple(origins), background=frozenset(background))


def _entries(source: Source) -> list[tuple[bytes, str]]:
    page = page_of(source.raw)
    if page is None or page.type == "history" or page.entry is None:
        # A resource, a Bundle whose order means something, or one whose form doesn't hold: the reader says what it is.
        return [(b'{"resource":' + source.raw + b"}", source.name)]
    return [(_plain(bytes(entry)), f"{source.name}.entry[{index}]") for index, entry in enumerate(page.entry)]


def _plain(entry: bytes) -> bytes:
    try:
        head = _ENTRIES.decode(entry)
        repeats = head.fullUrl.startswith("http") and head.fullUrl.endswith(
            f"/{head.resource.resourceType}/{head.resource.id}"
        )
        if repeats and not head.modifierExtension:
            return b'{"resource":' + bytes(_CONTENTS.decode(entry).resource) + b"}"
    except _FAULTS:
        pass
    return entry
