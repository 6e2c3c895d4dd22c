"""The strict reader, and the differential test that holds the fast one to it."""

from __future__ import annotations

import gc
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fhir_adapter import gestation
from fhir_adapter.errors import InvalidResource, MultiplePatients, NoObservations
from fhir_adapter.model import Answer, Quantity, Result
from fhir_adapter.read import Limits, read
from fhir_adapter.strict import MAX_VIOLATIONS, uncollected
from fhir_adapter.values import blank, parse_text
from tests.bundles import Json, bundle, observation

K = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1)


def _faults(data: bytes) -> dict[str, str]:
    with pytest.raises(InvalidResource) as caught:
        read(data, validation="strict")
    text = f"{caught.value}{caught.value.violations}"
    assert "Jane" not in text
    assert "6.9" not in text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return {fault.path: fault.description for fault in caught.value.violations}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"issued": "Jane"}, "Observation.issued"),
        ({"valueQuantity": {"value": "Jane"}}, "Observation.valueQuantity.value"),
        ({"Jane Roe": 1}, "Observation"),
        ({"Jane": 1}, "Observation"),
        ({"code": {"coding": [{"display": "x", "Jane": 1}]}}, "Observation.code.coding[0]"),
        ({"referenceRange": [{"low": {"value": "Jane"}}]}, "Observation.referenceRange[0].low.value"),
    ],
)
def test_faults_have_a_path_and_never_a_value(change: Json, path: str) -> None:
    assert path in _faults(json.dumps(K | change).encode())


def test_faults_in_a_bundle_have_the_whole_path() -> None:
    faults = _faults(bundle(K, K | {"id": "2", "issued": "Jane"}))
    assert any(path.startswith("Bundle.entry[2].resource") for path in faults)


def test_a_missing_element_is_named() -> None:
    assert _faults(json.dumps({name: value for name, value in K.items() if name != "code"}).encode())


def test_no_more_faults_than_fit_an_error() -> None:
    many = [K | {"id": str(n), "issued": "Jane"} for n in range(80)]
    assert len(_faults(bundle(*many))) <= MAX_VIOLATIONS


@pytest.mark.parametrize(
    "resource", [K | {"issued": "Jane"}, {"resourceType": "Nope"}, K | {"contained": [{"resourceType": "Nope"}]}]
)
def test_nothing_of_the_models_work_outlives_a_refusal(resource: Json) -> None:
    """What is left of it, a garbage collection would count twice, and free what is in use."""
    with pytest.raises(InvalidResource) as caught:
        read(bundle(resource), validation="strict")
    assert caught.value.violations
    assert [left for left in gc.get_objects() if type(left).__name__ == "ValidatorCallable"] == []


def test_nothing_is_collected_while_the_models_work() -> None:
    assert gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
    with pytest.raises(ZeroDivisionError), uncollected():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_what_conforms_is_read_the_same() -> None:
    assert read(bundle(K), validation="strict") == read(bundle(K))


def test_the_models_are_not_loaded_until_they_are_asked_for() -> None:
    code = "import sys, fhir_adapter.read; sys.exit('fhir.resources' in sys.modules or 'pydantic' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0


# --- the differential test -----------------------------------------------------------------------------------------


def _observations(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        if node.get("resourceType") == "Observation":
            yield node
        for value in node.values():
            yield from _observations(value)
    elif isinstance(node, list):
        for value in node:
            yield from _observations(value)


def _agree(sent: Any, found: Result, seen: dict[str, int]) -> None:
    """``sent`` is a strict model of an Observation or component; ``found`` what the fast reader made of it."""
    value = found.value
    if _without_value(sent):  # the laboratory's flag alone
        assert value == Answer(found.interpretation[0])
    elif sent.valueQuantity is not None:
        strict = sent.valueQuantity
        assert isinstance(value, Quantity)
        assert Decimal(value.text) == strict.value
        assert value.shown_unit == (strict.unit or strict.code)
        assert (
            value.unit == (strict.code if strict.system == "http://unitsofmeasure.org" else strict.unit)
            or not strict.code
        )
        assert value.comparator == strict.comparator
        seen["quantity"] += 1
    elif sent.valueCodeableConcept is not None:
        assert isinstance(value, Answer)
        codes = [coding.code for coding in sent.valueCodeableConcept.coding or () if coding.code or coding.display]
        assert [coding.code for coding in value.codings] == codes
        seen["concept"] += 1
    elif sent.valueString is not None:
        assert value == parse_text(sent.valueString)
        seen["string"] += 1
    elif sent.valueInteger is not None:
        assert isinstance(value, Quantity)
        assert value.number == sent.valueInteger
        seen["integer"] += 1
    elif sent.valueBoolean is not None:
        assert value == Answer(str(sent.valueBoolean).lower())
        seen["boolean"] += 1
    else:
        assert sent.valueRange is not None or sent.valueRatio is not None
    assert len(found.ranges) == len(sent.referenceRange or ())
    for one, strict in zip(found.ranges, sent.referenceRange or (), strict=True):
        for limit, strict_limit in ((one.low, strict.low), (one.high, strict.high)):
            assert (limit is None) == (strict_limit is None or strict_limit.value is None)
            if limit is not None:
                assert Decimal(limit.text) == strict_limit.value
                assert limit.shown_unit == (strict_limit.unit or strict_limit.code)
                seen["limit"] += 1
        assert one.text == strict.text
        assert (one.age_low is None) == (strict.age is None or strict.age.low is None)
    codes = [coding.code for coding in (sent.code.coding or () if sent.code else ()) if coding.code or coding.display]
    assert [coding.code for coding in found.codings] == codes


_SAID_WHY = {
    "entered-in-error": lambda one: one.status == "entered-in-error",
    "cancelled": lambda one: one.status == "cancelled",
    "no-final-value": lambda one: one.status == "registered",
    "not-the-patient": lambda one: bool(one.focus) or one.subject is not None,
    # Pregnancy status, what dates a pregnancy, and body height: context of the patient, whatever category they carry.
    "not-laboratory": lambda one: bool(
        {coding.code for coding in one.code.coding or ()}
        & {"82810-3", "8302-2", "3137-7", "3138-5", "8306-3", "8301-4", *gestation.CODES}
    ),
}


def _without_value(sent: Any) -> bool:
    values = [name for name in type(sent).model_fields if name.startswith("value") and getattr(sent, name) is not None]
    supported = {
        "valueQuantity",
        "valueCodeableConcept",
        "valueString",
        "valueInteger",
        "valueBoolean",
        "valueRange",
        "valueRatio",
    }
    text = getattr(sent, "valueString", None)
    empty = sent.valueQuantity is not None and sent.valueQuantity.value is None
    return not values or values[0] not in supported or empty or (text is not None and blank(text))


def _compare(raw: Json, seen: dict[str, int]) -> None:
    from fhir.resources.R4B.observation import Observation

    # Numbers came as marked text: json has no way to write a float as it was read.
    text = re.sub('"\ue000(.*?)\ue000"', r"\1", json.dumps(raw, ensure_ascii=False))
    raw = json.loads(text, parse_float=Decimal)
    with uncollected():
        try:
            model = Observation.model_validate(raw)
        except (ValidationError, ValueError):
            seen["refused"] += 1
            return
    # Without its category, so that vital signs are compared too.
    intake = read(text.encode().replace(b'"category":', b'"_category":').replace(b'"contained":', b'"_contained":'))
    parts = {f"Observation.component[{index}]": part for index, part in enumerate(model.component or ())}
    parts["Observation"] = model
    assert {one.path for one in (*intake.results, *intake.not_assessed)} == set(parts)
    for found in intake.results:
        assert found.status == model.status
        _agree(parts[found.path], found, seen)
    for refused in intake.not_assessed:
        if refused.code in _SAID_WHY:
            assert _SAID_WHY[refused.code](model)
        else:
            assert refused.code in ("data-absent", "no-value", "group", "unsupported-value"), refused
            assert _without_value(parts[refused.path])
    seen["compared"] += 1


def _differ(files: list[Path]) -> dict[str, int]:
    seen = dict.fromkeys(("compared", "refused", "quantity", "concept", "string", "integer", "boolean", "limit"), 0)
    for file in files:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        for raw in _observations(json.loads(data.decode("utf-8-sig"), parse_float="\ue000{}\ue000".format)):
            try:
                _compare(raw, seen)
            except AssertionError as error:
                raise AssertionError(f"{file.name}: {raw.get('id')}") from error
    return seen


@pytest.mark.parametrize(
    ("folder", "least"),
    [
        ("fhir-r4-examples", {"compared": 550, "quantity": 450, "limit": 800}),
        ("us-core-examples", {"compared": 70, "concept": 40}),
        ("au-fhir-test-data", {"compared": 120, "quantity": 60}),
    ],
)
def test_fast_agrees_with_strict_on_official_examples(folder: str, least: dict[str, int], shared_data: Path) -> None:
    seen = _differ(sorted((shared_data / folder).rglob("*.json")))
    assert all(seen[name] >= number for name, number in least.items()), seen


def test_fast_agrees_with_strict_on_whole_synthetic_records(shared_data: Path) -> None:
    seen = _differ(sorted((shared_data / "synthea-r4").glob("*.gz")))
    assert seen["compared"] > 900, seen


def test_what_strict_accepts_fast_accepts(shared_data: Path) -> None:
    from fhir.resources.R4B import get_fhir_model_class

    accepted = 0
    for file in sorted((shared_data / "fhir-r4-examples").glob("*.json")):
        data = file.read_bytes()
        document = json.loads(data)
        if document.get("resourceType") not in ("Bundle", "Observation", "DiagnosticReport"):
            continue
        with uncollected():
            try:
                get_fhir_model_class(document["resourceType"]).model_validate(document)
            except (ValidationError, ValueError):
                continue
        try:
            intake = read(data, limits=Limits(max_bytes=1 << 26))
        except (NoObservations, MultiplePatients):
            continue
        assert "malformed" not in {one.code for one in intake.not_assessed}, file.name
        accepted += 1
    assert accepted > 60
