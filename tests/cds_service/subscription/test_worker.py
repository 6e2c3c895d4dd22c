"""From a notification to what goes out, over real servers that fail, and processes that die between steps."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cds_service.config import load
from cds_service.subscription import worker
from cds_service.subscription.notification import read
from cds_service.subscription.queue import LEASE, list_dead
from fhir_adapter.errors import ConfigError
from tests.cds_service.hooks.conftest import Open, issues, known_analytes, open_door  # noqa: F401 (fixtures)
from tests.cds_service.records.conftest import Clock
from tests.cds_service.subscription.conftest import Begin, Ehr, Process, ehr_server, notify, result, settings_for

HIGH, GOOD = result("k", 6.9), result("ok", 4.2)


def receive(process: Process, *given: Any, **more: Any) -> None:
    process.queue.receive(read(notify(*given, **more), max_bytes=1_000_000, max_depth=64))


async def work(process: Process) -> None:
    while await process.worker.step():
        pass


def one(ehr: Ehr) -> dict[str, Any]:
    (made,) = ehr.made.values()
    return made


@pytest.mark.parametrize(("output", "kind"), [("communication", "Communication"), ("task", "Task"), ("flag", "Flag")])
async def test_a_resource_goes_out_for_an_id(begin: Begin, output: str, kind: str) -> None:
    async with ehr_server(results={"k": HIGH}) as ehr, begin(ehr, subscription_output=output) as process:
        receive(process, "event-notification", {1: "Observation/k"})
        await work(process)
        assert [path for path, _ in ehr.posts] == [kind]
        made = one(ehr)
        assert made["resourceType"] == kind
        assert made["identifier"][0]["value"] in next(iter(ehr.made))
        assert (made.get("subject") or made["for"]) == {"reference": "Patient/p"}
        assert "otassium" in json.dumps(made)


async def test_a_webhook_gets_the_answer_and_only_its_own_token(begin: Begin) -> None:
    async with ehr_server(results={"k": HIGH}) as ehr:
        given = {
            "subscription_output": "webhook",
            "subscription_target": f"{ehr.base}/hook",
            "subscription_token": "out",
        }
        async with begin(ehr, **given) as process:
            receive(process, "event-notification", {1: f"{ehr.base}/Observation/k"})
            await work(process)
        ((path, headers),) = ehr.posts
        assert (path, headers["authorization"]) == ("hook", "Bearer out")
        made = one(ehr)
        assert made["id"] == headers["idempotency-key"]
        assert made["cards"][0]["indicator"] == "critical"


@pytest.mark.parametrize(("flags", "unlisted"), [("all", None), ("abnormal", 1)])
async def test_a_webhook_gets_the_flags_that_are_set(begin: Begin, flags: str, unlisted: int | None) -> None:
    async with ehr_server(results={"k": HIGH, "ok": GOOD}) as ehr:
        given = {"subscription_output": "webhook", "subscription_target": f"{ehr.base}/hook", "answer_flags": flags}
        async with begin(ehr, **given) as process:
            receive(process, "event-notification", {1: f"{ehr.base}/Observation/k"})
            await work(process)
        assert one(ehr)["extension"]["org.labcue.evaluation"].get("normalUnlisted") == unlisted


async def test_a_resource_that_came_along_is_not_read_again(begin: Begin) -> None:
    async with ehr_server() as ehr, begin(ehr) as process:
        receive(process, "event-notification", {1: "Observation/k"}, HIGH)
        await work(process)
        assert one(ehr)["priority"] == "stat"
        assert "Observation/k" not in ehr.asked


async def test_missed_and_empty_events_are_asked_for(begin: Begin) -> None:
    events = {1: "Observation/k", 2: "Observation/ok", 3: "Observation/k2"}
    results = {"k": HIGH, "ok": GOOD, "k2": result("k2", 7.2)}
    async with ehr_server(results=results, events=events) as ehr, begin(ehr) as process:
        receive(process, "handshake", count=0)
        receive(process, "event-notification", {3: None})
        await work(process)
        assert ehr.asked.count("Subscription/s/$events") == 3
        assert len(ehr.made) == 2  # the good one says nothing


async def test_a_server_that_fails_gets_it_later_and_once(begin: Begin, clock: Clock) -> None:
    async with ehr_server(results={"k": HIGH}, faults=[503, 0, 429]) as ehr, begin(ehr) as process:
        receive(process, "event-notification", {1: "Observation/k"})
        for seconds in (0, 2, 4, 8):
            clock.move(seconds=seconds)
            await work(process)
        clock.move(days=1)
        await work(process)
        keys = {headers["if-none-exist"] for _, headers in ehr.posts}
        assert len(ehr.posts) == 4
        assert len(keys) == len(ehr.made) == 1


async def test_what_is_refused_is_a_dead_letter_at_once(begin: Begin) -> None:
    async with ehr_server(results={"k": HIGH}, faults=[422]) as ehr, begin(ehr) as process:
        receive(
            process,
            "event-notification",
            {1: "Observation/k", 2: "Encounter/e", 3: "https://other.example/fhir/Observation/k"},
        )
        await work(process)
        dead = {letter.number: (letter.stage, letter.reason) for letter in list_dead(process.records.database)}
        about = ("judge", "the event is about no Observation of subscription_server")
        assert dead == {1: ("send", "answered 422"), 2: about, 3: about}
        assert not ehr.made


async def test_without_the_patient_nothing_is_judged(begin: Begin, clock: Clock) -> None:
    async with ehr_server(results={"k": HIGH}, patient_status=500) as ehr, begin(ehr) as process:
        receive(process, "event-notification", {1: "Observation/k"})
        await work(process)
        assert not ehr.posts
        ehr.patient_status = 200
        clock.move(seconds=2)
        await work(process)
        assert len(ehr.made) == 1


@pytest.mark.parametrize("dies", ["taken", "judged", "sent"])
async def test_a_process_that_dies_is_followed_by_one_that_goes_on(begin: Begin, clock: Clock, dies: str) -> None:
    async with ehr_server(results={"k": HIGH}) as ehr:
        async with begin(ehr) as process:
            receive(process, "event-notification", {1: "Observation/k"})
            (event,) = process.queue.take()
            if dies != "taken":
                judged = await process.judge.judge(event)
                process.queue.judged(event, judged.key, judged.body)
            if dies == "sent":  # and had no time to write that down
                (item,) = process.queue.due()
                assert (await process.sender.send(item.key, item.body)).done
        async with begin(ehr) as process:
            receive(process, "event-notification", {1: "Observation/k"})  # the server, unsure, sends it again
            clock.now += LEASE
            await work(process)
            clock.now += LEASE
            await work(process)
        assert len(ehr.made) == 1
        assert len(ehr.posts) == (2 if dies == "sent" else 1)


async def test_the_door_takes_it_and_the_service_sends(open_door: Open, tmp_path: Path) -> None:  # noqa: F811
    async with ehr_server(results={"k": HIGH}) as ehr:
        async with open_door(**settings_for(ehr, records=str(tmp_path / "r.sqlite3"))) as door:
            for sent in (notify("handshake", count=0), notify("event-notification", {1: "Observation/k"}, form="R4")):
                assert (
                    await door.call(sent, "/fhir/subscription", content_type="application/fhir+json")
                ).status_code == 200
            await ehr.arrived.wait()
            other = await door.call(
                notify("heartbeat", of="https://other.example/Subscription/s"), "/fhir/subscription"
            )
            assert other.status_code == 400
            assert issues(other)[0][1] == "Bundle.entry[0].resource.subscription"
        assert len(ehr.made) == 1
        shown = "".join(span.to_json() for span in door.spans.get_finished_spans())
        assert "Observation/k" not in shown
        assert "Patient/p" not in shown


async def test_the_commands_list_and_retry_beside_a_service_that_runs(
    open_door: Open,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "LOOK_S", 0.1)
    where = str(tmp_path / "r.sqlite3")
    async with (
        ehr_server(results={"k": HIGH}, faults=[422]) as ehr,
        open_door(**settings_for(ehr, records=where)) as door,
    ):
        await door.call(notify("event-notification", {1: "Observation/k"}), "/fhir/subscription")
        while not list_dead(door.server.backend.records.database):
            await asyncio.sleep(0.02)
        listed = await dead_letters("list", where)
        assert b"Subscription/s\t1\tsend\t1\tanswered 422" in listed
        assert await dead_letters("retry", where, "--all") == b"due again: 1\n"
        await ehr.arrived.wait()
        assert len(ehr.made) == 1
        assert await dead_letters("list", where) == b"no dead letters\n"


async def dead_letters(command: str, where: str, *more: str) -> bytes:
    """What the command prints; in a process of its own, while the service's loop goes on."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cds_service.cli", "records", "dead-letters", command, *more, "--records", where),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said


async def test_without_a_server_there_is_no_such_address(open_door: Open) -> None:  # noqa: F811
    async with open_door() as door:
        assert (await door.call(notify("handshake"), "/fhir/subscription")).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        {"fhir_servers": "https://a.example/fhir", "subscription_server": "https://b.example/fhir", "records": "r"},
        {"fhir_servers": "https://a.example/fhir", "subscription_server": "https://a.example/fhir"},
        {"fhir_servers": "http://a.example/fhir", "subscription_server": "http://a.example/fhir", "records": "r"},
        {"subscription_target": "https://a.example/fhir"},
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        load(**given)
    assert "subscription_" in refused.value.violations[0].description
