"""What the model is shown of a panel, and where it answers.

One line per result, which ends in a slot; the label of a result is read from the logits at the last
token of its slot, for all slots in one forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

LABELS = ("N", "L", "H", "A", "LL", "HH", "AA")
"""The labels the model chooses from, HL7 v3 ObservationInterpretation; their order is fixed."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a result is judged. ``result`` is its index in ``Panel.results``; ``end`` the offset in
    ``Prompt.text`` just after the last character of the slot."""

    result: int
    end: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """The text, its slots in order, and the version of the format."""

    text: str
    slots: tuple[Slot, ...]
    version: str
