"""Threads of a served process take short turns, so that the doors get theirs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator

import pytest

from cds_service import turns
from cds_service.commands import serve as command
from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.serving import Running, running


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_a_server_that_is_ready_takes_short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.setswitchinterval(0.005)

    async def started(settings: Settings, pipeline: Pipeline, *, ready: Callable[[Running], None], **_: object) -> None:
        async with running(settings.model_copy(update={"port": 0, "doors": "grpc"}), pipeline) as server:
            ready(server)

    monkeypatch.setattr(command, "serve", started)
    command.run(Settings(engine="none"))
    assert sys.getswitchinterval() == pytest.approx(turns.TURN_S)
