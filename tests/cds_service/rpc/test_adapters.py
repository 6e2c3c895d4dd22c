"""Adapters through the service: named by a call, swapped by SIGHUP while calls go on, none ever taken for another."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cds_service.build import build_pipeline
from cds_service.client import AsyncLabCueClient
from cds_service.config import Settings
from fhir_adapter.errors import ConfigError, InvalidInput
from labcue.v1 import cds_pb2
from tests.bundles import PANEL
from tests.cds_service.inference.conftest import copy, tiny_folder  # noqa: F401 - fixtures
from tests.cds_service.inference.test_adapters import folders, make_adapter  # noqa: F401 - fixtures
from tests.until_signal import until_signal


def settings(base: Path, adapters: dict[str, Path], **given: object) -> Settings:
    return Settings(  # type: ignore[arg-type]
        **(
            {"doors": "grpc", "port": 0, "engine": "mistral", "model_path": base, "device": "cpu", "adapters": adapters}
            | given
        )
    )


def model(response: cds_pb2.EvaluateResponse) -> cds_pb2.Model:
    return response.extension.evaluation.model


def scores(response: cds_pb2.EvaluateResponse) -> list[float]:
    return [flag.probability for flag in response.extension.evaluation.flags]


async def test_a_call_is_judged_by_the_adapter_it_names_and_sighup_swaps_it(
    tiny_folder: Path,  # noqa: F811
    folders: dict[str, Path],  # noqa: F811
    copy: Callable[[Path], Path],  # noqa: F811
) -> None:
    live = copy(folders["north"])
    newer = make_adapter(tiny_folder, live.parent / "newer", 35, manifest={"name": "north"})
    chosen = settings(tiny_folder, {"north": live, "south": folders["south"]}, adapter="south")
    pipeline = await asyncio.to_thread(build_pipeline, chosen)
    try:
        async with until_signal(chosen, pipeline) as (server, _):
            target = f"127.0.0.1:{server.port}"
            async with AsyncLabCueClient(target) as plain, AsyncLabCueClient(target, adapter="north") as north:
                by_default, first = await plain.evaluate(PANEL), await north.evaluate(PANEL)
                assert (model(by_default).adapter, model(first).adapter) == ("south", "north")
                assert scores(by_default) != scores(first)

                async with AsyncLabCueClient(target, adapter="east") as nobody:
                    with pytest.raises(InvalidInput) as caught:
                        await nobody.evaluate(PANEL)
                assert caught.value.violations[0].path == "labcue-adapter"

                seen: list[cds_pb2.EvaluateResponse] = []
                stop = asyncio.Event()

                async def traffic() -> None:
                    while not stop.is_set():
                        seen.append(await north.evaluate(PANEL))

                calls = [asyncio.create_task(traffic()) for _ in range(2)]
                for file in newer.iterdir():
                    (live / file.name).write_bytes(file.read_bytes())
                os.kill(os.getpid(), signal.SIGHUP)
                async with asyncio.timeout(60):
                    while not seen or model(seen[-1]).version != "35":
                        await asyncio.sleep(0.01)
                (live / "adapter_model.safetensors").write_bytes(b"half a file")
                os.kill(os.getpid(), signal.SIGHUP)
                again = len(seen) + 5
                async with asyncio.timeout(60):
                    while len(seen) < again:
                        await asyncio.sleep(0.01)
                stop.set()
                await asyncio.gather(*calls)
                by_version = {model(response).version: scores(response) for response in seen}
                assert set(by_version) <= {"21", "35"}
                assert all(scores(one) == pytest.approx(by_version[model(one).version], abs=1e-5) for one in seen)
                assert not any(one.extension.evaluation.degraded for one in seen)
                assert model(await north.evaluate(PANEL)).version == "35", "a bad adapter leaves the old one in force"
    finally:
        pipeline.close()


def test_the_embedded_model_and_the_fake_take_no_adapters(folders: dict[str, Path], tiny_folder: Path) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match="engine=fake takes no adapters"):
        build_pipeline(settings(tiny_folder, folders, engine="fake"))
