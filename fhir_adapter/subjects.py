"""Whom a result is about: references in all their spellings -> one key for each patient.

Two keys are one patient only where the bundle shows it. A key that can't be shown to be the same counts as another
patient: results of two people are never mixed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import msgspec

from fhir_adapter import wire
from fhir_adapter.errors import MultiplePatients, Violation
from fhir_adapter.walk import Found, Item, Other, unversioned

_REFERENCE = re.compile(r"(?:(?P<base>.+)/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[^/?#|]+)\Z")
_CONDITIONAL = re.compile(r"Patient\?identifier=(?:(?P<system>[^|]*)\|)?(?P<value>[^&]+)\Z")


@dataclass(frozen=True, slots=True)
class Key:
    """One way in which a patient is named. ``kind``: entry, url, identifier, contained, text or display."""

    kind: str
    name: str
    scope: str | None = None

    def same(self, other: Key) -> bool:
        """Whether the two can be taken for one patient."""
        if self == other:
            return True
        if self.kind != other.kind:
            # A name to show is no identity: beside a real one it says nothing.
            return "display" in (self.kind, other.kind)
        return self.kind in ("url", "identifier") and self.name == other.name and None in (self.scope, other.scope)


@dataclass(frozen=True, slots=True)
class Subject:
    """``key`` is None where there is no subject; ``patient`` False where it is something else than a patient."""

    key: Key | None
    patient: bool = True


NOBODY = Subject(None)
ANOTHER = Subject(None, patient=False)


@dataclass(frozen=True, slots=True)
class _Known:
    """A Patient of the bundle."""

    number: int
    id: str | None
    base: str | None
    url: str | None
    resource: Other
    identifiers: tuple[tuple[str | None, str], ...]


class Subjects:
    """Resolves references within one input."""

    def __init__(self, found: Found) -> None:
        self._types = {other.full_url: other.type for other in found.others if other.full_url}
        self.patients: list[_Known] = []
        numbers: dict[tuple[str | None, str | None] | int, int] = {}
        for other in found.others:
            if other.type == "Patient":
                # Sent twice (versions, pages) is one patient; in a history, the first is the newest.
                made = _known(len(self.patients), other)
                same = (made.base, made.id) if made.id else (made.url, None) if made.url else made.number
                self.patients.append(replace(made, number=numbers.setdefault(same, made.number)))
        self._made: dict[tuple[str | None, str | None, str | None, str | None, str | None, str | None], Subject] = {}
        self._links: dict[tuple[str | None, str], Key] = {}

    def of(self, sent: wire.Reference | None, item: Item | None) -> Subject:
        """The subject that a reference names; ``item`` gives the scope of "#id"."""
        if sent is None:
            return NOBODY
        identifier = sent.identifier
        text = sent.reference
        system, value = (identifier.system, identifier.value) if identifier is not None else (None, None)
        key = (text, sent.type, system, value, sent.display, _scope(text, item))
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._resolve(sent, item)
            if made.key is not None and made.key.kind != "identifier" and text and value:
                self._links.setdefault((system, value), made.key)
        return made

    def linked(self, key: Key) -> Key:
        """A key by identifier as the key of the reference that once came with that identifier."""
        if key.kind != "identifier":
            return key
        return self._links.get((key.scope, key.name), key)

    def one(self, named: list[tuple[Key, str]]) -> Key | None:
        """The one patient whom all (key, FHIRPath) name, or None where nobody is named.

        Raises:
            MultiplePatients: with the path of the first that differs.
        """
        seen: list[Key] = []
        for key, path in named:
            key = self.linked(key)
            if key in seen:
                continue
            if not all(key.same(other) for other in seen):
                raise MultiplePatients(
                    violations=(Violation(path, "Another patient than that of the results before."),)
                )
            seen.append(key)
        order = ("entry", "contained", "url", "identifier", "text", "display")
        return min(seen, key=lambda key: order.index(key.kind), default=None)

    def patient(self, key: Key | None) -> _Known | None:
        """The Patient of the bundle that a key stands for; without a key, the only one there is."""
        if key is None or key.kind == "display":
            return self.patients[0] if len({known.number for known in self.patients}) == 1 else None
        if key.kind == "entry":
            return next(known for known in self.patients if known.number == int(key.name))
        if len(self.patients) == 1 and self.patients[0].id is None and self.patients[0].url is None:
            return self.patients[0]
        return None

    def _resolve(self, sent: wire.Reference, item: Item | None) -> Subject:
        text = sent.reference
        if text and text.strip():
            return self._by_reference(unversioned(text.strip()), sent.type, item)
        if sent.type and sent.type.rsplit("/", 1)[-1] != "Patient":
            return ANOTHER
        if sent.identifier is not None and sent.identifier.value:
            return Subject(self._by_identifier(sent.identifier.system, sent.identifier.value))
        if sent.display and sent.display.strip():
            return Subject(Key("display", " ".join(sent.display.casefold().split())))
        return NOBODY

    def _by_reference(self, text: str, said_type: str | None, item: Item | None) -> Subject:
        if text.startswith("#"):
            return self._contained(text[1:], item)
        conditional = _CONDITIONAL.match(text)
        if conditional is not None:
            return Subject(self._by_identifier(conditional["system"], conditional["value"]))
        there = self._types.get(text)
        parts = _REFERENCE.match(text)
        kind = there or (parts["type"] if parts else None) or (said_type.rsplit("/", 1)[-1] if said_type else "Patient")
        if kind != "Patient":
            return ANOTHER
        for known in self.patients:
            if known.url == text:
                return Subject(Key("entry", str(known.number)))
        if parts is None:
            return Subject(Key("text", text))
        # A relative reference is one of the server that the entry's fullUrl names (FHIR, Bundle, "Resolving references").
        base = parts["base"] or _scope(text, item)
        fitting = {
            known.number
            for known in self.patients
            if known.id == parts["id"] and (base is None or known.base is None or known.base == base)
        }
        if len(fitting) == 1:
            return Subject(Key("entry", str(fitting.pop())))
        return Subject(Key("url", parts["id"], base))

    def _by_identifier(self, system: str | None, value: str) -> Key:
        for known in self.patients:
            for its_system, its_value in known.identifiers:
                if its_value == value and (system is None or its_system is None or its_system == system):
                    return Key("entry", str(known.number))
        return Key("identifier", value, system)

    def _contained(self, name: str, item: Item | None) -> Subject:
        for raw in (item.siblings if item is not None else None) or ():
            try:
                head = wire.header(raw)
            except wire.FAULTS:
                continue
            if head.id != name:
                continue
            if head.resourceType != "Patient":
                return ANOTHER
            identifiers = _identifiers(raw)
            for system, value in identifiers:
                key = self._by_identifier(system, value)
                if key.kind == "entry":
                    return Subject(key)
            if identifiers:
                return Subject(Key("identifier", identifiers[0][1], identifiers[0][0]))
            try:
                content = msgspec.json.decode(raw)
                content.pop("id", None)
                return Subject(Key("contained", msgspec.json.encode(content, order="sorted").decode()))
            except wire.FAULTS:
                return Subject(Key("contained", bytes(raw).decode()))
        return Subject(Key("text", "#" + name, item.container if item is not None else None))


def _scope(text: str | None, item: Item | None) -> str | None:
    """What a reference depends on beside its text: for "#id" the resource that it stands in, for a relative one the server."""
    if not text or item is None:
        return None
    if text.startswith("#"):
        return item.container
    url = item.full_url
    if url is None or not url.startswith("http") or ":" in text:
        return None
    return url.rsplit("/", 2)[0]


def contained_patient(sent: wire.Reference | None, item: Item) -> msgspec.Raw | None:
    """The contained Patient that a subject "#id" points to, if it does."""
    if sent is None or not sent.reference or not sent.reference.startswith("#"):
        return None
    for raw in item.siblings or ():
        try:
            head = wire.header(raw)
        except wire.FAULTS:
            continue
        if head.id == sent.reference[1:] and head.resourceType == "Patient":
            return raw
    return None


def _known(number: int, other: Other) -> _Known:
    parts = _REFERENCE.match(other.full_url) if other.full_url else None
    base = parts["base"] if parts else None
    return _Known(
        number, other.id or (parts["id"] if parts else None), base, other.full_url, other, _identifiers(other.raw)
    )


def _identifiers(raw: msgspec.Raw) -> tuple[tuple[str | None, str], ...]:
    try:
        sent = wire.patient(raw).identifier or ()
    except wire.FAULTS:
        return ()
    return tuple((one.system, one.value) for one in sent if one.value)
