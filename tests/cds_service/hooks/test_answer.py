"""Both doors say the same: the JSON of the HTTP door is the protobuf JSON of the gRPC door, member for member."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cds_service.config import Settings
from cds_service.domain import FlagsListed
from cds_service.hooks import answer
from cds_service.inference.fake import FakeEngine
from cds_service.pipeline import Pipeline
from cds_service.rpc import wire
from fhir_adapter.catalog import Catalog

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "examples" / "bundles").glob("*.json"))


def members(value: Any, path: str = "$") -> Iterator[tuple[str, Any]]:
    """Every member of a JSON value, with its path."""
    yield path, value
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from members(inner, f"{path}.{key}")


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
@pytest.mark.parametrize("engine", [None, FakeEngine()], ids=["rules", "model"])
@pytest.mark.parametrize("listed", ["all", "abnormal"])
def test_the_json_is_that_of_the_other_door(
    file: Path, language: str, engine: Any, listed: FlagsListed, known_analytes: Catalog
) -> None:
    evaluation = Pipeline(Settings(engine="none"), known_analytes, engine).evaluate(
        file.read_bytes(), language=language
    )
    evaluation = replace(evaluation, audit_id="a")
    ours = json.loads(answer.encoded(answer.response(evaluation, trace_id="t" * 32, listed=listed)))
    assert ours == wire.to_json(wire.to_response(evaluation, trace_id="t" * 32, listed=listed))
    empty = [path for path, value in members(ours) if value in (None, "", [], {}) and path != "$.cards"]
    assert empty == []
