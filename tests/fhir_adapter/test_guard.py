"""What is checked before anything is decoded, and that what is known of it holds for its parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter.errors import LimitExceeded, NotJson
from fhir_adapter.guard import Checked, checked

JSON = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\ a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\b'), inner, max_size=3),
    max_leaves=12,
)


def nesting(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(nesting, inner), default=0)


@given(JSON)
def test_the_depth_that_is_known_is_the_depth_there_is(value: Any) -> None:
    data, deep = json.dumps(value).encode(), nesting(value)
    assert checked(data, max_bytes=10_000, max_depth=deep).depth == deep
    assert checked(data, max_bytes=10_000, max_depth=deep + 9).depth == deep
    if deep:
        with pytest.raises(LimitExceeded):
            checked(data, max_bytes=10_000, max_depth=deep - 1)


def test_what_is_known_is_not_looked_at_again_and_never_trusted_beyond_it() -> None:
    whole = checked(b'{"a":[[1]]}', max_bytes=99, max_depth=5)
    assert checked(whole, max_bytes=99, max_depth=3) is whole
    with pytest.raises(LimitExceeded):
        checked(whole, max_bytes=99, max_depth=2)
    with pytest.raises(LimitExceeded):
        checked(whole, max_bytes=5, max_depth=5)
    at_most = Checked.at(b"[[1]]", 9)  # an upper bound: past the limit it is measured
    assert checked(at_most, max_bytes=99, max_depth=2).depth == 2
    with pytest.raises(NotJson):
        checked(Checked.at(b"", 0), max_bytes=99, max_depth=2)
