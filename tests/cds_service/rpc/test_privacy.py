"""Nothing of a patient leaves by any side door: spans, metrics, logs, errors."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from cds_service.client import AsyncLabCueClient, Retry
from cds_service.rpc.status import to_status
from fhir_adapter.errors import LabCueError
from tests.cds_service.rpc.conftest import Gated, Serve

MARK = "ZQXJ"
NUMBER = 7351.9137
MARKS = re.compile(rf"{MARK}|7351|9137", re.IGNORECASE)
"""What is planted everywhere, and can't come from anywhere else."""


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
        text.encode().replace(b"7351.9137", b"NaN"),
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


def test_the_allowlist_drops_and_cuts() -> None:
    from cds_service.telemetry.setup import allowed

    kept = allowed({"rpc.method": "x" * 500, "patient.name": MARK, "labcue.flags": 3})
    assert set(kept) == {"rpc.method", "labcue.flags"}
    assert len(str(kept["rpc.method"])) == 120
