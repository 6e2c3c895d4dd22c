"""Receivers of judgements that stall, fail, redirect; and several processes that send from one database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import Response

from cds_service.subscription.queue import LEASE, list_dead
from tests.cds_service.records.conftest import Clock
from tests.cds_service.subscription.conftest import STALL, Begin, Process, ehr_server, result
from tests.cds_service.subscription.test_worker import HIGH, receive, work


def dead(process: Process) -> list[tuple[str, str]]:
    return [(letter.stage, letter.reason) for letter in list_dead(process.records.database)]


async def test_one_that_stalls_is_left_in_time_and_gets_it_later(begin: Begin, clock: Clock) -> None:
    async with ehr_server(results={"k": HIGH}, faults=[STALL]) as ehr, begin(ehr, outbox_timeout_s=0.2) as process:
        receive(process, "event-notification", {1: "Observation/k"})
        await work(process)
        assert (len(ehr.posts), len(ehr.made)) == (1, 0)
        clock.move(seconds=2)
        await work(process)
        assert (len(ehr.posts), len(ehr.made)) == (2, 1)
        assert dead(process) == []


async def test_one_that_stalls_for_good_becomes_a_dead_letter_and_holds_up_no_event(begin: Begin, clock: Clock) -> None:
    results = {"k": HIGH, "k2": result("k2", 7.1)}
    given = {"outbox_timeout_s": 0.2, "outbox_attempts": 2}
    async with ehr_server(results=results, faults=[STALL, 201, STALL]) as ehr, begin(ehr, **given) as process:
        receive(process, "event-notification", {1: "Observation/k", 2: "Observation/k2"})
        await work(process)
        assert len(ehr.made) == 1
        clock.move(seconds=2)
        await work(process)
        assert dead(process) == [("send", "no answer in time")]


async def test_one_that_fails_and_recovers_gets_it_once(begin: Begin, clock: Clock) -> None:
    async with ehr_server(results={"k": HIGH}, faults=[500, 502, 503]) as ehr, begin(ehr) as process:
        receive(process, "event-notification", {1: "Observation/k"})
        for seconds in (0, 2, 4, 8, 3600):
            clock.move(seconds=seconds)
            await work(process)
        assert (len(ehr.posts), len(ehr.made)) == (4, 1)
        assert len({headers["if-none-exist"] for _, headers in ehr.posts}) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(begin: Begin, status: int) -> None:
    """What goes out holds the patient's results, and a token: neither goes where nobody has said."""
    async with ehr_server() as other, ehr_server(results={"k": HIGH}) as ehr:
        ehr.faults.append(Response(status_code=status, headers={"location": f"{other.base}/Communication"}))
        async with begin(ehr, subscription_token="out") as process:
            receive(process, "event-notification", {1: "Observation/k"})
            await work(process)
            assert dead(process) == [("send", f"answered {status}")]
        assert (other.posts, other.asked) == ([], [])


async def test_two_processes_over_one_database_send_each_event_once(
    begin: Begin, clock: Clock, lasting: dict[str, Any]
) -> None:
    """On SQLite and, where it is installed, on PostgreSQL."""
    results = {f"k{number}": result(f"k{number}", 6.5 + number / 10) for number in range(12)}
    async with ehr_server(results=results) as ehr, begin(ehr, **lasting) as one, begin(ehr, **lasting) as two:
        receive(one, "event-notification", {n + 1: f"Observation/k{n}" for n in range(12)})
        receive(two, "event-notification", {n + 1: f"Observation/k{n}" for n in range(12)})  # the server sends it twice
        await asyncio.gather(work(one), work(two))
        clock.now += LEASE
        await asyncio.gather(work(one), work(two))
        assert (len(ehr.posts), len(ehr.made)) == (12, 12)
        assert dead(one) == []
