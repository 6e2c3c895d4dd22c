"""What the door says of a model that dies: health NOT_SERVING, answers by rules, a metric with the reason."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cds_service import serving
from cds_service.client import AsyncLabCueClient
from cds_service.config import Settings
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher
from cds_service.pipeline import Pipeline
from cds_service.rpc.server import NOT_SERVING, SERVING
from cds_service.rpc.servicer import SERVICE
from fhir_adapter import catalog
from fhir_adapter.errors import EngineStopped
from fhir_adapter.prompt import Prompt
from tests.bundles import PANEL
from tests.cds_service.inference.engines import Telling
from tests.cds_service.rpc.conftest import Serve, Served


def metric(served: Served, name: str) -> list[dict[str, object]]:
    """The data points of a metric."""
    found = json.loads(served.metrics.get_metrics_data().to_json())  # type: ignore[union-attr]
    return [
        point
        for scope in found["resource_metrics"][0]["scope_metrics"]
        for one in scope["metrics"]
        if one["name"] == name
        for point in one["data"]["data_points"]
    ]


async def test_a_model_that_dies_turns_health_and_rules_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEALTH_S", 0.01)
    alive = True

    def fault(prompts: Sequence[Prompt]) -> None:
        if not alive:
            raise EngineStopped

    batcher = Batched(Telling(fault), Batcher())
    pipeline = Pipeline(Settings(engine="none"), catalog.load(), batcher)
    async with serve(pipeline) as served, AsyncLabCueClient(served.target) as client:
        stub = health_pb2_grpc.HealthStub(client._channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watch.read()).status == SERVING
        first = (await client.evaluate(PANEL)).extension.evaluation
        assert first.model.name == "telling"
        assert first.model_prompts == 1
        alive = False
        second = (await client.evaluate(PANEL)).extension.evaluation
        assert second.degraded == "model stopped"
        assert second.model_prompts == 0
        assert [flag.code for flag in second.flags] == ["HH", "N"]
        assert (await watch.read()).status == NOT_SERVING
        assert (await client.evaluate(PANEL)).extension.evaluation.degraded == "model stopped"
        watch.cancel()
        await served.ended("Evaluate", 3)
        (counted,) = metric(served, "labcue.degradations")
        assert counted["attributes"] == {"labcue.degraded.reason": "engine-stopped"}
        assert counted["value"] == 2
        assert sum(int(str(point["count"])) for point in metric(served, "labcue.model.pass.requests")) == 1
    batcher.close()


async def test_a_model_that_comes_back_turns_health_back(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HEALTH_S", 0.01)

    class Sick:
        healthy = True

        def evaluate(self, bundle: bytes, **_: object) -> None: ...

    sick = Sick()
    async with serve(sick) as served, AsyncLabCueClient(served.target) as client:
        watch = health_pb2_grpc.HealthStub(client._channel).Watch(health_pb2.HealthCheckRequest())
        seen = [(await watch.read()).status]
        for healthy in (False, True):
            sick.healthy = healthy
            seen.append((await watch.read()).status)
        watch.cancel()
    assert seen == [SERVING, NOT_SERVING, SERVING]
