"""Finding slots and labels with three kinds of tokenizers, and refusing those that don't fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from cds_service.inference.slots import label_ids, slot_tokens
from fhir_adapter.errors import ConfigError, EngineError
from fhir_adapter.model import Panel, PanelResult, Patient, Quantity, Result
from fhir_adapter.prompt import LABELS, PROMPT_VERSION, SLOT, Prompt, Slot, render
from tests.cds_service.inference.conftest import (
    byte_level_tokenizer,
    make_panel,
    sentencepiece_like_tokenizer,
    word_level_tokenizer,
)

KINDS = [byte_level_tokenizer, word_level_tokenizer, sentencepiece_like_tokenizer]
BYTES = byte_level_tokenizer()


@pytest.mark.parametrize("kind", KINDS)
def test_each_slot_ends_in_its_own_token(kind: Callable[[], Tokenizer]) -> None:
    tokenizer = kind()
    prompt = render(make_panel(12))
    encoding = tokenizer.encode(prompt.text)
    found = slot_tokens(prompt, encoding.offsets)
    assert [encoding.offsets[token][1] for token in found] == [slot.end for slot in prompt.slots]
    assert found == sorted(set(found))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_slot_token_sees_does_not_depend_on_what_follows(kind: Callable[[], Tokenizer]) -> None:
    """Cutting the text after a slot leaves the tokens before it: a prompt can be split anywhere."""
    tokenizer = kind()
    prompt = render(make_panel(5))
    encoding = tokenizer.encode(prompt.text)
    for slot, token in zip(prompt.slots, slot_tokens(prompt, encoding.offsets), strict=True):
        assert tokenizer.encode(prompt.text[: slot.end]).ids == encoding.ids[: token + 1]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
@settings(deadline=None)
def test_slots_are_found_whatever_the_names(names: list[str]) -> None:
    results = tuple(PanelResult(Result("", "", (), name, Quantity(1.0)), display=name, number=1.0) for name in names)
    prompt = render(Panel(Patient(), results, (), len(results)))
    encoding = BYTES.encode(prompt.text)
    found = slot_tokens(prompt, encoding.offsets)
    assert [encoding.offsets[token][1] for token in found] == [slot.end for slot in prompt.slots]


def test_a_token_may_take_the_line_end_along() -> None:
    prompt = Prompt(f"a{SLOT}\nb{SLOT}\n", (Slot(0, 4), Slot(1, 9)), PROMPT_VERSION)
    assert slot_tokens(prompt, [(0, 0), (0, 1), (1, 5), (5, 6), (6, 10)]) == [2, 4]


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ([(0, 0), (0, 1)], "lost a slot"),
        ([], "lost a slot"),
        ([(0, 1), (1, 6), (6, 9)], "joins a slot"),
        ([(0, 1), (4, 6)], "joins a slot"),
    ],
)
def test_tokens_that_do_not_end_with_the_slot_are_an_error(offsets: list[tuple[int, int]], said: str) -> None:
    prompt = Prompt(f"a{SLOT}\nb{SLOT}\n", (Slot(0, 4), Slot(1, 9)), PROMPT_VERSION)
    with pytest.raises(EngineError, match=said):
        slot_tokens(prompt, offsets)


@pytest.mark.parametrize("kind", KINDS)
def test_each_label_is_one_token_of_its_own(kind: Callable[[], Tokenizer]) -> None:
    tokenizer = kind()
    ids = label_ids(tokenizer)
    assert len(set(ids)) == len(LABELS)
    for label, token in zip(LABELS, ids, strict=True):
        before = tokenizer.encode(f"Sodium: 4{SLOT}", add_special_tokens=False).ids
        assert tokenizer.encode(f"Sodium: 4{SLOT} {label}", add_special_tokens=False).ids == [*before, token]


def test_labels_in_pieces_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        label_ids(byte_level_tokenizer(vocab_size=262))
    text = str(caught.value)
    assert "tokenizer.json: " in text
    for label in ("LL", "HH", "AA"):
        assert f"the label {label} is not one token after a slot" in text
    assert len(caught.value.violations) >= 3


def test_an_unknown_word_is_no_label() -> None:
    tokenizer = word_level_tokenizer()
    vocabulary = tokenizer.get_vocab()
    del vocabulary["AA"]
    from tokenizers import models

    tokenizer.model = models.WordLevel(vocabulary, unk_token="<unk>")
    with pytest.raises(ConfigError, match="no entry for the label AA"):
        label_ids(tokenizer)


def test_the_manifest_may_name_other_tokens() -> None:
    tokenizer = byte_level_tokenizer(vocab_size=262)
    tokenizer.add_special_tokens([AddedToken(f"<{label}>", special=True) for label in LABELS])
    named = {label: f"<{label}>" for label in LABELS}
    assert label_ids(tokenizer, named) == tuple(tokenizer.token_to_id(f"<{label}>") for label in LABELS)
    with pytest.raises(ConfigError, match="the labels HH and AA are the same token"):
        label_ids(tokenizer, {**named, "AA": "<HH>"})
    with pytest.raises(ConfigError, match="no entry for AA"):
        label_ids(tokenizer, {**named, "AA": "<none>"})
