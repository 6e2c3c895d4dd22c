"""What goes out is a CDS Hooks 2.0 response: nothing empty, nothing that the hooks don't know."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.rpc.wire import to_json, to_response
from fhir_adapter import catalog
from labcue.v1 import cds_pb2

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "bundles").glob("*.json"))
CARD = {
    "uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior", "overrideReasons", "links",
    "extension",
}  # fmt: skip


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(Settings(engine="none"), catalog.load())


def _empty(node: Any, at: str = "") -> Iterator[str]:
    """Where something stands that says nothing."""
    if node is None or node == "" or node == [] or node == {}:
        yield at
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _empty(value, f"{at}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _empty(value, f"{at}[{index}]")


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_a_response_of_cds_hooks(pipeline: Pipeline, file: Path, language: str) -> None:
    evaluation = pipeline.evaluate(file.read_bytes(), language=language)
    response = to_response(replace(evaluation, audit_id="a1"), trace_id="0" * 31 + "1")
    shown = to_json(response)
    assert set(shown) <= {"cards", "systemActions", "extension"}
    assert list(_empty(shown["extension"], "extension")) == []
    for card in shown["cards"]:
        assert list(_empty(card)) == []
        assert set(card) <= CARD
        assert {"summary", "indicator", "source"} <= set(card)
        assert len(card["summary"]) < 140
        assert card["indicator"] in ("info", "warning", "critical")
        assert uuid.UUID(card["uuid"])
        assert ("selectionBehavior" in card) == ("suggestions" in card)
        assert all(link["type"] in ("absolute", "smart") for link in card.get("links", ()))
        for suggestion in card.get("suggestions", ()):
            assert {"label", "uuid"} <= set(suggestion)
            for action in suggestion.get("actions", ()):
                assert action["type"] in ("create", "update", "delete")
                assert action["description"]
    out = shown["extension"]["org.labcue.evaluation"]
    flags, missing = out.get("flags", []), out.get("notAssessed", [])
    assert len(flags) + len(missing) == out["observations"]
    for flag in flags:
        assert {"observation", "display", "code", "abnormal", "critical", "source", "path"} <= set(flag)
        assert flag["abnormal"] is (flag["code"] != "N")
        assert flag["critical"] is (flag["code"] in ("HH", "LL", "AA"))
    assert all({"path", "reason", "code"} <= set(entry) for entry in missing)
    assert (out["traceId"], out["auditId"], out["language"]) == ("0" * 31 + "1", "a1", language)
    assert out["catalogVersion"] == pipeline.catalog.version
    few = to_response(evaluation, listed="abnormal").extension.evaluation
    assert list(few.flags) == [flag for flag in response.extension.evaluation.flags if flag.abnormal]
    assert len(few.flags) + len(few.not_assessed) + few.normal_unlisted == few.observations
    assert json_format.ParseDict(shown, cds_pb2.EvaluateResponse()) == response


def test_no_card_is_an_empty_list() -> None:
    assert to_json(cds_pb2.EvaluateResponse()) == {"cards": []}
