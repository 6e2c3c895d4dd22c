"""Counts of agreement. Nothing that was asked leaves a denominator: what wasn't assessed counts against the strict figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from training.mimic_observation import Truth


@dataclass(frozen=True, slots=True)
class Answer:
    """What LabCue said of one row: ``abnormal`` None where it was not assessed, ``why`` the reason's code, or "lost" where
    the row came back neither as a flag nor as not assessed. ``kind`` says what a flag rests on ("H by the lab's interval")."""

    abnormal: bool | None
    why: str = ""
    kind: str = ""


@dataclass(slots=True)
class Analyte:
    """One test's rows."""

    label: str
    rows: int = 0
    only_labcue: int = 0
    only_laboratory: int = 0
    not_assessed: int = 0

    @property
    def apart(self) -> int:
        return self.only_labcue + self.only_laboratory + self.not_assessed


@dataclass(slots=True)
class Tally:
    """Counts of one class of rows."""

    both: int = 0
    only_labcue: int = 0
    only_laboratory: int = 0
    neither: int = 0
    missed: int = 0
    """Not assessed, flagged by the laboratory."""
    left: int = 0
    """Not assessed, not flagged by the laboratory."""
    reasons: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    analytes: dict[str, Analyte] = field(default_factory=dict)

    def add(self, truth: Truth, answer: Answer) -> None:
        """Counts one row."""
        analyte = self.analytes.setdefault(truth.item, Analyte(truth.label))
        analyte.rows += 1
        if answer.abnormal is None:
            analyte.not_assessed += 1
            self.missed += truth.abnormal
            self.left += not truth.abnormal
            self.reasons[answer.why] += 1
            self.classes[f"not assessed ({answer.why}), {_laboratory(truth)}, {truth.shape}"] += 1
        elif answer.abnormal == truth.abnormal:
            self.both += truth.abnormal
            self.neither += not truth.abnormal
        else:
            self.only_labcue += answer.abnormal
            self.only_laboratory += truth.abnormal
            analyte.only_labcue += answer.abnormal
            analyte.only_laboratory += truth.abnormal
            self.classes[f"{answer.kind}, {_laboratory(truth)}, {truth.shape}"] += 1

    @property
    def assessed(self) -> int:
        return self.both + self.only_labcue + self.only_laboratory + self.neither

    @property
    def rows(self) -> int:
        return self.assessed + self.missed + self.left

    def figures(self) -> dict[str, object]:
        """Fractions, None where there is nothing to measure. The strict ones count a row that was not assessed as a
        disagreement, and as missed where the laboratory flagged it."""
        agreed = self.both + self.neither
        flagged = self.both + self.only_laboratory
        return {
            "rows": self.rows,
            "abnormal": share(flagged + self.missed, self.rows),
            "assessed": self.assessed,
            "not_assessed": self.missed + self.left,
            "not_assessed_reasons": dict(self.reasons.most_common()),
            "both": self.both,
            "neither": self.neither,
            "only_labcue": self.only_labcue,
            "only_laboratory": self.only_laboratory,
            "agreement": share(agreed, self.assessed),
            "agreement_strict": share(agreed, self.rows),
            "precision": share(self.both, self.both + self.only_labcue),
            "recall": share(self.both, flagged),
            "recall_strict": share(self.both, flagged + self.missed),
        }

    def worst(self, most: int = 15) -> list[dict[str, object]]:
        """The tests with the most rows apart."""
        ranked = sorted(self.analytes.items(), key=lambda one: (-one[1].apart, one[1].label))
        return [
            {
                "test": found.label,
                "item": item,
                "rows": found.rows,
                "apart": found.apart,
                "only_labcue": found.only_labcue,
                "only_laboratory": found.only_laboratory,
                "not_assessed": found.not_assessed,
                "agreement_strict": share(found.rows - found.apart, found.rows),
            }
            for item, found in ranked[:most]
            if found.apart
        ]


def together(tallies: Iterable[Tally]) -> Tally:
    """All rows of several tallies."""
    whole = Tally()
    for tally in tallies:
        whole.both += tally.both
        whole.only_labcue += tally.only_labcue
        whole.only_laboratory += tally.only_laboratory
        whole.neither += tally.neither
        whole.missed += tally.missed
        whole.left += tally.left
        whole.reasons += tally.reasons
        whole.classes += tally.classes
        for item, found in tally.analytes.items():
            into = whole.analytes.setdefault(item, Analyte(found.label))
            into.rows += found.rows
            into.only_labcue += found.only_labcue
            into.only_laboratory += found.only_laboratory
            into.not_assessed += found.not_assessed
    return whole


def share(part: int, whole: int) -> float | None:
    """A fraction, or None where there is nothing to measure: not zero."""
    return part / whole if whole else None


def _laboratory(truth: Truth) -> str:
    if truth.abnormal:
        return "flagged by the laboratory"
    return "marked with an asterisk but not flagged" if truth.starred else "not flagged by the laboratory"
