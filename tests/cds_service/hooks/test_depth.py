"""How deep FHIR may nest in a call: as deep as in a bundle of its own, wherever it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bundles import observation
from tests.cds_service.hooks.conftest import Open, request

MOST = 12
POTASSIUM = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1)


def nested(depth: int) -> dict[str, Any]:
    """A Bundle that nests ``depth`` deep: itself, its entries, the entry and the Observation are four of it."""
    inner: list[Any] = []
    for _ in range(depth - 5):
        inner = [inner]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": POTASSIUM | {"unknown": inner}}]}


@pytest.mark.parametrize("beside", [{}, {"patient": {"resourceType": "Patient", "id": "p"}}], ids=["alone", "joined"])
async def test_results_may_nest_to_the_limit_and_no_deeper(open_door: Open, beside: dict[str, Any]) -> None:
    async with open_door(max_depth=MOST) as door:
        at, past = [await door.call(request(nested(depth), prefetch=beside)) for depth in (MOST, MOST + 1)]
        assert (at.status_code, past.status_code) == (200, 413), (at.text, past.text)
        whole = await door.call(json.dumps(request(nested(MOST + 9), prefetch=beside)).encode())
        assert whole.status_code == 413


async def test_what_no_one_reads_counts_too(open_door: Open) -> None:
    async with open_door(max_depth=MOST) as door:
        deep: list[Any] = []
        for _ in range(MOST + 5):
            deep = [deep]
        answer = await door.call(request(nested(MOST), extension={"unknown": deep}))
        assert answer.status_code == 413
