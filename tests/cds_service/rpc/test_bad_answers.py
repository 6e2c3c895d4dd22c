"""Through the running service: whatever a model answers, or doesn't, the rules answer, with the reason and a metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from cds_service.client import AsyncLabCueClient
from cds_service.config import Settings
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher, Limits
from cds_service.inference.engine import SlotScores
from cds_service.pipeline import Pipeline
from evaluation.panels import bundle as panel_of
from fhir_adapter import catalog
from fhir_adapter.errors import EngineMemory, EngineStopped, NoObservations, PromptTooLong
from fhir_adapter.prompt import Prompt
from tests.bundles import PANEL, bundle, observation
from tests.cds_service.inference.engines import Telling
from tests.cds_service.rpc.conftest import Serve
from tests.cds_service.rpc.test_model_health import metric

Answers = list[tuple[SlotScores, ...]]


def each(change: Callable[[SlotScores], SlotScores]) -> Callable[[Answers], Answers]:
    return lambda answers: [tuple(change(score) for score in answer) for answer in answers]


BAD: dict[str, Callable[[Answers], Answers]] = {
    "not a number": each(lambda score: replace(score, probabilities=(math.nan,) * 7)),
    "of a model with five labels": each(lambda score: replace(score, probabilities=(0.2,) * 5)),
    "of a model with nine labels": each(lambda score: replace(score, probabilities=(*score.probabilities, 0.0, 0.0))),
    "for other results": each(lambda score: replace(score, slot=score.slot + 1)),
    "no probabilities": each(lambda score: replace(score, probabilities=(3.0, *score.probabilities[1:]))),
    "for too few results": lambda answers: [answer[:1] for answer in answers],
    "for too few panels": lambda answers: answers[:-1],
}


def raising(error: Exception) -> Callable[[Sequence[Prompt]], None]:
    def fault(prompts: Sequence[Prompt]) -> None:
        raise error

    return fault


async def test_whatever_a_model_does_the_rules_answer_and_say_why(serve: Serve) -> None:
    engine = Telling()
    engine.max_results = 40  # type: ignore[attr-defined]
    model = Batched(engine, Batcher(Limits(hang_s=0.1)))
    pipeline = Pipeline(Settings(engine="none"), catalog.load(), model)
    async with serve(pipeline) as served, AsyncLabCueClient(served.target) as client:

        async def reason() -> str:
            """Why the model took no part; the flags are then the rules', with no probability of anybody's."""
            found = (await client.evaluate(PANEL)).extension.evaluation
            if found.degraded:
                assert [(flag.code, flag.HasField("probability")) for flag in found.flags] == [
                    ("HH", False),
                    ("N", False),
                ]
                assert not found.HasField("model")
                assert found.model_prompts == 0
            return str(found.degraded)

        assert await reason() == ""
        for name, alter in BAD.items():
            engine.alter = alter
            assert await reason() == "model answered badly", name
        engine.alter = list
        for error, said in (
            (ZeroDivisionError("secret 6.9"), "model failed"),
            (EngineMemory(), "model out of memory"),
            (MemoryError("secret 6.9"), "model out of memory"),
            (PromptTooLong(), "prompt too long"),
        ):
            engine.fault = raising(error)
            assert await reason() == said
        engine.fault = lambda prompts: None
        assert await reason() == ""

        with pytest.raises(NoObservations):
            await client.evaluate(bundle())
        cancelled = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1, status="cancelled")
        empty = (await client.evaluate(bundle(cancelled))).extension.evaluation
        assert (len(empty.flags), empty.degraded, empty.model_prompts) == (0, "", 0)
        large = (await client.evaluate(panel_of(2000), timeout=120)).extension.evaluation
        assert (len(large.flags), large.degraded, large.model_prompts) == (2000, "", 50)
        assert all(flag.HasField("probability") for flag in large.flags)

        engine.gate.clear()
        assert await reason() == "model stopped"  # it hangs
        engine.gate.set()
        while not model.healthy:
            await client.service_info()
        assert await reason() == ""
        engine.fault = raising(EngineStopped())
        assert await reason() == "model stopped"  # it died, for good
        engine.fault = lambda prompts: None
        assert await reason() == "model stopped"

        await served.ended("Evaluate", len(BAD) + 13)
        counted = {
            point["attributes"]["labcue.degraded.reason"]: point["value"]  # type: ignore[index]
            for point in metric(served, "labcue.degradations")
        }
    assert counted == {
        "engine-bad-answer": len(BAD),
        "engine-failed": 1,
        "engine-memory": 2,
        "engine-prompt-too-long": 1,
        "engine-stopped": 3,
    }
    pipeline.close()
