"""A FHIR input -> the Observations in it, wherever they stand, each with its FHIRPath; and what else can be referred to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import msgspec
from msgspec import Raw, Struct

from fhir_adapter import repeated, wire
from fhir_adapter.errors import InvalidResource, LimitExceeded, NotJson, UnsupportedResource, Violation
from fhir_adapter.guard import too_deep

_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_BYTE = re.compile(r"\(byte (\d+)\)$")
_CHOICE = re.compile(r"\.(value|effective)[A-Z][A-Za-z]*")
_HISTORY = re.compile(r"/_history/[^/]*$")


class Item(Struct, eq=False):
    """One Observation that came in. ``observation`` is None where it can't be read: ``fault`` is then the element."""

    path: str
    raw: Raw
    observation: wire.Observation | None
    told: repeated.Told | None
    """With ``observation``: what it says beside its value."""
    fault: str
    full_url: str | None
    """Of its entry, without a version; of the one that holds it, where it is contained."""
    reference: str
    identity: str | None
    siblings: list[Raw] | None
    """What "#id" can point to: the resources contained beside it or in it."""
    container: str
    modified: bool
    """A modifier around it (entry.modifierExtension, Bundle.implicitRules) that this service doesn't know."""
    superseded: bool = False


@dataclass(slots=True)
class Other:
    """A resource that is no Observation."""

    type: str
    id: str | None
    full_url: str | None
    path: str
    raw: Raw


@dataclass(slots=True)
class Found:
    """All that was found; ``unreadable`` are paths of what may have been Observations."""

    limit: int
    items: list[Item] = field(default_factory=list)
    others: list[Other] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    history: bool = False
    """Whether a history bundle was among it: entries are then newest first."""
    components: int = 0

    def check(self, path: str) -> None:
        """Raises LimitExceeded once there is too much."""
        if len(self.items) + len(self.unreadable) + self.components > self.limit:
            raise LimitExceeded(violations=(Violation(path, "More Observations than this service reads."),))


def fault_path(error: Exception) -> str:
    """Where a decoder stumbled, as the tail of a FHIRPath (".component[0].value"). Never says what stood there."""
    if isinstance(error, repeated.Misread):
        return error.element + fault_path(error.fault)
    found = _AT.search(str(error))
    if found is None or "..." in found["path"]:
        return ""
    return _CHOICE.sub(r".\1", found["path"])


def unversioned(url: str) -> str:
    """A reference without the version it names."""
    return _HISTORY.sub("", url) if "/_history/" in url else url


def walk(data: bytes, limit: int) -> tuple[str, Found]:
    """Everything in an input that ``guard.checked`` has passed.

    Returns:
        The type of the outermost resource, and what was found.

    Raises:
        NotJson, UnsupportedResource, InvalidResource, LimitExceeded.
    """
    found = Found(limit)
    try:
        bundle = wire.bundle(data)
    except wire.FAULTS:
        pass  # below it is said what is wrong, or what can be read all the same
    else:
        if bundle.resourceType == "Bundle":
            _entries(bundle, "Bundle", found, modified=False)
            return "Bundle", found
    try:
        head = wire.type_only(data)
    except msgspec.ValidationError:
        raise UnsupportedResource(
            violations=(Violation("$this", "Expected an object with a text resourceType."),)
        ) from None
    except RecursionError:
        raise too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(violations=(Violation("$this", _json_fault(error)),)) from None
    if head.resourceType not in ("Bundle", "Observation", "DiagnosticReport"):
        raise UnsupportedResource(violations=(Violation("$this.resourceType", "This type isn't read on its own."),))
    raw = Raw(data)
    if head.resourceType == "Bundle":
        if not _bundle(raw, "Bundle", found, modified=False):
            raise InvalidResource(violations=(Violation("Bundle.entry", "The element can't be read."),))
    else:
        _resource(raw, head.resourceType, None, found, modified=False)
    return head.resourceType, found


def _json_fault(error: Exception) -> str:
    at = _BYTE.search(str(error))
    return f"Not JSON from byte {at[1]} on." if at else "Not JSON, or cut off."


def _bundle(raw: Raw, path: str, found: Found, *, modified: bool) -> bool:
    """Walks a Bundle; False where its entries can't be told apart."""
    try:
        bundle = wire.bundle(raw)
    except wire.FAULTS:
        return _loose_bundle(raw, path, found, modified=modified)
    _entries(bundle, path, found, modified=modified)
    return True


def _entries(bundle: wire.Bundle, path: str, found: Found, *, modified: bool) -> None:
    modified = modified or wire.filled(bundle.implicitRules)
    found.history = found.history or bundle.type == "history"
    for index, entry in enumerate(bundle.entry or ()):
        _entry(entry, f"{path}.entry[{index}]", found, modified=modified)


def _loose_bundle(raw: Raw, path: str, found: Found, *, modified: bool) -> bool:
    try:
        bundle = wire.loose_bundle(raw)
    except wire.FAULTS:
        return False
    modified = modified or wire.filled(bundle.implicitRules)
    for index, sent in enumerate(bundle.entry or ()):
        where = f"{path}.entry[{index}]"
        try:
            entry = wire.entry(sent)
        except wire.FAULTS:
            try:
                entry = wire.Entry(resource=wire.loose_entry(sent).resource)
            except wire.FAULTS:
                found.unreadable.append(where)
                found.check(where)
                continue
        _entry(entry, where, found, modified=modified)
    return True


def _entry(entry: wire.Entry, path: str, found: Found, *, modified: bool) -> None:
    resource = entry.resource
    if (
        resource is wire.EMPTY
        or not wire.present(resource)
        or (entry.search is not None and entry.search.mode == "outcome")
    ):
        return
    if entry.modifierExtension is not wire.EMPTY:
        modified = modified or wire.filled(entry.modifierExtension)
    _resource(resource, path + ".resource", entry.fullUrl, found, modified=modified)


def _resource(
    raw: Raw,
    path: str,
    full_url: str | None,
    found: Found,
    *,
    modified: bool,
    container: Item | Other | None = None,
    siblings: list[Raw] | None = None,
) -> None:
    """Takes in one resource and what it contains. ``siblings`` are the resources contained beside it."""
    sent: wire.Observation | None = None
    fault = ""
    try:
        sent = wire.observation(raw)  # most are Observations; the others say below what they are
    except wire.FAULTS as error:
        fault = fault_path(error)
    head: wire.Observation | wire.Header
    if sent is not None and sent.resourceType == "Observation":
        head = sent
    else:
        sent = None
        try:
            head = wire.header(raw)
        except wire.FAULTS as error:
            if _type(raw) != "Observation":
                found.unreadable.append(path + fault_path(error))
                found.check(path)
                return
            head = wire.Header("Observation")
    url = unversioned(full_url) if full_url else None
    holder: Item | Other
    if head.resourceType is None:
        found.unreadable.append(path + ".resourceType")
        found.check(path)
        return
    if head.resourceType == "Observation":
        holder = _observation(
            raw, sent, fault, path, url, found, modified=modified, container=container, siblings=siblings
        )
    elif head.resourceType == "Bundle":
        if not _bundle(raw, path, found, modified=modified):
            found.unreadable.append(path + ".entry")
            found.check(path)
        return
    else:
        holder = Other(head.resourceType, head.id, url, path, raw)
        if container is None:
            found.others.append(holder)
    for index, inner in enumerate(head.contained or ()):
        _resource(
            inner,
            f"{path}.contained[{index}]",
            None,
            found,
            modified=modified,
            container=container or holder,
            siblings=siblings or head.contained,
        )


def _type(raw: Raw) -> str | None:
    try:
        return wire.type_only(raw).resourceType
    except wire.FAULTS:
        return None


def _observation(
    raw: Raw,
    observation: wire.Observation | None,
    fault: str,
    path: str,
    url: str | None,
    found: Found,
    *,
    modified: bool,
    container: Item | Other | None,
    siblings: list[Raw] | None,
) -> Item:
    told = None
    if observation is not None:
        try:
            told = repeated.told(observation)
        except repeated.Misread as error:
            observation, fault = None, fault_path(error)
    if observation is not None:
        own, count = observation.id, len(observation.component or ())
    else:
        own, count = _id(raw), _component_count(raw)
    identity: str | None
    if container is not None:
        holder = _holder(container)
        reference = f"{holder}#{own}" if holder and own else path
        identity = reference if holder and own else None
    else:
        reference = f"Observation/{own}" if own else url or path
        # An id is unique on its server only: a fullUrl that names the server says more.
        identity = url if url and url.startswith("http") else reference if own else url
    item = Item(
        path,
        raw,
        observation,
        told,
        fault,
        url if container is None else container.full_url,
        reference,
        identity,
        siblings if siblings is not None else (observation.contained if observation is not None else None),
        path if container is None else container.path,
        modified,
    )
    found.items.append(item)
    found.components += count
    found.check(path)
    return item


def _holder(container: Item | Other) -> str | None:
    if isinstance(container, Item):
        return container.reference if container.identity else None
    return f"{container.type}/{container.id}" if container.id else container.full_url


def _id(raw: Raw) -> str | None:
    try:
        return wire.id_only(raw).id
    except wire.FAULTS:
        return None


def _component_count(raw: Raw) -> int:
    try:
        return len(wire.component_only(raw).component or ())
    except wire.FAULTS:
        return 0


def component_count(item: Item) -> int:
    """How many components an Observation has, even where the rest of it can't be read."""
    if item.observation is not None:
        return len(item.observation.component or ())
    return _component_count(item.raw)
