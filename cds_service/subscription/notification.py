"""A subscription notification as FHIR servers send it: R4 Backport (Parameters), R4B Backport and R5 (SubscriptionStatus)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from fhir_adapter.errors import InvalidInput, NotJson, Violation
from fhir_adapter.guard import checked

Kind = Literal["handshake", "heartbeat", "event-notification", "query-event"]
KINDS: tuple[Kind, ...] = ("handshake", "heartbeat", "event-notification")
"""What a server sends of itself; query-event is what it answers to $events."""
BUNDLES = ("history", "subscription-notification")
MAX_EVENTS = 1000
MAX_REFERENCE = 512


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its number in its subscription, the reference of what it is about (None with an empty payload), and that
    resource where it was sent along."""

    number: int
    focus: str | None = None
    resource: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Notification:
    """``subscription`` is its reference ("Subscription/7"); ``count`` how many events it has had since its start, where said."""

    kind: Kind
    subscription: str
    events: tuple[Event, ...] = ()
    count: int | None = None


class _Entry(msgspec.Struct):
    fullUrl: str | None = None
    resource: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Bundle(msgspec.Struct):
    resourceType: str
    type: str | None = None
    entry: list[_Entry] = []


_BUNDLE = msgspec.json.Decoder(_Bundle)


def read(sent: bytes, *, max_bytes: int, max_depth: int, kinds: Sequence[Kind] = KINDS) -> Notification:
    """The notification, of one of ``kinds``.

    Raises:
        NotJson, LimitExceeded: it can't be read at all.
        InvalidInput: it is no notification; the violation names the place.
    """
    whole = checked(sent, max_bytes=max_bytes, max_depth=max_depth)
    try:
        bundle = _BUNDLE.decode(whole)
    except msgspec.ValidationError:
        raise _fault("$this", "must be a Bundle") from None
    except (msgspec.DecodeError, RecursionError):
        raise NotJson("The body is not valid JSON.") from None
    if bundle.resourceType != "Bundle" or bundle.type not in BUNDLES:
        raise _fault("Bundle.type", f"must be one of {', '.join(BUNDLES)}")
    if not bundle.entry or bundle.entry[0].resource is msgspec.UNSET:
        raise _fault("Bundle.entry[0].resource", "the status of the subscription must stand first")
    status = _status(msgspec.json.decode(bundle.entry[0].resource))
    return _notification(status, bundle.entry[1:], kinds)


def _status(first: object) -> dict[str, Any]:
    """The SubscriptionStatus; one that came as Parameters (R4) in the form of the others."""
    if not isinstance(first, dict):
        raise _fault("Bundle.entry[0].resource", "must be a SubscriptionStatus")
    if first.get("resourceType") == "SubscriptionStatus":
        return first
    if first.get("resourceType") != "Parameters":
        raise _fault("Bundle.entry[0].resource", "must be a SubscriptionStatus, or Parameters of the R4 Backport")
    found: dict[str, Any] = {}
    named: list[dict[str, Any]] = []
    for name, value in _parameters(first.get("parameter")):
        if name == "notification-event":
            named.append(dict(value))
        else:
            found[name] = value
    return {
        "type": found.get("type"),
        "subscription": found.get("subscription"),
        "eventsSinceSubscriptionStart": found.get("events-since-subscription-start"),
        "notificationEvent": [{"eventNumber": one.get("event-number"), "focus": one.get("focus")} for one in named],
    }


def _parameters(listed: object) -> list[tuple[str, Any]]:
    """(name, value) of a Parameters' list; the value of one with parts is a list of the same."""
    found = []
    for one in listed if isinstance(listed, list) else ():
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            continue
        if "part" in one:
            found.append((one["name"], _parameters(one["part"])))
        else:
            values = [value for key, value in one.items() if key.startswith("value")]
            if values:
                found.append((one["name"], values[0]))
    return [(name, value) for name, value in found if name != "notification-event" or isinstance(value, list)]


def _notification(status: dict[str, Any], entries: list[_Entry], kinds: Sequence[Kind]) -> Notification:
    at = "Bundle.entry[0].resource"
    kind = next((one for one in kinds if one == status.get("type")), None)
    if kind is None:
        raise _fault(f"{at}.type", f"must be one of {', '.join(kinds)}")
    subscription = _reference(status.get("subscription"))
    if subscription is None:
        raise _fault(f"{at}.subscription", "the reference of the subscription is required")
    count = None
    if status.get("eventsSinceSubscriptionStart") is not None:
        count = _number(status["eventsSinceSubscriptionStart"], f"{at}.eventsSinceSubscriptionStart")
    listed = status.get("notificationEvent", [])
    listed = [] if listed is None else listed
    if not isinstance(listed, list) or len(listed) > MAX_EVENTS:
        raise _fault(f"{at}.notificationEvent", f"must be a list of at most {MAX_EVENTS}")
    sent = _resources(entries)
    events = []
    for index, one in enumerate(listed if kind in ("event-notification", "query-event") else ()):
        place = f"{at}.notificationEvent[{index}]"
        if not isinstance(one, dict):
            raise _fault(place, "must be an object")
        focus = _reference(one.get("focus"))
        number = _number(one.get("eventNumber"), f"{place}.eventNumber")
        events.append(Event(number, focus, _resource(focus, sent)))
    if kind == "event-notification" and not events:
        raise _fault(f"{at}.notificationEvent", "an event notification must name its events")
    return Notification(kind, subscription, tuple(events), count)


def _resources(entries: list[_Entry]) -> dict[str, bytes]:
    """What was sent along, by fullUrl and by type and id."""
    found: dict[str, bytes] = {}
    for entry in entries:
        if entry.resource is msgspec.UNSET:
            continue
        raw = bytes(entry.resource)
        head = msgspec.json.decode(raw)
        if isinstance(head, dict) and isinstance(head.get("resourceType"), str):
            if entry.fullUrl:
                found[entry.fullUrl] = raw
            if isinstance(head.get("id"), str):
                found[f"{head['resourceType']}/{head['id']}"] = raw
    return found


def _resource(focus: str | None, sent: dict[str, bytes]) -> bytes | None:
    if focus is None:
        return None
    return sent.get(focus) or sent.get("/".join(focus.rsplit("/", 2)[-2:]))


def _reference(one: object) -> str | None:
    text = one.get("reference") if isinstance(one, dict) else None
    return text if isinstance(text, str) and 0 < len(text) <= MAX_REFERENCE and text.isprintable() else None


def _number(value: object, at: str) -> int:
    """An integer64, which FHIR's JSON writes as a string."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    raise _fault(at, "must be a number, 0 or more")


def _fault(path: str, said: str) -> InvalidInput:
    return InvalidInput(violations=(Violation(path, said),))
