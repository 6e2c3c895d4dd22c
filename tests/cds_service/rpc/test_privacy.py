"""Nothing of a patient leaves by any side door: spans, metrics, logs, errors."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from cds_service.client import AsyncLabCueClient, Retry
from cds_service.config import Settings
from cds_service.rpc.status import to_status
from cds_service.telemetry import names
from cds_service.telemetry.guard import CLOSED, COUNTS, allowed
from cds_service.telemetry.setup import setup
from fhir_adapter.errors import LabCueError
from labcue.v1 import cds_pb2, cds_pb2_grpc
from tests.cds_service.rpc.conftest import Gated, Serve

MARK = "ZQXJ"
NUMBER = 735191377.25
MARKS = re.compile(rf"{MARK}|735191377", re.IGNORECASE)
"""What is planted everywhere, and long enough not to come from a random id or an address."""


def _planted() -> dict[str, Any]:
    """A bundle with a mark in every string that FHIR leaves open, and a number that is nobody else's."""
    count = iter(range(1000))

    def mark() -> str:
        return f"{MARK}{next(count)}"

    def quantity() -> dict[str, Any]:
        return {"value": NUMBER, "unit": mark(), "system": "http://unitsofmeasure.org", "code": mark()}

    observations = [
        {
            "resourceType": "Observation",
            "id": mark(),
            "status": "final",
            "code": {"coding": [{"system": mark(), "code": mark(), "display": mark()}], "text": mark()},
            "subject": {"reference": f"Patient/{MARK}", "display": mark()},
            "effectiveDateTime": "1973-05-19T07:35:19Z",
            "valueQuantity": quantity(),
            "interpretation": [{"text": mark()}],
            "note": [{"text": mark()}],
            "method": {"text": mark()},
            "referenceRange": [{"low": {"value": 1}, "high": {"value": 2}, "text": mark()}],
        },
        {
            "resourceType": "Observation",
            "id": mark(),
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
            "subject": {"reference": f"Patient/{MARK}"},
            "valueQuantity": {"value": 6.9, "unit": "mmol/L"},
            "referenceRange": [{"low": {"value": 3.5}, "high": {"value": 5.1}}],
        },
        {
            "resourceType": "Observation",
            "id": mark(),
            "status": mark(),
            "code": {"text": mark()},
            "subject": {"reference": f"Patient/{MARK}"},
            "valueString": mark(),
        },
        {
            "resourceType": "Observation",
            "id": mark(),
            "status": "final",
            "code": {"text": mark()},
            "subject": {"reference": f"Patient/{MARK}"},
            "valueQuantity": {"value": mark(), "unit": {"not": mark()}},
        },
    ]
    patient = {
        "resourceType": "Patient",
        "id": MARK,
        "name": [{"family": mark()}],
        "birthDate": "1973-05-19",
        "gender": mark(),
    }
    entries = [
        {"fullUrl": f"https://{MARK}.example.org/{one['id']}", "resource": one} for one in [patient, *observations]
    ]
    return {"resourceType": "Bundle", "type": "collection", "id": mark(), "entry": entries}


def _broken() -> list[bytes]:
    """The planted bundle, spoiled in ways that end in errors."""
    whole = _planted()
    text = json.dumps(whole)
    other = json.loads(text)
    other["entry"][2]["resource"]["subject"]["reference"] = f"Patient/{MARK}other"
    return [
        text[: len(text) // 2].encode(),
        text.replace("Bundle", f"{MARK}Bundle").encode(),
        json.dumps(other).encode(),
        json.dumps({**whole, "entry": {"not": MARK}}).encode(),
        json.dumps({"resourceType": "Bundle", "type": MARK, "entry": []}).encode(),
        text.encode().replace(str(NUMBER).encode(), b"NaN"),
        text.encode() + MARK.encode(),
        text.encode("utf-16"),
    ]


@pytest.mark.parametrize("validation", ["fast", "strict"])
async def test_marks_planted_all_over_are_found_nowhere(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], validation: str
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with (
        serve(validation=validation) as served,
        AsyncLabCueClient(served.target, retry=Retry(attempts=1)) as client,
    ):
        answered = 0
        for data in [json.dumps(_planted()).encode(), *_broken()]:
            try:
                response = await client.evaluate(data, request_id=f"r{len(said)}")
            except LabCueError as error:
                said.append(str(to_status(error)))
                continue
            answered += 1
            evaluation = response.extension.evaluation
            said += [f"{entry.reason} {entry.code} {entry.path}" for entry in evaluation.not_assessed]
            said.append(str(evaluation.timings))
        spans = [span.to_json() for span in served.spans.get_finished_spans()]
        metrics = str(served.metrics.get_metrics_data())
    assert len(said) > 3
    assert spans
    if validation == "fast":
        assert answered
    captured = capfd.readouterr()
    for place, text in {
        "errors": "\n".join(said),
        "spans": "\n".join(spans),
        "metrics": metrics,
        "logs": caplog.text,
        "stdout": captured.out,
        "stderr": captured.err,
    }.items():
        assert not MARKS.search(text), place


async def test_a_crash_in_the_middle_leaks_nothing(
    serve: Serve, gated: Gated, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gated.error = ValueError(f"{MARK} {NUMBER}")
    gated.gate.set()
    async with serve(gated) as served, AsyncLabCueClient(served.target, retry=Retry(attempts=1)) as client:
        with pytest.raises(LabCueError) as caught:
            await client.evaluate(json.dumps(_planted()))
        spans = [span.to_json() for span in served.spans.get_finished_spans()]
        metrics = str(served.metrics.get_metrics_data())
    for text in (str(caught.value), "".join(spans), metrics, caplog.text):
        assert not MARKS.search(text)


async def test_what_a_caller_adds_to_its_call_leaks_nothing(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Request ids, languages, metadata and feedback are the caller's words: they may name a patient too."""
    caplog.set_level(logging.DEBUG)
    planted = json.dumps(_planted()).encode()

    async def requests() -> AsyncIterator[cds_pb2.EvaluateStreamRequest]:
        for number, data in enumerate([planted, *_broken()]):
            request = cds_pb2.EvaluateRequest(bundle=data, request_id=f"{MARK}-{number}", language=f"{MARK}")
            yield cds_pb2.EvaluateStreamRequest(request=request)
        bad = cds_pb2.EvaluateRequest(bundle=planted, request_id=f"{MARK}\n")
        yield cds_pb2.EvaluateStreamRequest(request=bad)

    trace = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    metadata = (trace, ("tracestate", f"x={MARK}"), ("baggage", f"patient={MARK}"), ("x-patient", MARK))
    errors: list[str] = []
    async with serve() as served, grpc.aio.insecure_channel(served.target) as channel:
        stub = cds_pb2_grpc.LabDecisionSupportStub(channel)
        answered = 0
        async for answer in stub.EvaluateStream(requests(), metadata=metadata):
            answered += 1
            if answer.WhichOneof("result") == "error":
                errors.append(str(answer.error))
        feedback = cds_pb2.Feedback(card=MARK * 50, outcome_timestamp=MARK)
        feedback.override_reason.user_comment = MARK
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.SendFeedback(cds_pb2.SendFeedbackRequest(feedback=[feedback]), metadata=metadata)
        errors += [str(caught.value.details()), str(rpc_status.from_call(caught.value))]
        spans = served.spans.get_finished_spans()
        exported = encode_spans(spans).SerializeToString().decode("latin-1")
        metrics = str(served.metrics.get_metrics_data())
    assert answered == len(_broken()) + 2
    assert len(errors) > 3
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {trace[1].split("-")[1]}
    for text in (*errors, exported, metrics, caplog.text):
        assert not MARKS.search(text)


def test_the_allowlist_lets_counts_and_words_of_ours_out_and_nothing_else() -> None:
    kept = {"labcue.flags": 3, "labcue.flag.code": "HH", "gen_ai.request.model": "mistralai/Mistral-7B-v0.1"}
    dropped = {
        "patient.name": "x",
        "rpc.method": "x" * 500,
        "error.type": "Jane Roe",
        "labcue.step": "Jane",
        "labcue.flag.source": "Jane",
        "labcue.not_assessed.code": "Jane",
        "labcue.language": "Jane",
        "labcue.observations": "6.9",
        "labcue.cards": 6.9,
        "labcue.degraded": "Jane",
    }
    assert allowed(kept | dropped) == kept


def test_what_the_allowlist_drops_is_counted() -> None:
    reader = InMemoryMetricReader()
    telemetry = setup(Settings(), readers=[reader])
    assert telemetry.attributes({"labcue.flags": 1, "patient": MARK, "labcue.step": MARK}) == {"labcue.flags": 1}
    (counted,) = [
        point.value
        for resource in reader.get_metrics_data().resource_metrics  # type: ignore[union-attr]
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == names.DROPPED
        for point in metric.data.data_points
    ]
    telemetry.shutdown()
    assert counted == 2


def test_every_name_of_the_allowlist_has_a_rule() -> None:
    free = {
        names.CLIENT,
        names.HTTP_ROUTE,
        names.RPC_METHOD,
        names.RPC_STATUS,
        names.ERROR_TYPE,
        names.MODEL,
        names.OPERATION,
        names.DEGRADED,
    }
    assert free | set(CLOSED) | COUNTS == names.ALLOWED
