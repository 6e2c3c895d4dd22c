"""Under a crowd every request ends in exactly one answer or one right status, none mixed with another's, and nothing is left."""

from __future__ import annotations

import pytest

from tests.cds_service.inference.stress import Seen, stress

SEED = 20261124


def check(seen: Seen, count: int) -> None:
    print(f"seed {SEED}: {dict(seen.endings)}; versions {len(seen.versions)}; resident {seen.resident}")
    assert seen.wrong == []
    assert seen.endings.total() == count
    assert set(seen.endings) <= {"ok", "degraded", "cancelled", "overloaded", "deadline-exceeded"}
    for ending in ("ok", "degraded", "cancelled", "overloaded"):
        assert seen.endings[ending], ending
    assert len(seen.versions) > 1
    assert seen.entries == 0


async def test_a_few_hundred_requests() -> None:
    check(await stress(300, SEED), 300)


@pytest.mark.slow
async def test_ten_thousand_requests_and_memory_stays_flat() -> None:
    seen = await stress(10_000, SEED)
    check(seen, 10_000)
    early, late = max(seen.resident[2:6]), min(seen.resident[-4:])
    assert late < early * 1.1 + 8 * 2**20
