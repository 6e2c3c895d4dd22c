"""The newest result against the earlier ones: change from the last, direction over three and more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from cds_service.clinical import delta
from cds_service.clinical.show import time_text
from cds_service.domain import Basis, Said
from fhir_adapter.model import PanelResult, Quantity


def bases(placed: PanelResult) -> tuple[Basis, ...]:
    """Delta and trend of the newest result of its kind; nothing for older ones."""
    if not placed.newest or placed.number is None or not placed.priors or placed.implausible:
        return ()
    value = placed.result.value
    if isinstance(value, Quantity) and value.comparator is not None:
        return ()  # a bound has no distance to anything
    found = [] if (change := delta.basis(placed)) is None else [change]
    numbers = [placed.number, *(prior.number for prior in placed.priors)]
    if (run := _run(numbers)) and placed.number != numbers[run - 1]:
        key = "trend-up" if placed.number > numbers[run - 1] else "trend-down"
        series = " → ".join(f"{number:.5g}" for number in reversed(numbers[:run]))
        found.append(
            Basis(
                "trend",
                Said(
                    key,
                    {
                        "count": str(run),
                        "series": series,
                        "time": time_text(placed.result.effective, placed.priors[run - 2].effective),
                    },
                ),
            )
        )
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
