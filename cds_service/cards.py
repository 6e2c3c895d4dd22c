"""From a verdict to CDS Hooks cards, most urgent first.

One card for each critical result and for each pattern of warning or critical severity, one that gathers the other abnormal
results, one for steps inside the interval that a guideline or a sample check names, one for what could not be assessed;
none where all is normal and assessed. Nothing critical hides in a gathered
card, and nothing is told twice below: what a pattern shows isn't gathered again, an earlier result stands with the newest
of its test, and what only informs (a pattern of that severity, a computed value) stands in the card that shows the results
it rests on. Critical results that follow each other in one test share a card, the newest leading: a week of an intensive
care would make a hundred otherwise.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from cds_service.card_text import MAX_ROWS, Writer
from cds_service.clinical.delta import step
from cds_service.domain import Card, Derived, Flag, Indicator, Link, OverrideReason, Pattern, Suggestion, Verdict
from cds_service.markdown import escape, plain
from cds_service.typeset import typeset
from fhir_adapter.errors import BENIGN_NOT_ASSESSED
from fhir_adapter.model import NotAssessed

SOURCE_LABEL = "LabCue"
MAX_SUMMARY = 139
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
    summary = Writer(language).say("summary-gathered", count=str(len(found)), first=first.summary)
    return replace(
        first,
        uuid=new_uuid(),
        summary=typeset(plain(summary, MAX_SUMMARY), language),
        detail="\n\n".join(f"### {escape(card.summary, 300)}\n\n{card.detail}" for card in found),
        suggestions=(),
        links=tuple(dict.fromkeys(link for card in found for link in card.links)),
        flags=tuple(dict.fromkeys(index for card in found for index in card.flags)),
        pattern=None,
        derived=tuple(one for card in found for one in card.derived),
        informs=tuple(one for card in found for one in card.informs),
        gathers=tuple(card.uuid for card in found),
    )


@dataclass(slots=True)
class _Draft:
    """A card in the making: a critical result's, a pattern's, the gathered one, that of computed values, that of steps. ``rows`` are the results of its table, the leading one first; ``earlier`` ones of the same tests,
    ``informs`` and ``derived`` have found their place here."""

    kind: Literal["critical", "pattern", "gathered", "computed", "changed"]
    indicator: Indicator
    rows: tuple[int, ...]
    pattern: Pattern | None = None
    suggest_from: tuple[int, ...] = ()
    earlier: list[int] = field(default_factory=list)
    informs: list[Pattern] = field(default_factory=list)
    derived: list[Derived] = field(default_factory=list)

    @property
    def indices(self) -> tuple[int, ...]:
        return (*self.rows, *self.earlier)


class _Composer:
    """What the cards of one verdict share."""

    def __init__(
        self, verdict: Verdict, language: str, news: Callable[[str], bool], new_uuid: Callable[[], str]
    ) -> None:
        self.verdict, self.language, self.news, self.new_uuid = verdict, language, news, new_uuid
        self.write = Writer(language)
        self.newest: dict[str | None, int] = {}
        """The newest result of each test."""
        for index, flag in enumerate(verdict.flags):
            if flag.subject.newest:
                self.newest.setdefault(flag.subject.series, index)
        self.reasons = tuple(
            OverrideReason(code, self.write.say(f"override-{code}"), OVERRIDE_SYSTEM) for code in OVERRIDES
        )

    def cards(self, note: str | None) -> tuple[Card, ...]:
        found = [self._card(draft) for draft in sorted(self._drafts(), key=lambda draft: _URGENCY[draft.indicator])]
        if note and found:
            said = f"{found[0].detail}\n\n_{escape(self.write.say('note'))}_ {escape(note, MAX_NOTE)}"
            found[0] = replace(found[0], detail=said)
        missing = [
            entry
            for entry in self.verdict.not_assessed
            if entry.code not in BENIGN_NOT_ASSESSED and self.news(entry.path)
        ]
        if missing:
            found.append(self._not_assessed(missing))
        return tuple(found)

    def _drafts(self) -> list[_Draft]:
        """Which cards there are, and where each thing is told."""
        flags = self.verdict.flags
        new = [index for index, flag in enumerate(flags) if flag.abnormal and self.news(flag.subject.result.path)]
        patterns = [
            pattern
            for pattern in self.verdict.patterns
            if any(self.news(flags[index].subject.result.path) for index in pattern.indices)
        ]
        told = self._told(patterns)
        alone = [self._alone(indices) for indices in self._by_test([one for one in new if flags[one].critical])]
        together = [
            _Draft(
                "pattern",
                one.severity,
                one.indices,
                one,
                tuple(index for index in one.indices if told.get(index) is one),
            )
            for one in patterns
            if one.severity != "info"
        ]
        drafts = [*alone, *together]
        others: list[int] = []
        left: list[int] = []
        for index in new:
            if not flags[index].critical and index not in told:
                home = self._with_its_newest(index, drafts)
                if home is None:
                    (left if self._moved_inside(index) else others).append(index)
                elif index not in home.indices:
                    home.earlier.append(index)
        gathered = None
        if others:
            gathered = _Draft("gathered", "warning", tuple(self._newest_first(others)), suggest_from=tuple(others))
            drafts.append(gathered)
        for one in patterns:
            if one.severity == "info":
                self._inform(one, gathered, drafts)
        self._place(self._computed(), together, alone, gathered, drafts)
        if changed := self._changed(drafts, {self._newer(flags[index]) for index in left}):
            drafts.append(_Draft("changed", "warning" if left else "info", changed, earlier=self._newest_first(left)))
        return drafts

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

    def _alone(self, indices: Sequence[int]) -> _Draft:
        """The card of a critical result; the earlier critical ones of the same test stand below it. Where a newer result has
        overtaken all of them, it leads the table."""
        newer = self._newer(self.verdict.flags[indices[0]])
        rows = tuple(indices) if newer is None else (newer, *indices)
        return _Draft("critical", "critical", rows, suggest_from=(indices[0],))

    def _with_its_newest(self, index: int, drafts: Sequence[_Draft]) -> _Draft | None:
        """The card that shows the newest result of the same test, for one that was overtaken."""
        newer = self._newer(self.verdict.flags[index])
        return next((draft for draft in drafts if newer in draft.rows[:MAX_ROWS]), None)

    def _moved_inside(self, index: int) -> bool:
        """Whether a newer result lies inside its interval by a step worth a word: the two are told together."""
        newer = self._newer(self.verdict.flags[index])
        if newer is None:
            return False
        flag = self.verdict.flags[newer]
        return not flag.abnormal and step(flag.basis) is not None and self.news(flag.subject.result.path)

    def _inform(self, pattern: Pattern, gathered: _Draft | None, drafts: list[_Draft]) -> None:
        """A pattern that only informs is told where its leading result is; it has a card of its own where none is."""
        lead = pattern.indices[0]
        places = drafts if gathered is None else [gathered, *drafts]
        home = next((draft for draft in places if lead in draft.rows[:MAX_ROWS]), None)
        if home is None:
            drafts.append(_Draft("pattern", "info", pattern.indices, pattern))
        else:
            home.informs.append(pattern)

    def _computed(self) -> list[Derived]:
        """The computed values that a clinician would want to see."""
        return [
            one
            for one in self.verdict.derived
            if (one.flagged or one.reported is not None) and any(self.news(placed.result.path) for placed in one.inputs)
        ]

    def _place(
        self,
        computed: Sequence[Derived],
        together: Sequence[_Draft],
        alone: Sequence[_Draft],
        gathered: _Draft | None,
        drafts: list[_Draft],
    ) -> None:
        """Each computed value to the card that shows all abnormal results it comes from, a pattern's before a lone one's; else to
        the gathered card; else to a card of its own: worth a look, no more."""
        flags = self.verdict.flags
        where = {flag.subject.result.path: index for index, flag in enumerate(flags)}
        lone = []
        for one in computed:
            inputs = {where[placed.result.path] for placed in one.inputs if placed.result.path in where}
            abnormal = {index for index in inputs if flags[index].abnormal}
            whole = [draft for draft in (*together, *alone) if abnormal and abnormal <= set(draft.rows[:MAX_ROWS])]
            home = whole[0] if whole else gathered
            if home is None:
                lone.append((one, inputs))
            else:
                home.derived.append(one)
        if lone:
            about = sorted({index for _, inputs in lone for index in inputs})
            drafts.append(_Draft("computed", "info", tuple(about), derived=[one for one, _ in lone]))

    def _changed(self, drafts: Sequence[_Draft], wanted: Set[int | None]) -> tuple[int, ...]:
        """What lies inside its interval and in no card (or is ``wanted``), yet has moved by a step worth a word; a possible mix-up
        of samples first."""
        flags = self.verdict.flags
        shown = {index for draft in drafts for index in draft.indices}
        shown |= {index for draft in drafts for pattern in draft.informs for index in pattern.indices}
        steps = {
            index: found.key
            for index, flag in enumerate(flags)
            if not flag.abnormal
            and (index not in shown or index in wanted)
            and (found := step(flag.basis)) is not None
            and self.news(flag.subject.result.path)
        }
        return tuple(sorted(steps, key=lambda index: steps[index] != "delta-sample"))

    def _newest_first(self, indices: Sequence[int]) -> list[int]:
        """What no newer result of its kind has overtaken first, in input order; then the overtaken ones, the latest first."""

        def rank(index: int) -> tuple[bool, float]:
            subject = self.verdict.flags[index].subject
            when = subject.result.effective
            return not subject.newest, 0.0 if subject.newest or when is None else -when.timestamp()

        return sorted(indices, key=rank)

    def _by_test(self, indices: Sequence[int]) -> list[list[int]]:
        """Each result that stands alone by itself; those that follow each other in one test together, newest first."""
        groups: dict[object, list[int]] = {}
        for index in self._newest_first(indices):
            subject = self.verdict.flags[index].subject
            series = subject.series if subject.priors or not subject.newest else None
            groups.setdefault(series or index, []).append(index)
        return list(groups.values())

    def _newer(self, flag: Flag) -> int | None:
        """The newest result of the same test, where it isn't this one."""
        if flag.subject.newest:
            return None
        return self.newest.get(flag.subject.series)

    def _card(self, draft: _Draft) -> Card:
        """The number first: the leading result begins the summary."""
        flags, write = self.verdict.flags, self.write
        table = write.table(
            [flags[index] for index in draft.indices], draft.pattern.citation if draft.pattern else None
        )
        if draft.pattern is not None:
            summary, detail = write.pattern(draft.pattern, flags, table)
        elif draft.kind == "critical":
            summary, detail = self._critical_summary(draft), table
        elif draft.kind == "gathered":
            summary, detail = self._gathered_summary(draft.rows), table
        elif draft.kind == "computed":
            return self._finish(draft, write.computed_summary(draft.derived), write.derived_table(draft.derived))
        else:
            summary, detail = write.changed_summary([flags[index] for index in draft.rows]), table
        for one in draft.informs:
            detail = f"{detail}\n\n{write.informing(one, flags)}"
        if draft.derived:
            heading = escape(write.say("computed"))
            detail = f"{detail}\n\n**{heading}**\n\n{write.derived_table(draft.derived)}"
        return self._finish(draft, summary, detail)

    def _critical_summary(self, draft: _Draft) -> str:
        flag = self.verdict.flags[draft.suggest_from[0]]
        summary = self.write.critical_summary(flag)
        newer = self._newer(flag)
        return summary if newer is None else self.write.overtaken(summary, self.verdict.flags[newer])

    def _gathered_summary(self, indices: Sequence[int]) -> str:
        """The first result, and of how many other tests there is one; earlier results of a test aren't counted."""
        flags = self.verdict.flags
        first = flags[indices[0]]
        newest = [index for index in indices if flags[index].subject.newest]
        overtaken = {flags[index].subject.series for index in indices if not flags[index].subject.newest}
        only_overtaken = overtaken - {flags[index].subject.series for index in newest}
        summary = self.write.gathered_summary(first, len(newest) + len(only_overtaken) - 1)
        newer = self._newer(first)
        return summary if newer is None else self.write.overtaken(summary, flags[newer])

    def _finish(self, draft: _Draft, summary: str, detail: str) -> Card:
        suggestions: tuple[Suggestion, ...] = ()
        for index in draft.suggest_from:
            suggestions = suggestions or self.write.repeat(self.verdict.flags[index], self.new_uuid)
        links = [LINKS[draft.pattern.id]] if draft.pattern is not None and draft.pattern.id in LINKS else []
        return self._made(
            summary,
            detail,
            draft.indicator,
            flags=draft.indices,
            suggestions=suggestions,
            links=tuple(links),
            pattern=draft.pattern.id if draft.pattern is not None else None,
            derived=tuple(draft.derived),
            informs=tuple(draft.informs),
        )

    def _not_assessed(self, missing: Sequence[NotAssessed]) -> Card:
        total = len(self.verdict.flags) + len(self.verdict.not_assessed)
        summary, detail = self.write.not_assessed(missing, total)
        return self._made(summary, detail, "info")

    def _made(
        self,
        summary: str,
        detail: str,
        indicator: Indicator,
        *,
        flags: tuple[int, ...] = (),
        suggestions: tuple[Suggestion, ...] = (),
        links: tuple[Link, ...] = (),
        pattern: str | None = None,
        derived: tuple[Derived, ...] = (),
        informs: tuple[Pattern, ...] = (),
    ) -> Card:
        if self.verdict.degraded:
            detail = f"{detail}\n\n_{escape(self.write.degraded(self.verdict.degraded))}_"
        return Card(
            uuid=self.new_uuid(),
            summary=typeset(plain(summary, MAX_SUMMARY), self.language),
            detail=typeset(detail, self.language),
            indicator=indicator,
            source_label=SOURCE_LABEL,
            suggestions=suggestions,
            override_reasons=self.reasons if flags else (),
            links=links,
            flags=flags,
            pattern=pattern,
            derived=derived,
            informs=informs,
        )
