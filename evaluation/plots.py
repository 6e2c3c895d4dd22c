"""Plots of the report as inline SVG, drawn in the page's own text colour so that they fit light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from evaluation.metrics import JUDGES
from evaluation.records import Record, Timing

INK = "#123456"
"""Stands for the page's text colour until the SVG is written."""
BLUE, ORANGE, GREEN = "#3b82f6", "#f97316", "#10b981"


def _figure(width: float = 5.2, height: float = 3.6) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 10,
            "svg.hashsalt": "labcue",
            **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    )
    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    return figure, axes


def _svg(figure: Any, label: str) -> str:
    from matplotlib import pyplot

    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    # Each plot's ids are its own: several stand in one page.
    prefix = re.sub(r"\W+", "-", label.lower())
    text = re.sub(r'(id="|href="#|url\(#)', lambda match: match[1] + prefix + "-", text)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def precision_recall(records: Sequence[Record]) -> str:
    """Precision over recall of the model for each case, with the operating point."""
    from sklearn.metrics import precision_recall_curve

    figure, axes = _figure()
    for case, colour in (("given", GREEN), ("site", BLUE), ("usual", ORANGE)):
        scored = [one for one in records if one.case == case and one.probability is not None]
        if not scored or not any(one.truth for one in scored):
            continue
        truth = np.array([one.truth for one in scored])
        p = np.array([one.probability for one in scored])
        precision, recall, _ = precision_recall_curve(truth, p)
        axes.plot(recall, precision, color=colour, label=f"interval {case}", linewidth=1.6)
        flagged = np.array([bool(one.model) for one in scored])
        if flagged.any():
            axes.plot([(flagged & truth).sum() / truth.sum()], [truth[flagged].mean()], "o", color=colour, markersize=7)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0.5, 1.005), ylim=(0.5, 1.005))
    axes.legend(frameon=False, loc="lower left", title="● at its threshold")
    return _svg(figure, "Precision over recall of the model")


def reliability(records: Sequence[Record]) -> str:
    """How often a result is abnormal where the model says p, in ten bins of equal size, withheld cases."""
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for case, colour in (("site", BLUE), ("usual", ORANGE)):
        scored = sorted(
            (one.probability, one.truth) for one in records if one.case == case and one.probability is not None
        )
        if len(scored) < 50:
            continue
        parts = np.array_split(np.array(scored, dtype=float), 15)
        axes.plot([part[:, 0].mean() for part in parts], [part[:, 1].mean() for part in parts], "o-", color=colour, label=f"interval {case}", markersize=4, linewidth=1)  # fmt: skip
    axes.set(xlabel="probability said", ylabel="share abnormal", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(frameon=False, loc="upper left")
    return _svg(figure, "Reliability of the model's probability")


def recall_by_test(records: Sequence[Record], case: str, least: int = 15, most: int = 24) -> str:
    """Recall of what is served for the tests with the lowest, of those with enough abnormal results."""
    found = []
    for test in {one.test for one in records}:
        abnormal = [one for one in records if one.test == test and one.case == case and one.truth]
        if len(abnormal) >= least:
            found.append((sum(bool(one.served) for one in abnormal) / len(abnormal), test, len(abnormal)))
    found.sort(reverse=True)
    found = found[-most:]
    figure, axes = _figure(height=max(2.0, 0.22 * len(found) + 0.8))
    names = [f"{test[:30]} ({count})" for _, test, count in found]
    axes.barh(names, [recall for recall, _, _ in found], color=[ORANGE if r < 0.9 else BLUE for r, _, _ in found])
    axes.axvline(0.9, color=INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel="recall (abnormal results)", xlim=(0, 1))
    return _svg(figure, f"Recall by test, interval {case}")


def confusion_by_test(records: Sequence[Record], case: str, most: int = 20) -> str:
    """Missed and wrongly flagged results of the tests with the most of them."""
    wrong: dict[str, list[int]] = {}
    for one in records:
        if one.case == case and bool(one.served) != one.truth:
            wrong.setdefault(one.test, [0, 0])[0 if one.truth else 1] += 1
    worst = sorted(wrong.items(), key=lambda item: sum(item[1]))[-most:]
    figure, axes = _figure(height=max(2.0, 0.22 * len(worst) + 0.8))
    names = [test[:34] for test, _ in worst]
    axes.barh(names, [counts[0] for _, counts in worst], color=ORANGE, label="missed")
    axes.barh(
        names,
        [counts[1] for _, counts in worst],
        left=[counts[0] for _, counts in worst],
        color=BLUE,
        label="flagged, normal",
    )
    axes.set(xlabel="results")
    if worst:
        axes.legend(frameon=False, loc="lower right")
    return _svg(figure, f"Errors by test, interval {case}")


def latency(timings: Sequence[Timing]) -> str:
    """Milliseconds a bundle over the number of its results."""
    figure, axes = _figure()
    axes.plot([one.results for one in timings], [one.steps["total"] for one in timings], ".", color=BLUE, markersize=4)
    axes.set(xlabel="results in the bundle", ylabel="milliseconds", yscale="log")
    return _svg(figure, "Latency by size of the bundle")


def comparison(table: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Precision and recall of each judge in each case, with their intervals."""
    figure, axes = _figure(height=3.0)
    colours = dict(zip(JUDGES, (INK, ORANGE, BLUE), strict=True))
    rows: list[str] = []
    for case, judges in table.items():
        for judge, one in judges.items():
            if one["precision"] is None or one["recall"] is None:
                continue
            rows.append(f"{case}: {judge}")
            y = len(rows) - 1
            for value, limits, marker, shift in (
                (one["precision"], one.get("precision_95"), "s", 0.14),
                (one["recall"], one.get("recall_95"), "o", -0.14),
            ):
                if limits:
                    axes.plot(limits, [y + shift] * 2, color=colours[judge], linewidth=1.4)
                axes.plot([value], [y + shift], marker, color=colours[judge], markersize=5)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.axvline(0.85, color=INK, linewidth=0.6, linestyle=":")
    axes.axvline(0.90, color=INK, linewidth=0.6, linestyle=":")
    axes.set(xlabel="■ precision   ● recall   (dotted: the targets 0.85 and 0.90)")
    return _svg(figure, "Precision and recall of each judge")
