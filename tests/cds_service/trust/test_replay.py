"""A token counts once wherever it is shown: at every replica that shares the records."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import httpx2

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.records.store import Records
from cds_service.serving import running
from cds_service.trust.replay import digest
from fhir_adapter import catalog
from tests.callers import claims, clients_file, token

ANOTHER_PROCESS = """
import sys
from cds_service.config import Settings
from cds_service.records.store import Records
records = Records(Settings(records=sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(sum(records.first(f"token-{number}", float(sys.argv[2])) for number in range(200)), flush=True)
records.close()
"""


def test_of_two_processes_on_one_file_one_is_the_first(tmp_path: Path) -> None:
    file, expires = tmp_path / "records.sqlite3", time.time() + 300
    records = Records(Settings(records=str(file)))
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER_PROCESS, str(file), str(expires)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        ours = sum(records.first(f"token-{number}", expires) for number in range(200))
        theirs = int(other.stdout.readline())
    records.close()
    assert ours + theirs == 200


async def test_a_token_seen_by_one_replica_is_refused_by_the_other_and_after_a_restart(tmp_path: Path) -> None:
    given = {
        "doors": "http",
        "http_port": 0,
        "engine": "none",
        "clients": clients_file(tmp_path),
        "public_urls": "https://cds.example.org",
        "records": str(tmp_path / "records.sqlite3"),
        "drain_grace_s": 1.0,
    }
    pipeline = Pipeline(Settings(engine="none"), catalog.load())
    sent = token(claims("https://cds.example.org/cds-services", now=time.time()))
    headers = {"authorization": f"Bearer {sent}"}
    codes = []
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as client:

        async def ask(port: int | None) -> None:
            codes.append((await client.get(f"http://127.0.0.1:{port}/cds-services", headers=headers)).status_code)

        async with running(Settings(**given), pipeline) as one, running(Settings(**given), pipeline) as two:
            await ask(one.http_port)
            await ask(two.http_port)
        async with running(Settings(**given), pipeline) as again:
            await ask(again.http_port)
    assert codes == [200, 401, 401]


def test_what_is_remembered_is_nothing_of_the_token(tmp_path: Path) -> None:
    file = tmp_path / "records.sqlite3"
    records = Records(Settings(records=str(file)))
    assert records.first(digest("https://ZQXJ.example.org", "ZQXJ-id"), time.time() + 300)
    records.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert digest("https://ZQXJ.example.org", "ZQXJ-id").encode() in kept
    assert b"ZQXJ" not in kept
