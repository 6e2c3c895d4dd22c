"""Figures of a judge against the truth. What wasn't judged counts as not flagged: it is missed where it was abnormal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from evaluation.records import Record

Judge = Callable[[Record], bool | None]
JUDGES: dict[str, Judge] = {
    "rule alone": lambda record: record.rule,
    "model alone": lambda record: record.model,
    "served": lambda record: record.served,
}
"""The interval rule without a model; the model at its threshold; rule and model as the service joins them."""
RESAMPLES = 1000


def figures(records: Sequence[Record], judge: Judge, *, seed: int = 1) -> dict[str, Any]:
    """Precision, recall and F1 with their 95 % intervals (bootstrap by patient), and the counts behind them."""
    by_group: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0, 0, 0])
    for record in records:
        said = judge(record)
        counts = by_group[record.group]
        counts[0] += bool(said) and record.truth
        counts[1] += bool(said) and not record.truth
        counts[2] += record.truth
        counts[3] += 1
        counts[4] += said is None
        counts[5] += record.critical
        counts[6] += record.critical and bool(said)
    table = np.array(list(by_group.values()) or [[0] * 7], dtype=float)
    total = table.sum(axis=0)
    chance = np.random.default_rng(seed)
    drawn = table[chance.integers(0, len(table), (RESAMPLES, len(table)))].sum(axis=1) if len(by_group) > 1 else None
    found: dict[str, Any] = {
        "results": int(total[3]),
        "patients": len(by_group),
        "abnormal": int(total[2]),
        "prevalence": _share(total[2], total[3]),
        "not_assessed": int(total[4]),
        "precision": _share(total[0], total[0] + total[1]),
        "recall": _share(total[0], total[2]),
        "f1": _share(2 * total[0], total[0] + total[1] + total[2]),
        "critical": int(total[5]),
        "critical_recall": _share(total[6], total[5]),
    }
    if drawn is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            found["precision_95"] = _interval(drawn[:, 0] / (drawn[:, 0] + drawn[:, 1]))
            found["recall_95"] = _interval(drawn[:, 0] / drawn[:, 2])
            found["f1_95"] = _interval(2 * drawn[:, 0] / (drawn[:, 0] + drawn[:, 1] + drawn[:, 2]))
    return found


def _share(part: float, whole: float) -> float | None:
    return None if not whole else round(float(part / whole), 5)


def _interval(drawn: Any) -> list[float] | None:
    drawn = drawn[np.isfinite(drawn)]
    return None if not len(drawn) else [round(float(x), 5) for x in np.percentile(drawn, (2.5, 97.5))]


def probabilistic(records: Sequence[Record], *, seed: int = 1, resamples: int = 100) -> dict[str, Any]:
    """AUROC, AUPRC, Brier score and calibration error (10 equal-sized bins) of the model's probability, where it gave one."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    scored = [record for record in records if record.probability is not None]
    truth = np.array([record.truth for record in scored], dtype=bool)
    p = np.array([record.probability for record in scored], dtype=float)
    if not len(truth) or truth.all() or not truth.any():
        return {"scored": len(scored)}
    groups: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(scored):
        groups[record.group].append(index)
    members = [np.array(indices) for indices in groups.values()]
    chance = np.random.default_rng(seed)
    drawn: list[tuple[float, float, float]] = []
    for _ in range(resamples if len(members) > 1 else 0):
        chosen = np.concatenate([members[index] for index in chance.integers(0, len(members), len(members))])
        if truth[chosen].any() and not truth[chosen].all():
            t, q = truth[chosen], p[chosen]
            drawn.append((roc_auc_score(t, q), average_precision_score(t, q), float(np.mean((q - t) ** 2))))
    spread = np.array(drawn) if drawn else np.empty((0, 3))
    return {
        "scored": len(scored),
        "auroc": round(float(roc_auc_score(truth, p)), 5),
        "auroc_95": _interval(spread[:, 0]),
        "auprc": round(float(average_precision_score(truth, p)), 5),
        "auprc_95": _interval(spread[:, 1]),
        "brier": round(float(np.mean((p - truth) ** 2)), 5),
        "brier_95": _interval(spread[:, 2]),
        "calibration_error": round(calibration_error(truth, p), 5),
    }


def calibration_error(truth: Any, p: Any, bins: int = 10) -> float:
    """Mean gap between probability and frequency over bins of equal size (adaptive ECE; Nixon et al., 2019)."""
    order = np.argsort(p, kind="stable")
    return float(
        sum(len(part) * abs(p[part].mean() - truth[part].mean()) for part in np.array_split(order, bins) if len(part))
        / len(p)
    )


def at_prevalence(precision: float | None, recall: float | None, prevalence: float, wanted: float) -> float | None:
    """The precision that the same recall and false-positive rate give where ``wanted`` of the results are abnormal."""
    if not precision or not recall or not 0 < prevalence < 1:
        return None
    false_rate = recall * prevalence * (1 - precision) / precision / (1 - prevalence)
    return round(recall * wanted / (recall * wanted + false_rate * (1 - wanted)), 5)


def band(age: float | None) -> str:
    """Age bands of the tables, in years."""
    if age is None:
        return "unknown"
    for limit, name in ((18, "under 18"), (40, "18-39"), (65, "40-64"), (80, "65-79")):
        if age < limit:
            return name
    return "80 and over"
