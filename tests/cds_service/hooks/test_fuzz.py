"""Requests that were right and then spoiled somewhere: each is answered as the schemas say, and no refusal repeats a value.

The client of these tests (``Door.call``) holds every answer to its JSON Schema.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.cds_service.hooks.conftest import Open, request

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "bundles"
NAMES = (
    "14-haemolysed-potassium",
    "12-french",
    "15-interval-as-text",
    "24-coded-answers",
    "09-newborn",
    "29-treated-inr",
)
MARK = "ZQXJ"
ODD = st.one_of(
    st.sampled_from(
        [None, True, "", MARK, f"<script>{MARK}</script>", f"{MARK}\u202e\x00\ud83d", [], {}, [None], {MARK: MARK}]
    ),
    st.sampled_from([0, -1, 10**30, 1e308, 735191377.25, -0.0]),
    st.text(max_size=5).map(lambda text: MARK + text),
    st.recursive(st.just([MARK]), lambda inner: st.lists(inner, min_size=1, max_size=2), max_leaves=20),
)


def _places(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of everything in a JSON value."""
    found = [at] if at else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += _places(one, (*at, key))
    return found


def _spoil(whole: Any, at: tuple[str | int, ...], value: Any) -> None:
    """Puts a value there, if the place is still there; the string "drop" takes it away."""
    *way, last = at
    try:
        for key in way:
            whole = whole[key]
        if value == "drop":
            del whole[last]
        else:
            whole[last] = value
    except (KeyError, IndexError, TypeError):
        return


def _call(name: str, hook: str) -> dict[str, Any]:
    text = (EXAMPLES / f"{name}.json").read_text()
    patient = re.search(r"Patient/([A-Za-z0-9.-]+)", text)
    sent, named = json.loads(text), patient[1] if patient else "p"
    if hook == "patient-view":
        return request(hook=hook, patient=named, prefetch={"results": sent})
    return request(sent, patient=named)


CALLS = [_call(name, hook) for name in NAMES for hook in ("org.labcue.result-arrived", "patient-view")]


async def test_what_was_spoiled_is_answered_as_the_schemas_say(
    open_door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    seen: dict[int, int] = {}
    async with open_door() as door:
        loop = asyncio.get_running_loop()

        @settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(st.data())
        def holds(data: st.DataObject) -> None:
            sent = copy.deepcopy(data.draw(st.sampled_from(CALLS)))
            places = _places(sent)
            for _ in range(data.draw(st.integers(1, 3))):
                _spoil(sent, data.draw(st.sampled_from(places)), data.draw(st.one_of(st.just("drop"), ODD)))
            response = asyncio.run_coroutine_threadsafe(door.call(sent), loop).result(30)
            seen[response.status_code] = seen.get(response.status_code, 0) + 1
            assert response.status_code in (200, 400, 412)
            if response.status_code != 200:
                assert MARK not in response.text
                assert "735191377" not in response.text

        await asyncio.to_thread(holds)
        spans = "".join(span.to_json() for span in door.spans.get_finished_spans())
    assert {200, 400} <= set(seen)
    for text in (spans, caplog.text):
        assert MARK not in text
