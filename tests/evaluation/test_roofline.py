"""The table in the documents is what the script says, and the script counts the model as it is."""

from __future__ import annotations

from pathlib import Path

from evaluation import roofline


def test_the_document_quotes_the_script() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "inference-7b.md").read_text(encoding="utf-8")
    assert roofline.table() in page
    assert f"{roofline.PARAMETERS:,} parameters" in page
    assert f"{roofline.PROMPT:,} tokens" in page


def test_it_counts_mistral_7b() -> None:
    assert roofline.PARAMETERS == 7_241_732_096
    assert roofline.KV_BYTES == 131_072
    assert 13.4 < roofline.FORMS[0].weights / roofline.GIB < 13.5


def test_smaller_weights_never_cost_more() -> None:
    for card in roofline.CARDS:
        flags = [roofline.prefill_s(card, form) for form in roofline.FORMS]
        notes = [roofline.decode_s(card, form) for form in roofline.FORMS]
        assert flags[1] <= flags[0]
        assert flags[2] <= flags[0]
        assert notes == sorted(notes, reverse=True)
