"""One result a prompt: the same labelled results, each shown alone, as the service asks a model whose manifest says `max_results: 1`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from training.examples import Example, SlotLabel

HEADER = 3
"""Lines of a prompt before its results (docs/prompt.md)."""
RESULTS = 16
"""About as many results does a panel bring: so many single results stand for one panel in a batch."""


def shown(examples: Sequence[Example], one_result: bool) -> list[Example]:
    """The examples as a run shows them: as they are, or each result alone."""
    if not one_result:
        return list(examples)
    return [alone for example in examples for alone in singles(example)]


def singles(example: Example) -> Iterator[Example]:
    """The same results, each in a prompt of its own, with a header that tells of it alone."""
    lines = example.prompt.split("\n")
    by_line = {example.prompt.count("\n", 0, slot.end): slot for slot in example.slots}
    for number, slot in by_line.items():
        line = lines[number]
        name = line.partition(":")[0]
        listed = "1 unknown" if name.startswith('"') else name
        side = _side(line)
        out = side in ("below", "above")
        share = f"{99 if out else 0:+d}%" if side is not None else "unknown"
        counted = f"Outside their intervals: {int(out)} of {int(side is not None)}, {share}"
        prompt = "\n".join((lines[0], f"Tests · {listed}", counted, line, ""))
        alone = msgspec.structs.replace(slot, end=len(prompt) - 1)
        yield msgspec.structs.replace(example, prompt=prompt, slots=(alone,))


def lies_inside(example: Example, slot: SlotLabel) -> bool:
    """Whether the prompt says that a slot's number lies inside its interval."""
    return _side(_line(example, slot)) == "inside"


def says_abnormal(example: Example, slot: SlotLabel) -> bool:
    """Whether the prompt says that a slot's answer in words is known to be abnormal."""
    return ", abnormal answer" in _line(example, slot)


def _line(example: Example, slot: SlotLabel) -> str:
    return example.prompt[example.prompt.rfind("\n", 0, slot.end) + 1 : slot.end]


def _side(line: str) -> str | None:
    """Where a result's line says that the number lies; None without an interval."""
    found = re.search(r"\] (below|inside|above|across)", line)
    return None if found is None else found[1]
