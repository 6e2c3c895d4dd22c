"""The newest result against the earlier ones: change from the last, direction over three and more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cds_service.clinical.show import unit_text
from cds_service.domain import Basis, Said
from fhir_adapter.model import PanelResult, Quantity

MIN_CHANGE = 0.2
"""Relative change from the prior result that is worth a line."""


def bases(placed: PanelResult) -> tuple[Basis, ...]:
    """Delta and trend of the newest result of its kind; nothing for older ones."""
    if not placed.newest or placed.number is None or not placed.priors or placed.implausible:
        return ()
    value = placed.result.value
    if isinstance(value, Quantity) and value.comparator is not None:
        return ()  # a bound has no distance to anything
    found = []
    last = placed.priors[0]
    change = placed.number - last.number
    if last.number and abs(change / last.number) >= MIN_CHANGE:
        params = {
            "change": f"{change:+.4g} {unit_text(placed)}".strip(),
            "percent": f"{100 * change / abs(last.number):+.0f} %",
            "from": f"{last.number:.5g}",
            "time": _since(placed, 0),
        }
        found.append(Basis("delta", Said("delta", params)))
    numbers = [placed.number, *(prior.number for prior in placed.priors)]
    if (run := _run(numbers)) and placed.number != numbers[run - 1]:
        key = "trend-up" if placed.number > numbers[run - 1] else "trend-down"
        series = " → ".join(f"{number:.5g}" for number in reversed(numbers[:run]))
        found.append(Basis("trend", Said(key, {"count": str(run), "series": series, "time": _since(placed, run - 2)})))
    return tuple(found)


def _run(newest_first: Sequence[float]) -> int:
    """Length of the strictly rising or falling run that ends in the newest; 0 below three."""
    length = 1
    direction = 0
    for newer, older in pairwise(newest_first):
        step = (newer > older) - (newer < older)
        if step == 0 or (direction and step != direction):
            break
        direction = step
        length += 1
    return length if length >= 3 else 0


def _since(placed: PanelResult, prior: int) -> str:
    """Time between a prior and the result: "36 h", "5 d"."""
    if placed.result.effective is None:
        return ""
    hours = (placed.result.effective - placed.priors[prior].effective).total_seconds() / 3600
    if hours < 1:
        return f"{max(1, round(hours * 60))} min"
    return f"{round(hours)} h" if hours <= 72 else f"{round(hours / 24)} d"
