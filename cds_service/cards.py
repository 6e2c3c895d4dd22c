"""From a verdict to CDS Hooks cards, most urgent first.

One card for each critical result and for each pattern, one that gathers the other abnormal results, one for what could
not be assessed; none where all is normal and assessed. Nothing critical hides in a gathered card.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence

from cds_service import words
from cds_service.clinical.show import interval_text, unit_text, value_text
from cds_service.domain import Action, Card, Flag, Indicator, Link, OverrideReason, Pattern, Said, Suggestion, Verdict
from cds_service.markdown import escape, plain, table
from fhir_adapter.errors import BENIGN_NOT_ASSESSED

SOURCE_LABEL = "LabCue"
MAX_SUMMARY = 139
MAX_ROWS = 40
"""Rows of a gathered table; the rest is counted, and stands in the response's flags."""
OVERRIDE_SYSTEM = "https://labcue.org/CodeSystem/override-reason"
OVERRIDES = ("already-known", "expected-for-patient", "sample-problem", "treatment-underway", "not-relevant")
LINKS = {
    "aki": Link("KDIGO: Acute Kidney Injury guideline", "https://kdigo.org/guidelines/acute-kidney-injury/"),
    "hyperkalaemia-kidney": Link(
        "KDIGO: Acute Kidney Injury guideline", "https://kdigo.org/guidelines/acute-kidney-injury/"
    ),
}
"""Where a pattern's guideline can be read, for those with a lasting address."""
_URGENCY = {"critical": 0, "warning": 1, "info": 2}
_REASONS = {"model not loaded": "reason-model-not-loaded", "model failed": "reason-model-failed"}


def compose(
    verdict: Verdict, *, language: str, new_uuid: Callable[[], str] = lambda: str(uuid.uuid4())
) -> tuple[Card, ...]:
    """The cards of a verdict in ``language``."""
    return _Composer(verdict, language, new_uuid).cards()


class _Composer:
    """What the cards of one verdict share."""

    def __init__(self, verdict: Verdict, language: str, new_uuid: Callable[[], str]) -> None:
        self.verdict, self.language, self.new_uuid = verdict, language, new_uuid

    def cards(self) -> tuple[Card, ...]:
        critical = [index for index, flag in enumerate(self.verdict.flags) if flag.critical]
        others = [index for index, flag in enumerate(self.verdict.flags) if flag.abnormal and not flag.critical]
        found = [self._critical(index) for index in self._newest_first(critical)]
        found += [self._pattern(pattern) for pattern in self.verdict.patterns]
        if others:
            found.append(self._gathered(self._newest_first(others)))
        found.sort(key=lambda card: _URGENCY[card.indicator])
        missing = Counter(entry.code for entry in self.verdict.not_assessed if entry.code not in BENIGN_NOT_ASSESSED)
        if missing:
            found.append(self._not_assessed(missing))
        return tuple(found)

    def _newest_first(self, indices: Sequence[int]) -> list[int]:
        """The newest results of their kind first, then the older ones; input order within."""
        return sorted(indices, key=lambda index: not self.verdict.flags[index].subject.newest)

    def _say(self, key: str, **params: str) -> str:
        return words.say(self.language, Said(key, params))

    def _name(self, flag: Flag, limit: int = 60) -> str:
        analyte = flag.subject.analyte
        return plain(analyte.name(self.language) if analyte is not None else flag.subject.display, limit)

    def _result(self, flag: Flag) -> str:
        """Analyte, value and unit, short enough for a summary."""
        return f"{self._name(flag, 50)} {plain(f'{value_text(flag.subject)} {unit_text(flag.subject)}'.strip(), 40)}"

    def _critical(self, index: int) -> Card:
        flag = self.verdict.flags[index]
        basis = next((basis for basis in flag.basis if basis.kind == "critical"), None)
        if basis is not None:
            summary = self._say(
                f"summary-{basis.said.key}", result=self._result(flag), limit=basis.said.params["limit"]
            )
        else:
            summary = self._say("summary-critical", result=self._result(flag))
        return self._card(summary, self._table([index]), "critical", (index,), suggestions=self._repeat(flag))

    def _gathered(self, indices: Sequence[int]) -> Card:
        first = self.verdict.flags[indices[0]]
        word = words.flag_word(self.language, first.code)
        if len(indices) == 1:
            summary = self._say("summary-one", result=self._result(first), word=word)
        else:
            key = "summary-two" if len(indices) == 2 else "summary-many"
            summary = self._say(key, result=self._result(first), word=word, count=str(len(indices) - 1))
        suggestions = next((found for index in indices if (found := self._repeat(self.verdict.flags[index]))), ())
        return self._card(summary, self._table(indices), "warning", tuple(indices), suggestions=suggestions)

    def _pattern(self, pattern: Pattern) -> Card:
        """The number first: the pattern's first member leads the summary."""
        first = self.verdict.flags[pattern.indices[0]]
        title = words.say(self.language, pattern.title)
        text = words.say(self.language, pattern.said)
        detail = f"**{escape(title)}.** {escape(text, 400)}\n\n{self._table(pattern.indices, pattern.citation)}"
        return self._card(
            f"{self._result(first)}: {title}", detail, pattern.severity, pattern.indices, pattern=pattern.id
        )

    def _not_assessed(self, missing: Counter[str]) -> Card:
        total = len(self.verdict.flags) + len(self.verdict.not_assessed)
        rows = [(escape(words.not_assessed(self.language, code)), str(count)) for code, count in missing.most_common()]
        header = (self._say("column-reason"), self._say("column-count"))
        key = "summary-not-assessed-one" if missing.total() == 1 else "summary-not-assessed"
        summary = self._say(key, count=str(missing.total()), total=str(total))
        return self._card(summary, table(header, rows), "info", ())

    def _table(self, indices: Sequence[int], citation: str | None = None) -> str:
        header = tuple(self._say(f"column-{name}") for name in ("result", "value", "interval", "flag", "basis"))
        shown = [self.verdict.flags[index] for index in indices[:MAX_ROWS]]
        parts = [table(header, [self._row(flag) for flag in shown])]
        if len(indices) > MAX_ROWS:
            parts.append(self._say("more", count=str(len(indices) - MAX_ROWS)))
        sources = [basis.citation for flag in shown for basis in flag.basis if basis.citation and flag.abnormal]
        sources = list(dict.fromkeys([citation, *sources] if citation else sources))
        if sources:
            parts.append(f"{self._say('sources')}: " + "; ".join(escape(source, 300) for source in sources))
        return "\n\n".join(parts)

    def _row(self, flag: Flag) -> tuple[str, ...]:
        subject = flag.subject
        interval = ""
        if subject.interval is not None:
            source = self._say(f"source-{subject.interval.source}")
            interval = f"{escape(interval_text(subject.interval, subject))} ({source})"
        value = escape(f"{value_text(subject)} {unit_text(subject)}".strip())
        basis = " ".join(
            escape(words.say(self.language, basis.said), 300)
            for basis in flag.basis
            if basis.kind != "interval" or not interval
        )
        word = words.flag_word(self.language, flag.code)
        shown = f"**{value}**" if flag.abnormal else value
        return escape(self._name(flag)), shown, interval, f"{flag.code} ({word})", basis

    def _repeat(self, flag: Flag) -> tuple[Suggestion, ...]:
        """A repeat of a raised potassium on a haemolysed sample; nothing else is suggested."""
        analyte = flag.subject.analyte
        if (
            analyte is None
            or analyte.id != "potassium"
            or not any(basis.said.key == "haemolysed" for basis in flag.basis)
        ):
            return ()
        order = {
            "resourceType": "ServiceRequest",
            "status": "draft",
            "intent": "proposal",
            "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}], "text": analyte.name(self.language)},
        }
        subject = flag.subject.result.subject
        if subject:
            order["subject"] = {"reference": subject}
        action = Action("create", self._say("action-repeat-potassium"), order)
        return (Suggestion(self._say("suggestion-repeat-potassium"), self.new_uuid(), (action,)),)

    def _card(
        self,
        summary: str,
        detail: str,
        indicator: Indicator,
        flags: tuple[int, ...],
        *,
        suggestions: tuple[Suggestion, ...] = (),
        pattern: str | None = None,
    ) -> Card:
        if self.verdict.degraded:
            reason = self._say(_REASONS.get(self.verdict.degraded, "reason-other"))
            detail = f"{detail}\n\n_{escape(self._say('degraded', reason=reason))}_"
        reasons = tuple(OverrideReason(code, self._say(f"override-{code}"), OVERRIDE_SYSTEM) for code in OVERRIDES)
        return Card(
            uuid=self.new_uuid(),
            summary=plain(summary, MAX_SUMMARY),
            detail=detail,
            indicator=indicator,
            source_label=SOURCE_LABEL,
            suggestions=suggestions,
            override_reasons=reasons if flags else (),
            links=(LINKS[pattern],) if pattern in LINKS else (),
            flags=flags,
            pattern=pattern,
        )
