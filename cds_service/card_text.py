"""What stands on a card: summaries, tables and phrases, from the reviewed texts; nothing from a bundle becomes markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache

from cds_service import said, words
from cds_service.clinical.delta import TOLD_ALONE, step
from cds_service.clinical.show import unit_text
from cds_service.domain import Action, Basis, Derived, Flag, Pattern, Said, Suggestion
from cds_service.markdown import escape, plain, table
from fhir_adapter.model import Interval, Measured, NotAssessed, PanelResult

MAX_ROWS = 40
"""Rows of a table; the rest is counted, and stands in the response's flags."""
MAX_NAMES = 12
"""Names of results that could not be assessed for one reason; the rest is counted."""


_known = lru_cache(maxsize=4096)(escape)
"""For names and intervals of tests, which come again and again; never for a value."""


class Writer:
    """Writes of one verdict in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._intervals: dict[tuple[int, str], str] = {}
        self._minutes: dict[int, str] = {}
        """Both by the thing itself: equal times of two zones are written differently."""

    def say(self, key: str, **params: str) -> str:
        """A text with its parameters as they are."""
        return words.say(self.language, Said(key, params))

    def labelled(self, label: str, text: str) -> str:
        """ "Label: text"."""
        return self.say("labelled", label=label, text=text)

    def name(self, placed: PanelResult, limit: int = 60) -> str:
        """What the result is called."""
        return plain(placed.analyte.name(self.language) if placed.analyte is not None else placed.display, limit)

    def value(self, placed: PanelResult) -> str:
        """Value and unit, one short line."""
        return plain(said.value(placed, self.language), 40)

    def result(self, placed: PanelResult) -> str:
        """Name, value and unit, short enough for a summary; an answer in words stands in quotation marks."""
        shown = self.value(placed)
        if not isinstance(placed.result.value, Measured):
            shown = self.say("quoted", text=shown)
        return f"{self.name(placed, 50)} {shown}"

    def critical_summary(self, flag: Flag) -> str:
        """A critical result, and the limit that it passed."""
        result = self.result(flag.subject)
        basis = next((basis for basis in flag.basis if basis.kind == "critical"), None)
        if basis is None:
            return self.say("summary-critical", result=result)
        return self.say(f"summary-{basis.said.key}", result=result, limit=basis.said.params["limit"])

    def gathered_summary(self, first: Flag, others: int) -> str:
        """An abnormal result, and how many others there are."""
        key = "summary-one" if others == 0 else "summary-two" if others == 1 else "summary-many"
        word = words.flag_word(self.language, first.code)
        return self.say(key, result=self.result(first.subject), word=word, count=str(others))

    def overtaken(self, summary: str, newer: Flag) -> str:
        """With the newest result of the same test, where another one leads."""
        return self.say("summary-overtaken", summary=summary, value=self.value(newer.subject))

    def changed_summary(self, changed: Sequence[Flag]) -> str:
        """The first result's step, and how many others there are."""
        first = step(changed[0].basis)
        if first is None:
            return self.result(changed[0].subject)
        moved = {name: first.params[name] for name in ("change", "time")}
        summary = self.say(f"summary-{first.key}", result=self.result(changed[0].subject), **moved)
        if len(changed) == 1:
            return summary
        key = "summary-delta-two" if len(changed) == 2 else "summary-delta-many"
        return self.say(key, summary=summary, count=str(len(changed) - 1))

    def computed_summary(self, computed: Sequence[Derived]) -> str:
        """The first computed value outside its interval; else the first from which the laboratory's own differs."""
        first = next((one for one in computed if one.flagged), computed[0])
        shown = f"{said.derived_name(first, self.language)} {said.derived_value(first, self.language)}"
        if first.flagged:
            return self.say(f"summary-derived-{'low' if first.code == 'L' else 'high'}", result=shown)
        return self.labelled(shown, said.reported(first, self.language))

    def pattern(self, pattern: Pattern, flags: Sequence[Flag], shown: str) -> tuple[str, str]:
        """(summary, detail) of a pattern's card around the table of its results."""
        title = words.say(self.language, pattern.title)
        lead = self.result(flags[pattern.indices[0]].subject)
        parts = [self._sentences(pattern), *self._evidence(pattern, flags), shown]
        return self.labelled(lead, _in_line(title)), "\n\n".join(parts)

    def informing(self, pattern: Pattern, flags: Sequence[Flag]) -> str:
        """A pattern inside the card that shows its results."""
        source = self.labelled(self.say("sources"), self._cited([pattern.citation]))
        return "\n\n".join([self._sentences(pattern), *self._evidence(pattern, flags), source])

    def _sentences(self, pattern: Pattern) -> str:
        title = escape(words.say(self.language, pattern.title))
        stop = "" if title.endswith(("?", "!", ".")) else "."
        return f"**{title}{stop}** {escape(words.say(self.language, pattern.said), 400)}"

    def _evidence(self, pattern: Pattern, flags: Sequence[Flag]) -> list[str]:
        found = []
        for key, points in (("speaks-for", pattern.speaks_for), ("speaks-against", pattern.speaks_against)):
            if points:
                phrases = self.say("between").join(said.evidence(one, flags, self.language) for one in points)
                found.append(self.labelled(self.say(key), escape(phrases, 600)))
        return found

    def table(self, flags: Sequence[Flag], citation: str | None = None) -> str:
        """Results with value, interval, flag and what else the flag rests on; below it the sources."""
        shown = flags[:MAX_ROWS]
        times = len({flag.subject.result.effective for flag in shown}) > 1
        names = ("result", "value", "interval", "flag", *(("when",) if times else ()), "basis")
        parts = [table(self._header(*names), [self._row(flag, times) for flag in shown])]
        if len(flags) > MAX_ROWS:
            parts.append(self.say("more", count=str(len(flags) - MAX_ROWS)))
        sources = [basis.citation for flag in shown for basis in flag.basis if basis.citation and _cited(flag, basis)]
        if citation:
            sources.insert(0, citation)
        if sources:
            parts.append(self.labelled(self.say("sources"), self._cited(sources)))
        return "\n\n".join(parts)

    def _header(self, *names: str) -> tuple[str, ...]:
        return tuple(self.say(f"column-{name}") for name in names)

    def _cited(self, sources: Sequence[str]) -> str:
        """Each source once, also where it stands within another."""
        kept: list[str] = []
        for source in dict.fromkeys(sources):
            bare = source.rstrip(". ")
            if not any(bare in one for one in kept):
                kept.append(bare)
        return self.say("between").join(escape(one, 900) for one in kept)

    def _row(self, flag: Flag, times: bool) -> tuple[str, ...]:
        subject = flag.subject
        interval = "" if subject.interval is None else self._interval(subject, subject.interval)
        value = escape(said.value(subject, self.language))
        basis = " ".join(
            escape(words.say(self.language, basis.said), 300)
            for basis in flag.basis
            if basis.kind != "interval" or not interval
        )
        shown = f"**{value}**" if flag.abnormal else value
        when = subject.result.effective
        at = (("" if when is None else self._minute(when)),) if times else ()
        return _known(self.name(subject)), shown, interval, words.flag_word(self.language, flag.code), *at, basis

    def _interval(self, placed: PanelResult, interval: Interval) -> str:
        """An interval and where it is from: results of one test share theirs."""
        key = id(interval), unit_text(placed)
        if key not in self._intervals:
            shown = _known(said.interval(placed, interval, self.language))
            self._intervals[key] = f"{shown} ({self.say(f'source-{interval.source}')})"
        return self._intervals[key]

    def _minute(self, when: datetime) -> str:
        """A time to the minute: results of one draw share theirs."""
        if id(when) not in self._minutes:
            self._minutes[id(when)] = when.isoformat(" ", "minutes")[:16]
        return self._minutes[id(when)]

    def derived_table(self, computed: Sequence[Derived]) -> str:
        """Computed values with what they come from; below it the sources."""
        rows = []
        for one in computed:
            value = escape(said.derived_value(one, self.language))
            basis = self.say("between").join(filter(None, (said.reported(one, self.language), self._inputs(one))))
            rows.append(
                (
                    escape(said.derived_name(one, self.language)),
                    f"**{value}**" if one.flagged else value,
                    escape(said.derived_interval(one, self.language)),
                    escape(basis, 300),
                )
            )
        sources = [source for one in computed for source in (one.citation, one.interval_citation) if source is not None]
        header = self._header("derived", "value", "interval", "basis")
        return f"{table(header, rows)}\n\n{self.labelled(self.say('sources'), self._cited(sources))}"

    def _inputs(self, derived: Derived) -> str:
        """The results that a derived value comes from ("Creatinine 1.9 mg/dL")."""
        return ", ".join(f"{self.name(placed)} {said.value(placed, self.language)}" for placed in derived.inputs)

    def not_assessed(self, missing: Sequence[NotAssessed], total: int) -> tuple[str, str]:
        """(summary, detail) of what could not be assessed, by reason, with the names of those that have one."""
        often = dict(Counter(entry.absent for entry in missing).most_common(MAX_NAMES))
        reasons: dict[tuple[str, str | None], list[NotAssessed]] = {}
        for entry in missing:
            reasons.setdefault((entry.code, entry.absent if entry.absent in often else None), []).append(entry)
        rows = []
        for (code, absent), alike in sorted(reasons.items(), key=lambda one: -len(one[1])):
            known = [*dict.fromkeys(name for entry in alike if (name := plain(entry.called(self.language), 60)))]
            shown = ", ".join(known[:MAX_NAMES]) + ("…" if len(known) > MAX_NAMES else "")
            reason = words.not_assessed(self.language, code)
            if absent is not None:
                reason = self.say(
                    "absent", reason=reason.rstrip("."), why=plain(words.absent(self.language, absent), 120)
                )
            rows.append((escape(shown, 600), escape(reason, 300), str(len(alike))))
        key = "summary-not-assessed-one" if len(missing) == 1 else "summary-not-assessed"
        summary = self.say(key, count=str(len(missing)), total=str(total))
        return summary, table(self._header("result", "reason", "count"), rows)

    def degraded(self, reason: str) -> str:
        """Why rules alone answer."""
        return self.say("degraded", reason=words.degraded(self.language, reason))

    def repeat(self, flag: Flag, new_uuid: Callable[[], str]) -> tuple[Suggestion, ...]:
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
        action = Action("create", self.say("action-repeat-potassium"), order)
        return (Suggestion(self.say("suggestion-repeat-potassium"), new_uuid(), (action,)),)


def _cited(flag: Flag, basis: Basis) -> bool:
    """Whether a card names where this comes from."""
    return flag.abnormal or basis.said.key in TOLD_ALONE


def _in_line(title: str) -> str:
    """A title inside a sentence: "low sodium", but "TSH high" and "DFGe 26"."""
    return title[0].lower() + title[1:] if len(title) > 1 and title[1].islower() else title
