"""Answers in words: what the analyte, the laboratory's interval or the general words say of them."""

from __future__ import annotations

from typing import Literal

from fhir_adapter.catalog.answers import classify
from fhir_adapter.folding import fold
from fhir_adapter.model import Answer, PanelResult

Meaning = Literal["normal", "abnormal", "descriptive"]
By = Literal["analyte", "laboratory", "words"]


def judge(placed: PanelResult, answer: Answer) -> tuple[Meaning, By] | None:
    """Whether an answer is normal, and who says so: the analyte's own answers first, then the answers that the
    laboratory's interval calls normal, then what the words say by themselves. None where nobody knows."""
    folded = fold(answer.text)
    analyte = placed.analyte
    if analyte is not None:
        if analyte.descriptive:
            return "descriptive", "analyte"
        if folded in analyte.abnormal_answers:
            return "abnormal", "analyte"
        if folded in analyte.normal_answers:
            return "normal", "analyte"
    said = classify(answer.text, answer.codings)
    if placed.expected:
        if folded in {fold(expected) for expected in placed.expected}:
            return "normal", "laboratory"
        normal_expected = any(classify(expected) == "normal" for expected in placed.expected)
        if said == "abnormal" and normal_expected:
            return "abnormal", "laboratory"
        if said == "normal" and normal_expected:
            return "normal", "laboratory"
    return None if said is None else (said, "words")
