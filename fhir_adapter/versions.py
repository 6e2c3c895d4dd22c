"""The same Observation sent more than once: exact repeats fold into one, an older version gives way to the newer."""

from __future__ import annotations

import msgspec

from fhir_adapter import wire
from fhir_adapter.dates import moment
from fhir_adapter.walk import Item

_STAGE = {
    "registered": 0,
    "specimen-in-process": 0,
    "preliminary": 1,
    "final": 2,
    "amended": 3,
    "corrected": 3,
    "appended": 3,
    "cancelled": 4,
    "entered-in-error": 4,
    "cannot-be-obtained": 4,
}
"""How far a result has come; it never goes back (http://hl7.org/fhir/observation-status)."""


def settle(items: list[Item], *, history: bool) -> list[Item]:
    """The items without exact repeats; those that a newer version replaces are marked ``superseded``.

    Which is newer: by meta.versionId where all are numbers, else by meta.lastUpdated, else by status (corrected
    comes after final, final after preliminary), else, in a history bundle, by order (newest first). Where nothing
    tells, all of them stand.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        if item.identity is not None:
            groups.setdefault(item.identity, []).append(item)
    if len(groups) == len(items):
        return items
    folded: set[int] = set()
    for group in groups.values():
        if len(group) > 1:
            _settle_group(group, folded, history=history)
    return [item for item in items if id(item) not in folded] if folded else items


def _settle_group(group: list[Item], folded: set[int], *, history: bool) -> None:
    distinct: list[Item] = []
    seen: dict[bytes, Item] = {}
    for item in group:
        content = _content(item)
        if content in seen:
            folded.add(id(item))
        else:
            seen[content] = item
            distinct.append(item)
    if len(distinct) < 2:
        return
    readable = [item for item in distinct if item.observation is not None]
    if len(readable) < 2:
        return
    for measure in (_version, _updated, _stage):
        ranks = [measure(item) for item in readable]
        known = [rank for rank in ranks if rank is not None]
        if len(known) == len(ranks) and known.count(max(known)) == 1:
            newest = known.index(max(known))
            break
    else:
        if not history:
            return
        newest = 0
    for index, item in enumerate(readable):
        item.superseded = index != newest


def _content(item: Item) -> bytes:
    """The same for the same content, however it is laid out."""
    try:
        return msgspec.json.encode(msgspec.json.decode(item.raw), order="sorted")
    except (*wire.FAULTS, TypeError, ValueError):
        return bytes(item.raw)


def _version(item: Item) -> float | None:
    meta = item.observation.meta if item.observation else None
    text = meta.versionId if meta else None
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _updated(item: Item) -> float | None:
    meta = item.observation.meta if item.observation else None
    at = moment(meta.lastUpdated) if meta else None
    return at.timestamp() if at is not None else None


def _stage(item: Item) -> float | None:
    return _STAGE.get(item.observation.status or "") if item.observation else None
