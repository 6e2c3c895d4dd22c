"""A door that can't listen where it shall: the setting is named with what to do, at both doors alike, and nothing is a crash."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from cds_service.config import Settings, load
from cds_service.listening import Port, listening, refused
from cds_service.pipeline import Pipeline
from cds_service.serving import running
from fhir_adapter import catalog
from fhir_adapter.errors import ConfigError

DOORS = pytest.mark.parametrize(("door", "port"), [("grpc", "port"), ("http", "http_port")])
ELSEWHERE = "203.0.113.7"
"""Kept for documentation: no machine has it."""


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 on which something listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


async def fault(**given: Any) -> tuple[str, str]:
    """The one thing said of settings with which the service can't begin."""
    settings = Settings(
        **({"engine": "none", "port": 0, "http_port": 0, "insecure": True, "behind_proxy": True} | given)
    )
    with pytest.raises(ConfigError) as caught:
        async with running(settings, Pipeline(settings, catalog.load())):
            pass
    (violation,) = caught.value.violations
    return violation.path, violation.description


@DOORS
async def test_a_port_in_use(door: str, port: str, taken: int) -> None:
    named, why = await fault(doors=door, **{port: taken})
    assert named == port
    assert why.startswith(
        f"can't listen on 127.0.0.1:{taken}: something else does; stop that, or give another --{port[:4]}"
    )


@DOORS
async def test_an_address_of_another_machine(door: str, port: str) -> None:
    named, why = await fault(doors=door, host=ELSEWHERE)
    assert named == "host"
    assert f"{ELSEWHERE}:0: this machine has no such address; give" in why


@pytest.mark.parametrize("host", ["nosuch.invalid", "nosuch..invalid", "127.0.0.1:8080", "http://localhost", "x" * 70])
async def test_a_host_that_nobody_knows(host: str) -> None:
    """Said first: that it could be reached by others would lead astray."""
    named, why = await fault(host=host, insecure=False, behind_proxy=False)
    assert named == "host"
    assert why.startswith(f"{host} is neither an address nor a name that is known here: give")


@pytest.mark.parametrize("port", ["port", "http_port"])
def test_a_port_that_this_user_may_not_have(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def bind(self, address: Any) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket, "socket", Forbidden)
    settings = Settings(**{port: 443})  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        listening(settings, port)
    (violation,) = caught.value.violations
    assert (violation.path, violation.description) == (
        port,
        f"can't listen on 127.0.0.1:443: this user may not; give a --{port.replace('_', '-')} of 1024 or more, "
        "or the right to lower ones (CAP_NET_BIND_SERVICE)",
    )
    assert refused(settings, port).violations == caught.value.violations


def test_one_port_for_both_doors_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="hold") as caught:
        load(port=8080)
    assert "port and http_port must differ" in caught.value.violations[0].description
    assert load(port=8080, doors="grpc").port == 8080
    assert load(port=0, http_port=0).port == 0


@DOORS
def test_the_command_says_so_in_two_lines_and_ends_with_78(door: str, port: str, taken: int) -> None:
    command = [sys.executable, "-m", "cds_service.cli", "serve", "--engine", "none", "--doors", door]
    told = subprocess.run([*command, "--set", f"{port}={taken}"], capture_output=True, text=True, timeout=120)
    assert told.returncode == 78
    first, second = told.stderr.splitlines()
    assert first == "labcue: The settings don't hold."
    assert second.startswith(f"  {port}: can't listen on 127.0.0.1:{taken}: ")
