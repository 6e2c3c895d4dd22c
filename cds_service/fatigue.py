"""Which cards are worth a clinician's attention once more: pure functions; what was shown before comes from the records.

- A critical card is never held back, nor one that says what could not be assessed.
- Another card is held back where that same person has met each of its findings already, none has become worse since, and
  the result is the same: another value, time or pattern is another finding.
- Of more than ``max_cards``, the least urgent are gathered into one, critical ones never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from cds_service.clinical.show import unit_text, value_text
from cds_service.domain import Card, Flag, Held, Pattern, Verdict
from cds_service.pseudonym import Pseudonyms

Reason = Literal["repeated", "gathered"]
_CODES = {"N": 0, "L": 1, "H": 1, "A": 1, "LL": 2, "HH": 2, "AA": 2}
_SEVERITIES = {"info": 0, "warning": 1, "critical": 2}


@dataclass(frozen=True, slots=True)
class Whose:
    """Pseudonyms of the patient and of who asks. Without both of them nothing is ever held back."""

    patient: str | None
    requester: str | None

    @property
    def known(self) -> bool:
        return self.patient is not None and self.requester is not None


class Finding(Struct, frozen=True):
    """One thing that a card says: ``about`` names the result with its value, or the pattern with its results; ``rank`` is how
    bad it is."""

    about: tuple[str, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class Alert:
    """A card as far as fatigue is concerned. ``lasting``: it may never be held back. Without ``findings`` where it isn't known
    whose they would be: they could neither be remembered nor held against anything."""

    lasting: bool
    findings: tuple[Finding, ...]


def together(alerts: Sequence[Alert]) -> Alert:
    """The alert of a card that gathers others."""
    return Alert(False, tuple(dict.fromkeys(finding for one in alerts for finding in one.findings)))


@dataclass(frozen=True, slots=True)
class Met:
    """What was met before: how bad it was, and on which card."""

    rank: int
    card: str


def rule(card: Card) -> str:
    """What made a card: its pattern's id, else ``critical-result``, ``abnormal-results``, ``derived-values``,
    ``gathered`` or ``not-assessed``."""
    if card.pattern:
        return card.pattern
    if card.gathers:
        return "gathered"
    if not card.flags:
        return "not-assessed"
    if card.derived and card.indicator == "info":
        return "derived-values"
    return "critical-result" if card.indicator == "critical" else "abnormal-results"


def alert(card: Card, verdict: Verdict, *, known: bool = True) -> Alert:
    """The findings of a card; with ``known`` False only whether it lasts."""
    flags = [verdict.flags[index] for index in card.flags]
    lasting = card.indicator == "critical" or not flags or any(flag.critical for flag in flags)
    if not known:
        return Alert(lasting, ())
    findings = [Finding(("result", *_result(flag)), _CODES[flag.code]) for flag in flags]
    findings += [
        Finding(("derived", one.id, one.text, one.shown_unit, one.code or ""), int(one.flagged)) for one in card.derived
    ]
    if card.pattern:
        own = next(
            one for one in verdict.patterns if one.id == card.pattern and one.indices == card.flags[: len(one.indices)]
        )
        findings.append(_pattern(own, verdict))
    findings += [_pattern(one, verdict) for one in card.informs]
    return Alert(lasting, tuple(findings))


def _pattern(pattern: Pattern, verdict: Verdict) -> Finding:
    said = (text for pair in sorted((*pattern.title.params.items(), *pattern.said.params.items())) for text in pair)
    members = (text for index in pattern.indices for text in _result(verdict.flags[index]))
    return Finding(("pattern", pattern.id, *said, *members), _SEVERITIES[pattern.severity])


def _result(flag: Flag) -> tuple[str, ...]:
    """The result as one that would be another if the laboratory corrected it."""
    subject = flag.subject
    result = subject.result
    when = result.effective or result.issued
    return (
        result.observation,
        subject.series or "",
        value_text(subject),
        unit_text(subject),
        when.isoformat() if when is not None else "",
    )


def key(finding: Finding, whose: Whose, names: Pseudonyms) -> str | None:
    """Under which a finding of this patient is remembered for this person; None where either isn't known."""
    if whose.patient is None or whose.requester is None:
        return None
    return names.of("finding", whose.patient, whose.requester, *finding.about)


def hold_back(cards: Sequence[Card], alerts: Sequence[Alert], met: Mapping[tuple[str, ...], Met]) -> tuple[Held, ...]:
    """The cards that say nothing new. ``met`` maps what findings are ``about`` to what was met of them before."""
    held = []
    for card, one in zip(cards, alerts, strict=True):
        if one.lasting or not one.findings:
            continue
        before = [met.get(finding.about) for finding in one.findings]
        if all(old is not None and old.rank >= finding.rank for old, finding in zip(before, one.findings, strict=True)):
            held.append(Held(card, "repeated", next(old.card for old in before if old is not None)))
    return tuple(held)


def to_gather(cards: Sequence[Card], alerts: Sequence[Alert], max_cards: int) -> tuple[Card, ...]:
    """The cards to be gathered into one so that at most ``max_cards`` go out, the most urgent ones as they are. Empty where all
    have room, or where there is only one that could make room. 0 is no limit."""
    if max_cards == 0 or len(cards) <= max_cards:
        return ()
    movable = [card for card, one in zip(cards, alerts, strict=True) if not one.lasting]
    room = max(0, max_cards - (len(cards) - len(movable)) - 1)
    rest = movable[room:]
    return tuple(rest) if len(rest) > 1 else ()
