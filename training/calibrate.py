"""Temperature and thresholds, fitted on the validation split after training, never on what is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.examples import Example, SlotLabel
from training.singles import lies_inside, says_abnormal

FITTED = ("lab", "site", "usual", "none", "bound", "words", "unread")
"""Grounds that get a threshold of their own: the laboratory's interval where it is shown, the others where it is withheld."""
ALONE = ("none", "unread")
"""Grounds on which no rule says anything: there a model that was never measured has no say."""
JUDGED = ("flag", "interpretation", "feedback")
ENOUGH = 100
"""Abnormal results that a group needs before its recall counts, and results before its precision does."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """``temperature`` divides the logits; at ``threshold`` and above P(abnormal) flags, at ``thresholds`` for some grounds (None: the model has no say there), and
    for a number inside its interval not under ``inside``. ``groups``: for each source and ground precision and recall at all that."""

    temperature: float
    threshold: float
    thresholds: Mapping[str, float | None]
    inside: float | None
    groups: Mapping[str, Mapping[str, float]]


def fit_temperature(logits: Any, labels: Any) -> float:
    """The temperature from 0.3 to 5 with the least log loss. ``logits`` [n, 7] and ``labels`` [n] are tensors."""
    import torch

    best, least = 1.0, float("inf")
    for step in range(57):
        temperature = 0.3 * (5 / 0.3) ** (step / 56)
        loss = float(torch.nn.functional.cross_entropy(logits / temperature, labels))
        if loss < least:
            best, least = temperature, loss
    return round(best, 3)


def fit_threshold(groups: Mapping[str, tuple[Sequence[float], Sequence[bool]]], recall: float, highest: float) -> float:
    """The highest threshold up to ``highest`` (steps of 0.01) at which every group of P(abnormal) and truth keeps ``recall``; 0.05 where
    none does. Groups with fewer than ENOUGH abnormal results don't count."""
    import numpy as np

    counted = [
        np.array([p for p, true in zip(*group, strict=True) if true])
        for group in groups.values()
        if sum(group[1]) >= ENOUGH
    ]
    for step in range(round(highest * 100), 5, -1):
        if all(float((found >= step / 100).mean()) >= recall for found in counted):
            return step / 100
    return 0.05


def calibrate(
    examples: Sequence[Example],
    logits: Any,
    labels: Any,
    *,
    recall: Mapping[str, float | None],
    worth: float,
    highest: float,
    inside: float | None = None,
) -> Fitted:
    """Fits temperature and thresholds on slots in the order of ``examples``. ``recall``: what each of FITTED has to keep, None for no say.

    The temperature leaves out abnormal answers in words that a laboratory didn't flag: training draws no lesson of them
    (:func:`training.from_mimic.told_of`), so that they would make the model doubt all else. Precision counts them.

    Where somebody's own judgement is among the labels (a laboratory's flag or interpretation, a clinician's feedback), a threshold is
    fitted on those alone: an invented laboratory's limits are as far off as the simulator was told, and no threshold makes up for that.
    A ground with too few abnormal results takes the default, the lowest threshold of the others; one of ALONE gets no say. Where the precision at the threshold
    falls under ``worth`` for any source, invented ones too, the model would cry wolf to keep its recall, or knows one hospital's habits alone:
    it gets no say there. Thresholds are fitted as they serve, beside ``inside``: what lies there and doesn't reach it is never flagged.
    """
    import torch

    slots = [(one, slot) for one in examples for slot in one.slots]
    taught = torch.tensor([not unflagged(one, slot) for one, slot in slots])
    temperature = fit_temperature(logits[taught], labels[taught])
    abnormal = 1 - torch.softmax(logits.double() / temperature, dim=-1)[:, 0]
    truth = labels != 0
    groups: dict[tuple[str, str], tuple[list[float], list[bool]]] = {}
    judged: set[tuple[str, str]] = set()
    for (one, slot), p, true in zip(slots, abnormal.tolist(), truth.tolist(), strict=True):
        if (one.case == "given") != (slot.ground == "lab"):
            continue
        key = one.source, slot.ground
        if slot.origin in JUDGED:
            judged.add(key)
        ps, trues = groups.setdefault(key, ([], []))
        ps.append(0.0 if inside is not None and p < inside and lies_inside(one, slot) else p)
        trues.append(true)
    thresholds: dict[str, float | None] = {}
    for ground in FITTED:
        there = {source: group for (source, of), group in groups.items() if of == ground and sum(group[1]) >= ENOUGH}
        real = {source: group for source, group in there.items() if (source, ground) in judged}
        wanted = recall.get(ground)
        if wanted is None or (not there and ground in ALONE):
            thresholds[ground] = None
        elif there:
            at = fit_threshold(real or there, wanted, highest)
            told = [group for (_, of), group in groups.items() if of == ground and len(group[0]) >= ENOUGH]
            flagging = [figures(*group, at)["precision"] for group in told if max(group[0]) >= at]
            thresholds[ground] = at if min(flagging, default=0.0) >= worth else None
    default = min((at for at in thresholds.values() if at is not None), default=highest)
    return Fitted(
        temperature,
        default,
        thresholds,
        inside,
        {
            f"{source}, {ground}": figures(*group, thresholds.get(ground, default) or default)
            for (source, ground), group in sorted(groups.items())
        },
    )


def unflagged(example: Example, slot: SlotLabel) -> bool:
    """Whether a laboratory left an answer unflagged that the prompt says to be abnormal."""
    return slot.label == "N" and slot.origin == "flag" and says_abnormal(example, slot)


def figures(ps: Sequence[float], trues: Sequence[bool], threshold: float) -> dict[str, float]:
    """Precision, recall and prevalence at a threshold, four decimals."""
    flagged = [p >= threshold for p in ps]
    right = sum(f and t for f, t in zip(flagged, trues, strict=True))
    return {
        "results": len(ps),
        "abnormal": round(sum(trues) / max(1, len(trues)), 4),
        "precision": round(right / max(1, sum(flagged)), 4),
        "recall": round(right / max(1, sum(trues)), 4),
    }
