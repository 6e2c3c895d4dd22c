"""The whole way of a bundle, with a model that works, fails, or isn't there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from cds_service.config import Settings
from cds_service.domain import ModelInfo, Thresholds
from cds_service.inference.batched import Batched
from cds_service.inference.batcher import Batcher
from cds_service.inference.engine import SlotScores
from cds_service.inference.fake import FakeEngine
from cds_service.pipeline import STEPS, Pipeline, Work, choose_language
from fhir_adapter import catalog
from fhir_adapter.errors import (
    Cancelled,
    DeadlineTooShort,
    EngineError,
    EngineMemory,
    EngineStopped,
    Overloaded,
    PromptTooLong,
)
from fhir_adapter.prompt import Prompt
from tests.cds_service.inference.engines import Telling

LOINC = "http://loinc.org"


def _observation(
    id: str, loinc: str, value: float, unit: str, low: float | None = None, high: float | None = None
) -> dict:
    observation: dict = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": loinc}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-03-01T08:00:00Z",
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    }
    if low is not None and high is not None:
        observation["referenceRange"] = [{"low": {"value": low, "unit": unit}, "high": {"value": high, "unit": unit}}]
    return observation


def _bundle(*observations: dict) -> bytes:
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1970-05-01"}
    return json.dumps(
        {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": one} for one in (patient, *observations)],
        }
    ).encode()


PANEL = _bundle(
    _observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
    _observation("na", "2951-2", 140, "mmol/L", 135, 145),
    _observation("crea", "2160-0", 3.4, "mg/dL"),
)


def _pipeline(engine: object = None, **settings: object) -> Pipeline:
    return Pipeline(Settings(engine="none", **settings), catalog.load(), engine)  # type: ignore[arg-type]


class Broken:
    """An engine that fails as told."""

    info = ModelInfo("broken", "0")
    thresholds = Thresholds()

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def warm_up(self) -> None: ...

    def score(self, prompts: Sequence[Prompt]) -> list[tuple[SlotScores, ...]]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer  # type: ignore[return-value]


def test_rules_alone_flag_what_lies_outside() -> None:
    evaluation = _pipeline().evaluate(PANEL)
    codes = {flag.subject.result.observation: flag.code for flag in evaluation.verdict.flags}
    assert codes == {"Observation/k": "HH", "Observation/na": "N", "Observation/crea": "H"}
    assert evaluation.verdict.degraded is None
    assert evaluation.verdict.model is None
    assert all(flag.source == "rule" and flag.probability is None for flag in evaluation.verdict.flags)
    assert evaluation.cards[0].indicator == "critical"
    assert evaluation.cards[0].summary.startswith("Potassium 6.9 mmol/L")
    assert set(evaluation.timings) == {*STEPS, "total"}


def test_a_model_takes_part_and_says_so() -> None:
    evaluation = _pipeline(FakeEngine()).evaluate(PANEL)
    assert evaluation.verdict.model is not None
    assert evaluation.verdict.degraded is None
    assert all(flag.probability is not None for flag in evaluation.verdict.flags)


@pytest.mark.parametrize(
    "answer",
    [
        EngineError("model failed"),
        RuntimeError("secret 6.9"),
        [()],
        [(SlotScores(0, (float("nan"),) * 7),) * 3],
        [tuple(SlotScores(slot, (2.0,) * 7) for slot in range(3))],
    ],
)
def test_a_failing_model_degrades_and_never_decides(answer: object) -> None:
    rules, answered = _pipeline().evaluate(PANEL), _pipeline(Broken(answer)).evaluate(PANEL)
    assert answered.verdict.degraded
    assert "6.9" not in answered.verdict.degraded
    assert [flag.code for flag in answered.verdict.flags] == [flag.code for flag in rules.verdict.flags]
    assert all(flag.probability is None for flag in answered.verdict.flags)


def test_a_model_that_clears_everything_clears_no_floor() -> None:
    normal = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    engine = Broken([tuple(SlotScores(slot, normal) for slot in range(3))])
    codes = {flag.subject.result.observation: flag.code for flag in _pipeline(engine).evaluate(PANEL).verdict.flags}
    assert codes["Observation/k"] == "HH"
    # Only the usual interval speaks for it, but no laboratory has a limit out there.
    assert codes["Observation/crea"] == "H"


def test_a_late_model_leaves_time_for_the_rules() -> None:
    engine = Telling()
    engine.gate.clear()
    pipeline = _pipeline(Batched(engine, Batcher()), answer_reserve_s=5.0)
    try:
        answered = pipeline.evaluate(PANEL, work=Work(deadline=time.monotonic() + 6))
        assert answered.verdict.degraded == "model too late"
        assert [flag.code for flag in answered.verdict.flags] == [
            flag.code for flag in _pipeline().evaluate(PANEL).verdict.flags
        ]
        assert answered.prompts == 0
    finally:
        engine.gate.set()
        pipeline.close()


def test_of_a_short_deadline_half_is_the_models() -> None:
    now = time.monotonic()
    until = Work(deadline=now + 0.04).model_deadline(0.05)
    assert until is not None
    assert now + 0.019 < until < now + 0.04
    assert Work().model_deadline(0.05) is None


def test_who_leaves_while_the_model_works_ends_the_work() -> None:
    engine = Telling()
    engine.gate.clear()
    pipeline = _pipeline(Batched(engine, Batcher()))
    try:
        with pytest.raises(Cancelled):
            pipeline.evaluate(PANEL, work=Work(cancelled=lambda: engine.entered.acquire(blocking=False)))
    finally:
        engine.gate.set()
        pipeline.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (EngineStopped, "model stopped"),
        (EngineMemory, "model out of memory"),
        (PromptTooLong, "prompt too long"),
        (ZeroDivisionError, "model failed"),
    ],
)
def test_each_way_of_failing_has_its_reason(fault: type[Exception], reason: str) -> None:
    def fail(prompts: Sequence[Prompt]) -> None:
        raise fault

    pipeline = _pipeline(Batched(Telling(fail), Batcher()))
    assert pipeline.evaluate(PANEL).verdict.degraded == reason
    assert pipeline.healthy == (fault is not EngineStopped)
    pipeline.close()


def test_a_full_queue_of_the_model_is_an_overload_not_a_worse_answer() -> None:
    class Full(Telling):
        def score_within(self, prompts: Sequence[Prompt], **_: object) -> list[tuple[SlotScores, ...]]:
            raise Overloaded

    with pytest.raises(Overloaded):
        _pipeline(Full()).evaluate(PANEL)


def test_the_threshold_is_that_of_the_model_that_answered() -> None:
    a_little_high = _bundle(_observation("ast", "1920-8", 48, "U/L"))
    normal = (0.9, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0)
    engine = Broken([(SlotScores(0, normal),)])
    codes = {}
    for threshold in (0.05, 0.5):
        engine.thresholds = Thresholds(threshold)
        flags = _pipeline(engine).evaluate(a_little_high).verdict.flags
        codes[threshold] = flags[0].code
    assert codes == {0.05: "H", 0.5: "N"}


def test_why_there_is_no_model_is_said() -> None:
    pipeline = Pipeline(Settings(), catalog.load(), None, "model not loaded")
    assert pipeline.evaluate(PANEL).verdict.degraded == "model not loaded"


def test_work_ends_where_going_on_is_useless() -> None:
    with pytest.raises(DeadlineTooShort):
        _pipeline().evaluate(PANEL, work=Work(deadline=time.monotonic() - 1))
    with pytest.raises(Cancelled):
        _pipeline().evaluate(PANEL, work=Work(cancelled=lambda: True))


def test_work_stops_between_the_steps() -> None:
    seen: list[bool] = []

    def gone() -> bool:
        seen.append(True)
        return len(seen) > 2

    with pytest.raises(Cancelled):
        _pipeline().evaluate(PANEL, work=Work(cancelled=gone))
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("wanted", "said"), [(None, "en"), ("fr", "fr"), ("fr-CA", "fr"), ("FR_fr", "fr"), ("de", "en"), ("", "en")]
)
def test_language(wanted: str | None, said: str) -> None:
    assert choose_language(wanted, "en") == said


def test_cards_in_french() -> None:
    summary = _pipeline().evaluate(PANEL, language="fr").cards[0].summary
    assert summary.startswith("Potassium 6,9 mmol/L")
    assert "crit" in summary.lower()


def test_every_example_of_hl7_ends_with_every_observation_accounted_for(shared_data: Path) -> None:
    from fhir_adapter.errors import InvalidInput

    judged = 0
    for file in sorted((shared_data / "fhir-r4-examples").glob("*.json")):
        try:
            evaluation = _pipeline().evaluate(file.read_bytes())
        except InvalidInput:
            continue
        verdict = evaluation.verdict
        assert len(verdict.flags) + len(verdict.not_assessed) == evaluation.observations, file.name
        judged += 1
    assert judged > 50
