"""Joins rule and model. The model adds, raises and explains; it never clears what a rule is sure of.

- Outside the laboratory's own interval, past a critical limit, or called abnormal by the laboratory: flagged, whatever the
  model says (the safety floor).
- Where only a usual interval speaks, the calibrated model decides at its threshold for it; without a model, the rule does, and where a number
  lies further outside than any laboratory's limits would explain.
- Where the rules can't judge, a model's score makes a flag; without one, or where the model is known to guess, the result is not
  assessed.
- LL, HH and AA come from critical limits or from the laboratory, never from the model: it may raise to L, H or A.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cds_service.domain import (
    Basis,
    Code,
    Evidence,
    Finding,
    Findings,
    Flag,
    ModelInfo,
    Pattern,
    Said,
    Thresholds,
    Verdict,
    unjudged,
)
from cds_service.inference.engine import SlotScores
from fhir_adapter.errors import EngineAnswer
from fhir_adapter.model import NotAssessed, Panel, PanelResult
from fhir_adapter.prompt import LABELS

BAD_ANSWER = EngineAnswer.message
FAR, PART = 3.0, 1 / 3
"""Outside a usual or a site's interval the model may call a number normal up to so many half widths from the interval's middle, as
``PanelResult.position``, and down to this part of the low limit: where zero lies within three half widths (platelets), distance alone would
let it clear everything low. Of 2,074 limits that laboratories print (``training/known_limits.toml``) two lie further out than FAR from the
catalog's; of 898 low ones none under PART, but for 14 of zero (monocytes, eosinophils)."""
_MODEL_MAY_JUDGE = frozenset({"no-interval", "unit-unknown", "unit-mismatch", "unknown-answer", "indeterminate"})


def decide(
    panel: Panel,
    found: Findings,
    scores: Sequence[SlotScores] | None,
    *,
    thresholds: Thresholds,
    model: ModelInfo | None,
    degraded: str | None,
) -> Verdict:
    """The verdict on a panel: every result ends in exactly one flag or one not-assessed entry.

    ``scores`` that aren't probabilities of this panel's results are ignored as a whole, and ``degraded`` says so.
    """
    if scores is not None and not _sound(scores, panel):
        scores, model, degraded = None, None, BAD_ANSWER
    by_slot = {score.slot: score for score in scores or ()}
    flags: list[Flag] = []
    not_assessed: list[NotAssessed] = list(panel.not_assessed)
    where: dict[int, int] = {}
    for finding in found.results:
        placed = panel.results[finding.index]
        judged = _judge(placed, finding, by_slot.get(finding.index), thresholds.of(placed))
        if isinstance(judged, Flag):
            where[finding.index] = len(flags)
            flags.append(judged)
        else:
            not_assessed.append(judged)
    patterns = [
        _pointing(pattern, where) for pattern in found.patterns if all(index in where for index in pattern.indices)
    ]
    return Verdict(
        tuple(flags),
        tuple(not_assessed),
        _still_true(patterns, flags),
        degraded,
        model,
        derived=found.derived,
    )


def _pointing(pattern: Pattern, where: Mapping[int, int]) -> Pattern:
    """The pattern with its indices into the flags; evidence that was not assessed is left out."""

    def kept(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
        return tuple(
            one if one.index is None else replace(one, index=where[one.index])
            for one in evidence
            if one.index is None or one.index in where
        )

    return replace(
        pattern,
        indices=tuple(where[index] for index in pattern.indices),
        speaks_for=kept(pattern.speaks_for),
        speaks_against=kept(pattern.speaks_against),
    )


def _still_true(patterns: Sequence[Pattern], flags: Sequence[Flag]) -> tuple[Pattern, ...]:
    """Leaves out a pattern of which the model has cleared members and no abnormal one is left. A pattern whose members are all
    inside their intervals stands: a creatinine can rise by KDIGO's step and still be normal."""
    return tuple(
        pattern
        for pattern in patterns
        if any(flags[index].abnormal for index in pattern.indices)
        or not any(basis.kind == "model" for index in pattern.indices for basis in flags[index].basis)
    )


def _asked(panel: Panel) -> set[int]:
    """The results that the model is asked about: all but the descriptive ones, as :func:`fhir_adapter.prompt.render`."""
    return {
        index for index, placed in enumerate(panel.results) if placed.analyte is None or not placed.analyte.descriptive
    }


def _sound(scores: Sequence[SlotScores], panel: Panel) -> bool:
    """Whether the scores are probabilities, one set for each result that was asked about, and none for any other."""
    slots: set[int] = set()
    for score in scores:
        numbers = score.probabilities
        if score.slot in slots or len(numbers) != len(LABELS):
            return False
        if any(not math.isfinite(number) or number < -1e-6 for number in numbers) or abs(sum(numbers) - 1) > 1e-3:
            return False
        slots.add(score.slot)
    return slots == _asked(panel)


def _judge(
    placed: PanelResult, finding: Finding, score: SlotScores | None, threshold: float | None
) -> Flag | NotAssessed:
    code = finding.code
    if score is None or threshold is None:
        if code is None:
            return finding.not_assessed or unjudged(placed, "no-interval")
        return Flag(placed, code, "rule", finding.basis)
    probability = min(1.0, max(0.0, score.abnormal))
    flagged = probability >= threshold
    if code is None:
        reason = finding.not_assessed or unjudged(placed, "no-interval")
        if reason.code not in _MODEL_MAY_JUDGE:
            return reason
        chosen: Code = _direction(placed, score) if flagged else "N"
        return Flag(placed, chosen, "model", (*finding.basis, _basis(probability)), probability)
    if finding.floor:
        return Flag(placed, code, "both" if flagged else "rule", finding.basis, probability)
    if code == "N":
        if not flagged:
            return Flag(placed, "N", "both", finding.basis, probability)
        return Flag(placed, _direction(placed, score), "model", (*finding.basis, _basis(probability)), probability)
    if flagged:
        return Flag(placed, code, "both", finding.basis, probability)
    if _far(placed):
        return Flag(placed, code, "rule", finding.basis, probability)
    return Flag(placed, "N", "model", (*finding.basis, _basis(probability)), probability)


def _far(placed: PanelResult) -> bool:
    """Whether a number lies further outside its interval than laboratories' limits differ."""
    if placed.number is None or placed.position is None or placed.interval is None:
        return False
    low = placed.interval.low
    return abs(placed.position) > FAR or (low is not None and low > 0 and placed.number < low * PART)


def _basis(probability: float) -> Basis:
    return Basis("model", Said("model", {"probability": f"{100 * probability:.0f} %"}))


def _direction(placed: PanelResult, score: SlotScores) -> Code:
    """L, H or A: the most probable, not against the side on which the value lies where that is known."""
    weight = dict(zip(LABELS, score.probabilities, strict=True))
    low, high, other = weight["L"] + weight["LL"], weight["H"] + weight["HH"], weight["A"] + weight["AA"]
    if placed.number is None:
        return "A"
    if placed.position is not None and placed.position:
        return "H" if placed.position > 0 else "L"
    if other >= max(low, high):
        return "A"
    return "H" if high >= low else "L"
