"""The request for labels and the reading of its answer, without a server."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.inference.completions import Labels, body, labels_of, read
from cds_service.inference.slots import label_ids
from fhir_adapter.errors import EngineAnswer
from fhir_adapter.prompt import LABELS
from tests.cds_service.inference.conftest import byte_level_tokenizer, sentencepiece_like_tokenizer

IDS = (11, 12, 13, 14, 15, 16, 17)
SEVEN = Labels(IDS, {" N": 11})
PROMPTS = [[1, 2, 3]]


def answer(top: dict[str, Any], **given: Any) -> bytes:
    choice = {"index": 0, "text": " N", "logprobs": {"top_logprobs": [top]}}
    return json.dumps({"model": "m", "choices": [choice], **given}).encode()


def said(top: dict[str, Any], temperature: float = 1.0, **given: Any) -> tuple[float, ...]:
    [found] = read(answer(top, **given), model="m", prompts=PROMPTS, labels=SEVEN, temperature=temperature)
    return found


def test_normalized_over_the_labels_with_the_temperature() -> None:
    logits = [2.0, 1.0, 0.5, -1.0, -2.0, 0.0, 3.0]
    shift = 9.0
    top = {f"token_id:{token}": logit - shift for token, logit in zip(IDS, logits, strict=True)}
    for temperature in (0.5, 1.0, 2.5):
        weights = [math.exp(logit / temperature) for logit in logits]
        expected = [weight / sum(weights) for weight in weights]
        assert said(top, temperature) == pytest.approx(expected)


def test_a_label_that_is_left_out_and_can_not_matter_counts_as_nothing() -> None:
    top = {"token_id:11": -0.01, "token_id:12": -5.0, "token_id:900": -9.0}
    found = said(top)
    assert found[0] == pytest.approx(1 / (1 + math.exp(-4.99)))
    assert found[2:] == (0.0,) * 5
    assert sum(found) == pytest.approx(1)


def test_a_label_that_is_left_out_and_may_matter_is_refused() -> None:
    """Five labels may each be as likely as the last that came."""
    with pytest.raises(EngineAnswer):
        said({"token_id:11": -0.01, "token_id:12": -5.0, "token_id:900": -6.0})
    with pytest.raises(EngineAnswer):
        said({"token_id:11": -0.01})


def test_with_a_temperature_what_is_left_out_weighs_more() -> None:
    top = {"token_id:11": -0.01, "token_id:12": -5.0, "token_id:900": -9.0}
    with pytest.raises(EngineAnswer):
        said(top, temperature=3.0)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"model": "m"}',
        b'{"model": "m", "choices": {}}',
        b'{"model": "m", "choices": [null]}',
        b'{"model": "m", "choices": [{"index": true, "logprobs": {"top_logprobs": [{"token_id:11": 0}]}}]}',
        b'{"model": "m", "choices": [{"index": 1}]}',
        b'{"model": "m", "choices": [{"index": 0, "logprobs": {"top_logprobs": []}}]}',
        b'{"model": "m", "choices": [{"index": 0, "logprobs": {"top_logprobs": [null]}}]}',
        b'{"model": "m", "choices": [{"index": 0, "logprobs": {"top_logprobs": [{"token_id:11": NaN}]}}]}',
        b'{"model": "m", "choices": [{"index": 0, "logprobs": {"top_logprobs": [{"token_id:11": true}]}}]}',
        b'{"model": "m", "choices": [{"index": 0, "logprobs": {"top_logprobs": [{"token_id:11": null}]}}]}',
    ],
)
def test_what_is_no_answer(raw: bytes) -> None:
    with pytest.raises(EngineAnswer):
        read(raw, model="m", prompts=PROMPTS, labels=SEVEN, temperature=1.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@given(top=st.dictionaries(st.sampled_from([f"token_id:{n}" for n in (*IDS, 5)] + [" N", "x"]), JSON), choice=JSON)
def test_whatever_comes_it_is_probabilities_or_refused(top: dict[str, Any], choice: Any) -> None:
    for raw in (answer(top), json.dumps({"model": "m", "choices": [choice]}).encode()):
        try:
            [found] = read(raw, model="m", prompts=PROMPTS, labels=SEVEN, temperature=1.0)
        except EngineAnswer:
            continue
        assert len(found) == len(LABELS)
        assert all(0 <= number <= 1 for number in found)
        assert sum(found) == pytest.approx(1)


def test_tokens_as_texts_only_where_one_token_alone_can_be_meant() -> None:
    """ " N" and "N" are two tokens of such a vocabulary: "N" then says neither."""
    tokenizer = byte_level_tokenizer()
    ids = label_ids(tokenizer)
    labels = labels_of(tokenizer, ids)
    assert labels.texts[" N"] == ids[0]
    assert labels.texts["ĠN"] == ids[0]
    assert "N" not in labels.texts
    assert labels.texts[" LL"] == ids[LABELS.index("LL")]
    piece = sentencepiece_like_tokenizer()
    assert labels_of(piece, label_ids(piece)).texts["▁N"] == label_ids(piece)[0]


def test_the_two_dialects() -> None:
    vllm = json.loads(body("m", [[1], [1, 2]], SEVEN, "vllm"))
    assert vllm["prompt"] == [[1], [1, 2]]
    assert vllm["logprob_token_ids"] == vllm["allowed_token_ids"] == list(IDS)
    plain = json.loads(body("m", [[1]], SEVEN, "openai"))
    assert plain["logit_bias"] == {str(token): 100 for token in IDS}
    assert plain["logprobs"] == 5
