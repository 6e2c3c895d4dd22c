"""From a verdict to CDS Hooks cards, most urgent first.

One card for each critical result and for each pattern, one that gathers the other abnormal results, one for steps inside the
interval that a guideline or a sample check names, one for what could not be assessed; none where all is normal and assessed. Nothing critical hides in a gathered card, and what a pattern of
warning or critical severity shows already isn't told there again. Critical results that follow each other in one test share
a card, the newest leading: a week of an intensive care would make a hundred otherwise.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from cds_service import said, words
from cds_service.clinical.delta import TOLD_ALONE
from cds_service.clinical.show import interval_text, unit_text, value_text, with_unit
from cds_service.domain import (
    Action,
    Basis,
    Card,
    Derived,
    Flag,
    Indicator,
    Link,
    OverrideReason,
    Pattern,
    Said,
    Suggestion,
    Verdict,
)
from cds_service.markdown import escape, plain, table
from fhir_adapter.errors import BENIGN_NOT_ASSESSED

SOURCE_LABEL = "LabCue"
MAX_SUMMARY = 139
MAX_ROWS = 40
"""Rows of a gathered table; the rest is counted, and stands in the response's flags."""
MAX_NOTE = 1000
"""Characters of a note; the check before takes none as long."""
OVERRIDE_SYSTEM = "https://labcue.org/CodeSystem/override-reason"
OVERRIDES = (
    "already-known",
    "expected-for-patient",
    "flag-wrong",
    "sample-problem",
    "treatment-underway",
    "not-relevant",
)
LINKS = {
    "aki": Link("KDIGO: Acute Kidney Injury guideline", "https://kdigo.org/guidelines/acute-kidney-injury/"),
    "hyperkalaemia-kidney": Link(
        "KDIGO: Acute Kidney Injury guideline", "https://kdigo.org/guidelines/acute-kidney-injury/"
    ),
}
"""Where a pattern's guideline can be read, for those with a lasting address."""
_URGENCY = {"critical": 0, "warning": 1, "info": 2}


def compose(
    verdict: Verdict,
    *,
    language: str,
    news: Callable[[str], bool] | None = None,
    note: str | None = None,
    new_uuid: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> tuple[Card, ...]:
    """The cards of a verdict in ``language``. ``news`` says by FHIRPath which results they are about (default: all). ``note``: the
    model's own words on the panel, checked; they stand below the first card's text and are marked as what they are."""
    return _Composer(verdict, language, news or (lambda path: True), new_uuid).cards(note)


def gather(
    found: Sequence[Card],
    *,
    language: str,
    new_uuid: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> Card:
    """One card for several, as urgent as the most urgent of them: a line for each, their results together."""
    first = found[0]
    summary = words.say(language, Said("summary-gathered", {"count": str(len(found)), "first": first.summary}))
    return replace(
        first,
        uuid=new_uuid(),
        summary=plain(summary, MAX_SUMMARY),
        detail="\n\n".join(f"### {escape(card.summary, 300)}\n\n{card.detail}" for card in found),
        suggestions=(),
        links=tuple(dict.fromkeys(link for card in found for link in card.links)),
        flags=tuple(dict.fromkeys(index for card in found for index in card.flags)),
        pattern=None,
        derived=tuple(one for card in found for one in card.derived),
        gathers=tuple(card.uuid for card in found),
    )


class _Composer:
    """What the cards of one verdict share."""

    def __init__(
        self, verdict: Verdict, language: str, news: Callable[[str], bool], new_uuid: Callable[[], str]
    ) -> None:
        self.verdict, self.language, self.news, self.new_uuid = verdict, language, news, new_uuid

    def cards(self, note: str | None) -> tuple[Card, ...]:
        flags = self.verdict.flags
        new = [index for index, flag in enumerate(flags) if flag.abnormal and self.news(flag.subject.result.path)]
        critical = self._newest_first([index for index in new if flags[index].critical])
        patterns = [
            pattern
            for pattern in self.verdict.patterns
            if any(self.news(flags[index].subject.result.path) for index in pattern.indices)
        ]
        told = self._told(patterns)
        others = self._newest_first([index for index in new if not flags[index].critical and index not in told])
        found = [self._critical(indices) for indices in self._by_test(critical)]
        found += [
            self._pattern(pattern, [index for index in pattern.indices if told.get(index) is pattern])
            for pattern in patterns
        ]
        computed = [
            one
            for one in self.verdict.derived
            if (one.flagged or one.reported is not None) and any(self.news(placed.result.path) for placed in one.inputs)
        ]
        if others:
            found.append(self._gathered(others, computed))
        elif computed:
            found.append(self._computed(computed))
        shown = {index for pattern in patterns for index in pattern.indices}
        if changed := [
            index
            for index, flag in enumerate(flags)
            if not flag.abnormal and index not in shown and _step(flag) and self.news(flag.subject.result.path)
        ]:
            found.append(self._changed(changed))
        found.sort(key=lambda card: _URGENCY[card.indicator])
        if note and found:
            said = f"{found[0].detail}\n\n_{escape(self._say('note'))}_ {escape(note, MAX_NOTE)}"
            found[0] = replace(found[0], detail=said)
        missing = Counter(
            entry.code
            for entry in self.verdict.not_assessed
            if entry.code not in BENIGN_NOT_ASSESSED and self.news(entry.path)
        )
        if missing:
            found.append(self._not_assessed(missing))
        return tuple(found)

    def _told(self, patterns: Sequence[Pattern]) -> dict[int, Pattern]:
        """What needs no line in the gathered card: the results in the rows of a pattern that is more than information, each with
        the first such pattern. A critical result has its own card all the same."""
        told: dict[int, Pattern] = {}
        for pattern in patterns:
            if pattern.severity != "info":
                for index in pattern.indices[:MAX_ROWS]:
                    if not self.verdict.flags[index].critical:
                        told.setdefault(index, pattern)
        return told

    def _newest_first(self, indices: Sequence[int]) -> list[int]:
        """What no newer result of its kind has overtaken first, in input order; then the overtaken ones, the latest first."""

        def rank(index: int) -> tuple[bool, float]:
            subject = self.verdict.flags[index].subject
            when = subject.result.effective
            return not subject.newest, 0.0 if subject.newest or when is None else -when.timestamp()

        return sorted(indices, key=rank)

    def _by_test(self, indices: Sequence[int]) -> list[list[int]]:
        """Each result that stands alone by itself; those that follow each other in one test together, in the given order."""
        groups: dict[object, list[int]] = {}
        for index in indices:
            subject = self.verdict.flags[index].subject
            series = subject.series if subject.priors or not subject.newest else None
            groups.setdefault(series or index, []).append(index)
        return list(groups.values())

    def _say(self, key: str, **params: str) -> str:
        return words.say(self.language, Said(key, params))

    def _labelled(self, label: str, text: str) -> str:
        return self._say("labelled", label=label, text=text)

    def _name(self, flag: Flag, limit: int = 60) -> str:
        analyte = flag.subject.analyte
        return plain(analyte.name(self.language) if analyte is not None else flag.subject.display, limit)

    def _result(self, flag: Flag) -> str:
        """Analyte, value and unit, short enough for a summary."""
        return f"{self._name(flag, 50)} {self._value(flag)}"

    def _value(self, flag: Flag) -> str:
        return plain(f"{value_text(flag.subject)} {unit_text(flag.subject)}".strip(), 40)

    def _critical(self, indices: Sequence[int]) -> Card:
        """One card for a critical result; the earlier critical ones of the same test stand below it. Where a newer result has
        overtaken all of them, the summary says what it is."""
        flag = self.verdict.flags[indices[0]]
        basis = next((basis for basis in flag.basis if basis.kind == "critical"), None)
        if basis is not None:
            summary = self._say(
                f"summary-{basis.said.key}", result=self._result(flag), limit=basis.said.params["limit"]
            )
        else:
            summary = self._say("summary-critical", result=self._result(flag))
        shown = list(indices)
        if (newer := self._newer(flag)) is not None:
            summary = self._say("summary-overtaken", summary=summary, value=self._value(self.verdict.flags[newer]))
            shown.insert(0, newer)
        return self._card(summary, self._table(shown), "critical", tuple(shown), suggestions=self._repeat(flag))

    def _newer(self, flag: Flag) -> int | None:
        """The newest result of the same test, where it isn't this one."""
        if flag.subject.newest:
            return None
        for index, other in enumerate(self.verdict.flags):
            if other.subject.newest and other.subject.series == flag.subject.series:
                return index
        return None

    def _gathered(self, indices: Sequence[int], computed: Sequence[Derived]) -> Card:
        first = self.verdict.flags[indices[0]]
        word = words.flag_word(self.language, first.code)
        if len(indices) == 1:
            summary = self._say("summary-one", result=self._result(first), word=word)
        else:
            key = "summary-two" if len(indices) == 2 else "summary-many"
            summary = self._say(key, result=self._result(first), word=word, count=str(len(indices) - 1))
        suggestions = self._first_repeat(indices)
        detail = self._table(indices)
        if computed:
            detail = f"{detail}\n\n**{escape(self._say('computed'))}**\n\n{self._derived_table(computed)}"
        return self._card(summary, detail, "warning", tuple(indices), suggestions=suggestions, derived=computed)

    def _changed(self, indices: Sequence[int]) -> Card:
        """What lies inside its interval, yet has moved by a step worth a word; a possible mix-up of samples first."""
        flags = self.verdict.flags
        steps = {index: step for index in indices if (step := _step(flags[index])) is not None}
        ordered = sorted(steps, key=lambda index: steps[index].key != "delta-sample")
        first = steps[ordered[0]]
        moved = {name: first.params[name] for name in ("change", "time")}
        summary = self._say(f"summary-{first.key}", result=self._result(flags[ordered[0]]), **moved)
        if len(ordered) > 1:
            key = "summary-delta-two" if len(ordered) == 2 else "summary-delta-many"
            summary = self._say(key, summary=summary, count=str(len(ordered) - 1))
        return self._card(summary, self._table(ordered), "info", tuple(ordered))

    def _computed(self, computed: Sequence[Derived]) -> Card:
        """What was computed lies outside where no result does, or none but a pattern's: worth a look, no more."""
        first = next((one for one in computed if one.flagged), computed[0])
        shown = f"{said.derived_name(first, self.language)} {said.derived_value(first)}"
        if first.flagged:
            summary = self._say(f"summary-derived-{'low' if first.code == 'L' else 'high'}", result=shown)
        else:
            summary = self._labelled(shown, said.reported(first, self.language))
        paths = {placed.result.path for one in computed for placed in one.inputs}
        about = tuple(index for index, flag in enumerate(self.verdict.flags) if flag.subject.result.path in paths)
        return self._card(summary, self._derived_table(computed), "info", about, derived=computed)

    def _derived_table(self, computed: Sequence[Derived]) -> str:
        header = tuple(self._say(f"column-{name}") for name in ("derived", "value", "interval", "basis"))
        rows = [
            (
                escape(said.derived_name(one, self.language)),
                f"**{escape(said.derived_value(one))}**" if one.flagged else escape(said.derived_value(one)),
                escape(one.interval or ""),
                escape("; ".join(filter(None, (said.reported(one, self.language), self._inputs(one)))), 300),
            )
            for one in computed
        ]
        sources = dict.fromkeys(
            source for one in computed for source in (one.citation, one.interval_citation) if source is not None
        )
        cited = "; ".join(escape(one, 300) for one in sources)
        return f"{table(header, rows)}\n\n{self._labelled(self._say('sources'), cited)}"

    def _inputs(self, derived: Derived) -> str:
        """The results that a derived value comes from ("Creatinine 1.9 mg/dL")."""
        return ", ".join(
            f"{placed.analyte.name(self.language) if placed.analyte else placed.display} {with_unit(placed)}"
            for placed in derived.inputs
        )

    def _pattern(self, pattern: Pattern, only_here: Sequence[int]) -> Card:
        """The number first: the pattern's first member leads the summary. ``only_here``: the results that the gathered card leaves
        to this one, and with them what it would suggest."""
        first = self.verdict.flags[pattern.indices[0]]
        title = words.say(self.language, pattern.title)
        text = words.say(self.language, pattern.said)
        parts = [f"**{escape(title)}.** {escape(text, 400)}", self._table(pattern.indices, pattern.citation)]
        for key, points in (("speaks-for", pattern.speaks_for), ("speaks-against", pattern.speaks_against)):
            if points:
                phrases = "; ".join(said.evidence(one, self.verdict.flags, self.language) for one in points)
                parts.insert(-1, self._labelled(self._say(key), escape(phrases, 600)))
        detail = "\n\n".join(parts)
        return self._card(
            self._labelled(self._result(first), title),
            detail,
            pattern.severity,
            pattern.indices,
            suggestions=self._first_repeat(only_here),
            pattern=pattern.id,
        )

    def _not_assessed(self, missing: Counter[str]) -> Card:
        total = len(self.verdict.flags) + len(self.verdict.not_assessed)
        rows = [(escape(words.not_assessed(self.language, code)), str(count)) for code, count in missing.most_common()]
        header = (self._say("column-reason"), self._say("column-count"))
        key = "summary-not-assessed-one" if missing.total() == 1 else "summary-not-assessed"
        summary = self._say(key, count=str(missing.total()), total=str(total))
        return self._card(summary, table(header, rows), "info", ())

    def _table(self, indices: Sequence[int], citation: str | None = None) -> str:
        shown = [self.verdict.flags[index] for index in indices[:MAX_ROWS]]
        times = len({flag.subject.result.effective for flag in shown}) > 1
        names = ("result", "value", "interval", "flag", *(("when",) if times else ()), "basis")
        header = tuple(self._say(f"column-{name}") for name in names)
        parts = [table(header, [self._row(flag, times) for flag in shown])]
        if len(indices) > MAX_ROWS:
            parts.append(self._say("more", count=str(len(indices) - MAX_ROWS)))
        sources = [basis.citation for flag in shown for basis in flag.basis if basis.citation and _cited(flag, basis)]
        sources = list(dict.fromkeys([citation, *sources] if citation else sources))
        if sources:
            cited = "; ".join(escape(source, 300) for source in sources)
            parts.append(self._labelled(self._say("sources"), cited))
        return "\n\n".join(parts)

    def _row(self, flag: Flag, times: bool) -> tuple[str, ...]:
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
        when = subject.result.effective
        at = ((when.strftime("%Y-%m-%d %H:%M") if when is not None else ""),) if times else ()
        return escape(self._name(flag)), shown, interval, f"{flag.code} ({word})", *at, basis

    def _first_repeat(self, indices: Sequence[int]) -> tuple[Suggestion, ...]:
        return next((found for index in indices if (found := self._repeat(self.verdict.flags[index]))), ())

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
        derived: Sequence[Derived] = (),
    ) -> Card:
        if self.verdict.degraded:
            reason = words.degraded(self.language, self.verdict.degraded)
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
            derived=tuple(derived),
        )


def _step(flag: Flag) -> Said | None:
    """What is said of a result's step where it is worth a card by itself."""
    return next((basis.said for basis in flag.basis if basis.said.key in TOLD_ALONE), None)


def _cited(flag: Flag, basis: Basis) -> bool:
    """Whether a card names where this comes from."""
    return flag.abnormal or basis.said.key in TOLD_ALONE
