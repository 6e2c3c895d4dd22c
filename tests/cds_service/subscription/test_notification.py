"""Notifications as R4, R4B and R5 servers send them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.subscription.notification import Notification, read
from fhir_adapter.errors import InvalidInput, LabCueError
from tests.cds_service.subscription.conftest import notify, result

FORMS = ("R4", "R4B", "R5")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def taken(sent: bytes, **more: Any) -> Notification:
    return read(sent, max_bytes=1_000_000, max_depth=64, **more)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["handshake", "heartbeat"])
def test_those_without_events(form: str, kind: str) -> None:
    assert taken(notify(kind, form=form, count=4)) == Notification(kind, "Subscription/s", (), 4)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_events_with_and_without_what_they_are_about(form: str) -> None:
    sent = taken(notify("event-notification", {3: "Observation/a", 4: None}, result("a", 4.0), form=form, count=4))
    assert [(one.number, one.focus) for one in sent.events] == [(3, "Observation/a"), (4, None)]
    assert json.loads(sent.events[0].resource or b"null") == result("a", 4.0)
    assert sent.events[1].resource is None
    assert sent.count == 4


@pytest.mark.parametrize(
    ("sent", "place"),
    [
        (b'{"resourceType":"Bundle","type":"collection"}', "Bundle.type"),
        (b'{"resourceType":"Bundle","type":"history"}', "Bundle.entry[0].resource"),
        (notify("query-event", {1: None}), "Bundle.entry[0].resource.type"),
        (notify("event-notification"), "Bundle.entry[0].resource.notificationEvent"),
        (notify("heartbeat", of=""), "Bundle.entry[0].resource.subscription"),
        (notify("event-notification", {-1: None}), "Bundle.entry[0].resource.notificationEvent[0].eventNumber"),
    ],
)
def test_each_fault_is_named_by_its_place(sent: bytes, place: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        taken(sent)
    assert [fault.path for fault in refused.value.violations] == [place]


@given(JSON, st.sampled_from(["SubscriptionStatus", "Parameters"]))
def test_whatever_comes_is_read_or_refused(value: Any, kind: str) -> None:
    status = value if isinstance(value, dict) else {"parameter": value, "notificationEvent": value, "type": "heartbeat"}
    bundle = {"resourceType": "Bundle", "type": "history", "entry": [{"resource": status | {"resourceType": kind}}]}
    with contextlib.suppress(LabCueError):
        taken(json.dumps(bundle).encode())
