"""Whatever comes in: an Intake in which everything ends once, or an InvalidInput. Never anything else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_adapter.errors import NOT_ASSESSED_CODES, InvalidInput, InvalidResource
from fhir_adapter.read import Limits, read
from tests.bundles import Json, observation

SECRET = "Roe-7731"
K = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1, note=[{"text": SECRET}])
PART: Json = {"code": {"text": "part"}, "valueString": "11-20", "interpretation": [{"text": "High"}]}
GROUP: Json = {
    "resourceType": "Observation",
    "id": "g",
    "meta": {"versionId": "1", "lastUpdated": "2024-01-01T00:00:00Z"},
    "status": "final",
    "category": [{"coding": [{"code": "laboratory"}]}],
    "code": {"text": "group"},
    "subject": {"reference": "#me", "identifier": {"system": "urn:x", "value": SECRET}},
    "contained": [
        {"resourceType": "Patient", "id": "me", "gender": "male", "name": [{"family": SECRET}]},
        K | {"id": "in", "subject": {"reference": "#me"}},
        {"resourceType": "Specimen", "id": "s", "type": {"text": "Serum"}},
    ],
    "effectivePeriod": {"start": "2024-01-01", "end": "2024-01-02"},
    "specimen": {"reference": "#s"},
    "hasMember": [{"reference": "Observation/k"}],
    "component": [
        PART,
        PART | {"valueString": "1:160"},
        {
            "code": {"text": "r"},
            "valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 8}},
            "referenceRange": [
                {"low": {"value": 1}, "age": {"low": {"value": 1, "unit": "a"}}, "appliesTo": [{"text": "x"}]}
            ],
        },
        {"code": {"text": "d"}, "dataAbsentReason": {"coding": [{"code": "error"}]}},
    ],
}
WHOLE: Json = {
    "resourceType": "Bundle",
    "type": "history",
    "entry": [
        {"fullUrl": "http://h/Observation/g/_history/1", "resource": GROUP},
        {
            "search": {"mode": "match"},
            "resource": {
                "resourceType": "Bundle",
                "type": "collection",
                "entry": [{"resource": GROUP | {"id": "h"}}, {"resource": {"resourceType": "Patient", "id": "p"}}],
            },
        },
        {"resource": {"resourceType": "DiagnosticReport", "contained": [PART | {"resourceType": "Observation"}]}},
    ],
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["Observation", "Bundle", "Patient", "#me", "Patient/1", "urn:uuid:x", "final", "corrected", "<", "ad"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=8)
            | st.sampled_from(
                [
                    "resourceType",
                    "entry",
                    "resource",
                    "contained",
                    "component",
                    "value",
                    "valueQuantity",
                    "code",
                    "coding",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


def _check(data: bytes, **more: Any) -> bool:
    """Whether it was read; asserts what holds either way."""
    refused: InvalidInput | None = None
    try:
        intake = read(data, **more)
    except InvalidInput as error:
        refused = error
    if refused is not None:
        assert SECRET not in f"{refused}{refused.violations}"
        assert refused.violations
        return False
    ends = [one.path for one in intake.results] + [one.path for one in intake.not_assessed]
    assert len(ends) == intake.observations
    assert len(set(ends)) == len(ends)
    for one in intake.not_assessed:
        assert one.code in NOT_ASSESSED_CODES
        assert SECRET not in one.path
    for result in intake.results:
        assert result.path.startswith(("Bundle", "Observation", "DiagnosticReport"))
    return True


def _places(node: Any) -> list[tuple[Any, Any]]:
    items = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
    return [(node, key) for key, _ in items] + [place for _, value in items for place in _places(value)]


def test_the_seed_is_valid() -> None:
    intake = read(json.dumps(WHOLE).encode())
    assert intake.observations == 13
    assert len(intake.results) == 9


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_a_bundle_with_elements_replaced_moved_or_taken_out(data: st.DataObject) -> None:
    whole = copy.deepcopy(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        places = _places(whole)
        if not places:
            break
        node, key = data.draw(st.sampled_from(places))
        what = data.draw(st.sampled_from(["replace", "take out", "move", "repeat"]))
        if what == "replace":
            node[key] = data.draw(json_values)
        elif what == "take out":
            del node[key]
        elif what == "move":
            there, name = data.draw(st.sampled_from(places))
            node[key] = copy.deepcopy(there[name])
        elif isinstance(node, list):
            node.append(copy.deepcopy(node[key]))
    _check(json.dumps(whole).encode())


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_any_json(value: Any) -> None:
    _check(json.dumps(value).encode())
    _check(json.dumps({"resourceType": "Bundle", "entry": [{"resource": value}, {"resource": K}]}).encode())
    _check(json.dumps(K | {"valueQuantity": value}).encode())
    _check(json.dumps(K | {"component": value, "contained": [value]}).encode())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_bytes_cut_changed_or_put_in(data: st.DataObject) -> None:
    whole = json.dumps(WHOLE).encode()
    at = data.draw(st.integers(0, len(whole)))
    junk = data.draw(st.binary(max_size=12) | st.sampled_from([b"{", b"}", b"[", b'"', b"\\", b",", b"null", b"1e400"]))
    cut = data.draw(st.integers(0, 40))
    _check(whole[:at] + junk + whole[at + cut :])
    _check(whole[:at])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    _check(data)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_strict_raises_nothing_else_either(data: st.DataObject) -> None:
    whole = copy.deepcopy(WHOLE)
    node, key = data.draw(st.sampled_from(_places(whole)))
    node[key] = data.draw(json_values)
    _check(json.dumps(whole).encode(), validation="strict")


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b'"valueQuantity": {"value": 9}', None),
        (b'"valueQuantity": 9', "malformed"),
        (b'"status": 9', "malformed"),
        (b'"subject": {"reference": "Patient/q"}', None),
        (b'"component": [{}]', None),
    ],
)
def test_an_element_sent_twice(first: bytes, code: str | None) -> None:
    """Fast, the last one counts unless the first has a wrong type, as in every JSON reader; strict refuses both."""
    last = json.dumps(K | {"component": [PART]}).encode()
    data = b"{" + first + b", " + last[1:]
    intake = read(data)
    assert [one.code for one in intake.not_assessed] == ([code] * 2 if code else [])
    assert len(intake.results) == (0 if code else 2)
    assert not _check(data, validation="strict")
    with pytest.raises(InvalidResource):
        read(data, validation="strict")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 2_000_000,
        b"[" * 1_000_000 + b"]" * 1_000_000,
        b'{"a":' * 500_000,
        b'{"resourceType":"Bundle","entry":[{"resource":' * 10_000 + b"{}" + b"}]}" * 10_000,
        b'{"resourceType":"Observation","contained":[' * 10_000 + b"]}" * 10_000,
        b'"' * 4_000_000,
        b"\\" * 4_000_000,
        b'{"resourceType":"Observation","status":"' + b"\\n" * 1_900_000 + b'"}',
        b'{"resourceType":"Observation","x":"' + b"[{" * 1_900_000 + b'"}',
        b'{"resourceType":"Observation","status":"final","valueInteger":' + b"1" * 4_000_000 + b"}",
        b'{"resourceType":"Observation","status":"final","valueString":"' + b"1-" * 1_900_000 + b'"}',
        b'{"resourceType":"Bundle","entry":[' + b"{}," * 1_300_000 + b"{}]}",
        b'{"resourceType":"Bundle","entry":[' + b"3," * 2_000_000 + b"3]}",
        b" " * 50_000_000,
    ],
    ids=range(14),
)
@pytest.mark.timeout(20)
def test_what_is_made_to_hurt_ends_soon(data: bytes) -> None:
    _check(data)


def test_references_that_go_in_circles() -> None:
    one = K | {"hasMember": [{"reference": "Observation/k"}], "derivedFrom": [{"reference": "#k"}], "contained": [K]}
    assert _check(json.dumps(one).encode())
    circle = K | {"subject": {"reference": "#k"}, "specimen": {"reference": "#k"}, "contained": [K]}
    assert _check(json.dumps(circle).encode())


def test_two_thousand_observations_and_one_more() -> None:
    many = [{"resource": K | {"id": str(number)}} for number in range(2001)]
    assert not _check(json.dumps({"resourceType": "Bundle", "entry": many}).encode())
    assert _check(json.dumps({"resourceType": "Bundle", "entry": many[:2000]}).encode())


@pytest.mark.parametrize("validation", ["fast", "strict"])
def test_every_strange_file(validation: str, shared_data: Path) -> None:
    files = sorted((shared_data / "fhir-validator-cases").glob("*.json"))
    limits = Limits(max_bytes=1 << 26)
    taken = [file.name for file in files if _check(file.read_bytes(), validation=validation, limits=limits)]
    assert len(files) > 80
    assert len(taken) > (40 if validation == "fast" else 10)
