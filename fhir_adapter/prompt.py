"""What the model is shown of a panel, and where it answers.

Three lines say who the patient is, which tests were done, and how many results lie outside their intervals: a causal model
judges each result by what stands before it, so what the whole panel tells has to come first. Then one line per result, which ends in a slot; the label of a result is read from the logits at the last
token of its slot, for all slots in one forward pass. The format is described in docs/prompt.md; whatever changes it
changes :data:`PROMPT_VERSION`, since a model is trained on one version.

The text holds no identifier, no date and no comment; names and answers from the bundle pass through
:mod:`fhir_adapter.prompt_text` and stand in quotes. The laboratory's own interpretation codes are left out: they are what
the model is trained to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_adapter.catalog.answers import as_expected, meaning_of
from fhir_adapter.model import Answer, Interval, Measured, Panel, PanelResult, Patient, Quantity, Span, Titre
from fhir_adapter.prompt_text import clean_answer, clean_name, clean_unit

LABELS = ("N", "L", "H", "A", "LL", "HH", "AA")
"""The labels the model chooses from, HL7 v3 ObservationInterpretation; their order is fixed."""

PROMPT_VERSION = "2"
"""Version of the format. A model trained on another one is refused."""

SLOT = " =>"
"""How a line ends where a result is to be judged. No text from outside can hold it."""

MAX_PRIORS = 3
"""Earlier results shown per line, newest first."""

_FAR = 99.99
_OLD_YEARS = 90


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


def render(panel: Panel) -> Prompt:
    """The prompt of a whole panel. Pure and linear in the number of results.

    Every result gets a line and a slot, those that the rules can't place too; descriptive ones (a blood group) get a line
    without a slot.
    """
    return _render(panel, _who(panel), 0, len(panel.results))


def chunks(panel: Panel, size: int) -> list[Prompt]:
    """The panel as prompts of at most ``size`` results each, in order; slots keep the index in ``panel.results``.

    Raises:
        ValueError: ``size`` is below one.
    """
    if size < 1:
        raise ValueError("size must be at least 1")
    total, who = len(panel.results), _who(panel)
    return [_render(panel, who, start, min(start + size, total)) for start in range(0, max(total, 1), size)]


def _render(panel: Panel, who: str, start: int, stop: int) -> Prompt:
    """``who`` is the header's first line. The other two, the tests and the share of results outside their intervals, tell of this part of
    the panel alone."""
    shown = panel.results[start:stop]
    head = f"{who}\n{_tests(shown)}\n{_outside(shown)}\n"
    parts, slots, at = [head], [], len(head)
    for index in range(start, stop):
        result = panel.results[index]
        line = _line(result)
        if result.analyte is None or not result.analyte.descriptive:
            line += SLOT
            slots.append(Slot(index, at + len(line)))
        line += "\n"
        parts.append(line)
        at += len(line)
    return Prompt("".join(parts), tuple(slots), PROMPT_VERSION)


def _who(panel: Panel) -> str:
    """The header's first line."""
    ages = [result.age_years for result in panel.results if result.age_years is not None]
    return (
        f"Laboratory results. Patient: {_person(panel.patient, max(ages, default=None))}. "
        "After => stands N, L, H, A, LL, HH or AA."
    )


def _tests(shown: Sequence[PanelResult]) -> str:
    """The catalog's tests by name, each once, in the order of the alphabet; the rest are counted: their names are the laboratory's."""
    names = sorted({clean_name(result.analyte.name()) for result in shown if result.analyte is not None})
    unknown = sum(result.analyte is None for result in shown)
    parts = [*names, f"{unknown} unknown"] if unknown else names
    return "Tests" + "".join(f" · {part}" for part in parts)


def _outside(shown: Sequence[PanelResult]) -> str:
    """How many of the results with an interval lie outside it, as a count and a share."""
    sides = [
        _side(*_ends(value), value, result.interval)
        for result in shown
        if result.interval is not None and isinstance(value := result.result.value, Measured)
    ]
    out = sum(side in ("below", "above") for side in sides)
    share = f"{_signed(out / len(sides) * 100, 99, 0)}%" if sides else "unknown"
    return f"Outside their intervals: {out} of {len(sides)}, {share}"


def _person(patient: Patient, age: float | None) -> str:
    """Age band and age at the newest result, sex, pregnancy. From 90 years on no exact age is told."""
    if age is None:
        band = "age unknown"
    elif age < 28 / 365.2425:
        band = f"newborn, {int(age * 365.2425)} days"
    elif age < 2:
        band = f"infant, {int(age * 12)} months"
    elif age < 18:
        band = f"{'child' if age < 12 else 'adolescent'}, {int(age)} years"
    elif age < _OLD_YEARS:
        band = f"{'adult' if age < 65 else 'older adult'}, {int(age)} years"
    else:
        band = f"older adult, {_OLD_YEARS} years or more"
    pregnancy = {True: ", pregnant", False: ", not pregnant", None: ""}[patient.pregnant]
    return f"{band}, {patient.sex or 'sex unknown'}{pregnancy}"


def _line(result: PanelResult) -> str:
    """One result, without its slot."""
    value = result.result.value
    name = clean_name(result.analyte.name()) if result.analyte is not None else f'"{clean_name(result.display)}"'
    said = _measured(result, value) if isinstance(value, Measured) else _worded(result, value)
    line = f"{name}: {said}"
    if result.implausible:
        line += "; implausible"
    if result.problem:
        line += f"; {result.problem}"
    if result.priors:
        line += _history(result)
    if not result.newest:
        line += "; older"
    if result.result.status == "preliminary":
        line += "; preliminary"
    return line


def _measured(result: PanelResult, value: Quantity | Span) -> str:
    low, high = _ends(value)
    if isinstance(value, Quantity):
        text = f"{value.comparator or ''}{_number(value.number)}"
    else:
        text = f"{'' if value.low is None else _number(value.low)}..{'' if value.high is None else _number(value.high)}"
    unit = result.unit or value.unit
    if unit and (shown := clean_unit(unit)):
        text = f"{text} {shown}"
    interval = result.interval
    if interval is None:
        text += " [none]"
        if result.expected:
            text += f" expected {_expected(result)}"
    else:
        text += f" [{_limits(interval)} {interval.source}] {_side(low, high, value, interval)}"
        if result.position is not None:
            text += f" {_signed(result.position)}"
    text += _logs(result, interval)
    if result.critical is not None:
        side = _side(low, high, value, result.critical)
        if side != "inside":
            text += f"; critical [{_limits(result.critical)}] {side}"
    return text


def _ends(value: Quantity | Span) -> tuple[float, float]:
    """Between which numbers the true value lies; a "<" of a positive number reaches down to zero."""
    if isinstance(value, Span):
        return (-math.inf if value.low is None else value.low), (math.inf if value.high is None else value.high)
    comparator, number = value.comparator, value.number
    if comparator is None:
        return number, number
    if comparator[0] == "<":
        return (0.0 if number > 0 else -math.inf), number
    return number, math.inf


def _side(low: float, high: float, value: Quantity | Span, interval: Interval) -> str:
    """below, inside, above, or across where a bound or a range reaches over a limit."""
    comparator = value.comparator if isinstance(value, Quantity) else None
    floor, ceiling = interval.low, interval.high
    if ceiling is not None and (
        low > ceiling or (low == ceiling and (comparator == ">" or not interval.high_inclusive))
    ):
        return "above"
    if floor is not None and (high < floor or (high == floor and (comparator == "<" or not interval.low_inclusive))):
        return "below"
    if (floor is None or low >= floor) and (ceiling is None or high <= ceiling):
        return "inside"
    return "across"


def _limits(interval: Interval) -> str:
    low, high = interval.low, interval.high
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    if high is not None:
        return f"{'<=' if interval.high_inclusive else '<'}{_number(high)}"
    if low is not None:
        return f"{'>=' if interval.low_inclusive else '>'}{_number(low)}"
    return "open"


def _logs(result: PanelResult, interval: Interval | None) -> str:
    """Natural logs: of the value in the canonical unit, and of its ratio to the low and to the high limit; "-" where there is
    none. Empty where all three are missing."""
    number = result.number
    own = _log(result.canonical)
    if interval is None or number is None or number <= 0:
        return "" if own is None else f" log {own:+.2f} - -"
    log = math.log(number) if number < math.inf else None
    low, high = _log(interval.low), _log(interval.high)
    if log is None or (own is None and low is None and high is None):
        return ""
    return (
        f" log {'-' if own is None else f'{own:+.2f}'}"
        f" {'-' if low is None else f'{log - low:+.2f}'} {'-' if high is None else f'{log - high:+.2f}'}"
    )


def _log(number: float | None) -> float | None:
    return math.log(number) if number is not None and 0 < number < math.inf else None


def _worded(result: PanelResult, value: Answer | Titre) -> str:
    if isinstance(value, Titre):
        text = f"{_number(value.numerator)}:{_number(value.denominator)}"
    else:
        text = f'"{clean_answer(value.text)}"'
    if result.expected:
        text += f" expected {_expected(result)}{', as expected' if as_expected(result) else ', differs'}"
    meaning = meaning_of(result)
    return text if meaning is None else f"{text}, {meaning} answer"


def _expected(result: PanelResult) -> str:
    return " or ".join(f'"{clean_answer(answer)}"' for answer in result.expected[:3])


def _history(result: PanelResult) -> str:
    """Earlier results with how long ago they were, newest first, and the change from the newest."""
    at = result.result.effective
    shown = ", ".join(f"{_number(prior.number)}{_ago(prior.effective, at)}" for prior in result.priors[:MAX_PRIORS])
    text = f"; was {shown}"
    if result.number is not None:
        before = result.priors[0].number
        change = result.number - before
        text += f"; change {_number(change, '+')}"
        if before:
            text += f" {_signed(change / abs(before) * 100, 999, 0)}%"
    return text


def _ago(before: datetime, at: datetime | None) -> str:
    if at is None or (before.tzinfo is None) != (at.tzinfo is None):
        return ""
    hours = (at - before).total_seconds() / 3600
    if hours < 2:
        return f" {hours * 60:.0f} min ago"
    if hours < 48:
        return f" {hours:.0f} h ago"
    days = hours / 24
    return f" {days:.0f} d ago" if days < 730 else f" {days / 365.2425:.0f} y ago"


def _signed(number: float, far: float = _FAR, places: int = 2) -> str:
    """A signed number, held within ±``far``."""
    if number != number:
        return "?"
    return f"{max(-far, min(far, number)):+.{places}f}"


def _number(number: float, sign: str = "") -> str:
    """The shortest text of a number to 8 figures: 4.1, not 4.10; never the laboratory's own text."""
    return f"{number:{sign}.8g}"
