"""Cards for a terminal: colour by indicator, the number first, the value on its interval, the basis of each flag.

Everything from a bundle passes :func:`cds_service.markdown.plain`: no control character and no markup reaches the terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel as Box
from rich.text import Text

from cds_service import typeset, words
from cds_service.clinical.show import short
from cds_service.markdown import plain
from fhir_adapter.errors import BENIGN_NOT_ASSESSED, DEGRADED_REASONS, Violation
from labcue.v1 import cds_pb2

COLOURS = {"critical": "bold white on red", "warning": "black on yellow", "info": "black on cyan"}
EDGES = {"critical": "red", "warning": "yellow", "info": "cyan"}
CODES = {
    "HH": "bold red",
    "LL": "bold red",
    "AA": "bold red",
    "H": "yellow",
    "L": "yellow",
    "A": "yellow",
    "N": "green",
}
BAR = 13
MAX_ROWS = 40
_NAME, _VALUE = 26, 22
"""Widest columns; a longer text is shown whole, out of line."""

_ENGLISH = {
    "clear": "✔ No card: nothing abnormal, everything assessed.",
    "clear-but": "✔ No card: nothing abnormal.",
    "sources": "Sources",
    "computed": "Computed",
    "from": "from",
    "for": "For",
    "against": "Against",
    "suggestion": "Suggestion to accept",
    "more": "…and {count} more.",
    "why": "{reason}: {detail}",
    "counts": "{judged} judged · {abnormal} abnormal · {critical} critical · {missing} not assessed · {ms:.1f} ms",
    "lab": "lab",
    "site": "site",
    "usual": "usual",
    "model": "the model: P {probability:.2f}",
    "critical": "CRITICAL",
    "warning": "WARNING",
    "info": "INFO",
}
_FRENCH = {
    "clear": "✔ Aucune carte : rien d'anormal, tout est évalué.",
    "clear-but": "✔ Aucune carte : rien d'anormal.",
    "sources": "Sources",
    "computed": "Calculé",
    "from": "d'après",
    "for": "Pour",
    "against": "Contre",
    "suggestion": "Suggestion à accepter",
    "more": "…et {count} de plus.",
    "why": "{reason} : {detail}",
    "counts": "jugés {judged} · anormaux {abnormal} · critiques {critical} · non évalués {missing} · {ms:.1f} ms",
    "lab": "labo",
    "site": "site",
    "usual": "usuel",
    "model": "le modèle : P {probability:.2f}",
    "critical": "CRITIQUE",
    "warning": "ALERTE",
    "info": "INFO",
}
_CHROME: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "fr": _FRENCH}


def bar(position: float | None, *, low: bool = True, high: bool = True) -> str:
    """Where a value lies on its interval: "[", "]" are the limits, "●" the value, "◀" and "▶" far outside.

    ``low`` and ``high`` say which limits there are: an open side has no bracket.
    """
    if position is None:
        return ""
    cells = list("·" * BAR)
    first, last = 3, BAR - 4
    cells[first if low else 0 : last + 1 if high else BAR] = "─" * ((last + 1 if high else BAR) - (first if low else 0))
    if low:
        cells[first] = "["
    if high:
        cells[last] = "]"
    middle, half = (first + last) / 2, (last - first) / 2
    place = round(middle + max(-BAR, min(BAR, position)) * half)
    if abs(position) > 1:
        place = max(last + 1, place) if position > 0 else min(first - 1, place)
    elif abs(position) < 1:
        place = min(max(place, first + 1), last - 1)
    if place < 0 or place >= BAR:
        cells[0 if place < 0 else -1] = "◀" if place < 0 else "▶"
    else:
        cells[place] = "●"
    return "".join(cells)


def render(
    response: cds_pb2.EvaluateResponse, *, title: str = "", normal: bool = False, max_rows: int = MAX_ROWS
) -> RenderableType:
    """One response for people; with ``normal`` the normal results too. A card shows at most ``max_rows`` results."""
    return Group(*_Page(response, max_rows).parts(title, normal))


def unread(message: str, code: str, faults: Sequence[Violation] = (), *, title: str) -> RenderableType:
    """A bundle that could not be judged at all: as plain to see as a card."""
    return Group(
        Text(plain(title, 300), style="bold underline"),
        Text(f"✘ {plain(message, 400)} [{code}]", style="red"),
        *(Text(f"  {plain(fault.path, 500)}: {plain(fault.description, 500)}", style="red") for fault in faults),
    )


class _Page:
    """What the cards of one response share."""

    def __init__(self, response: cds_pb2.EvaluateResponse, max_rows: int) -> None:
        self.cards, self.evaluation, self.max_rows = response.cards, response.extension.evaluation, max_rows
        self.language = self.evaluation.language
        self.chrome = _CHROME.get(self.language, _ENGLISH)
        self.by_path = {flag.path: flag for flag in self.evaluation.flags}
        times = {flag.effective for flag in self.evaluation.flags}
        self.timed, self.one_day = len(times) > 1, len({time[:10] for time in times}) == 1

    def parts(self, title: str, normal: bool) -> list[RenderableType]:
        evaluation = self.evaluation
        parts: list[RenderableType] = [Text(plain(title, 300), style="bold underline")] if title else []
        parts += [self._card(card) for card in self.cards]
        if not self.cards:
            parts.append(Text(self.chrome["clear-but" if evaluation.not_assessed else "clear"], style="green"))
        if normal:
            parts.append(self._rows([flag for flag in evaluation.flags if not flag.abnormal], {}))
        parts += [self._derived(one) for one in evaluation.derived if normal or one.flagged or one.reported]
        benign = Counter(entry.reason for entry in evaluation.not_assessed if entry.code in BENIGN_NOT_ASSESSED)
        parts += [Text(f"  {count} × {plain(reason, 200)}", style="dim") for reason, count in benign.items()]
        counts = self.chrome["counts"].format(
            judged=len(evaluation.flags),
            abnormal=sum(flag.abnormal for flag in evaluation.flags),
            critical=sum(flag.critical for flag in evaluation.flags),
            missing=len(evaluation.not_assessed),
            ms=evaluation.timings.total_ms,
        )
        foot = Text(counts, style="dim")
        if evaluation.degraded:
            foot.append(f" · {self._degraded(evaluation)}", "yellow")
        return [*parts, foot]

    def _shown(self, text: str) -> str:
        """Numbers and units as the language writes them."""
        return typeset.numbers(typeset.unit(text), self.language)

    def _labelled(self, label: str, text: str) -> str:
        return words.template(self.language, "labelled").format(label=label, text=text)

    def _derived(self, derived: cds_pb2.Derived) -> RenderableType:
        """A computed value, its place, and what it was computed from."""
        names = [self.by_path[path].display for path in derived.inputs if path in self.by_path]
        text = Text.assemble(
            (self._labelled(f"  {self.chrome['computed']}", ""), "dim"),
            (plain(f"{derived.display} {self._shown(f'{derived.text} {derived.shown_unit}')}".strip(), 120), "bold"),
            f"  {derived.code}" if derived.code else "",
            f"  {plain(self._shown(derived.interval), 60)}" if derived.interval else "",
            (f"  {self.chrome['from']} {plain(', '.join(names), 160)}" if names else "", "dim"),
        )
        own = self.by_path.get(derived.reported)
        if own is not None:
            value = self._shown(f"{own.value} {own.unit}".strip())
            said = words.template(self.evaluation.language, "derived-reported").format(value=plain(value, 60))
            text.append(f"  ({said})", "yellow")
        return text

    def _degraded(self, evaluation: cds_pb2.Evaluation) -> str:
        known = evaluation.degraded in DEGRADED_REASONS  # another version of the service may say something else
        said = words.degraded(evaluation.language, evaluation.degraded) if known else plain(evaluation.degraded)
        return words.template(evaluation.language, "degraded").format(reason=said)

    def _about(self, card: cds_pb2.Card) -> list[cds_pb2.Flag]:
        """The flags of a card. A server that sends no paths is taken by reference: every result of that Observation."""
        subject = card.extension.subject
        if subject.paths:
            return [self.by_path[path] for path in subject.paths if path in self.by_path]
        wanted = set(subject.observations)
        return [flag for flag in self.evaluation.flags if flag.observation in wanted and flag.abnormal]

    def _card(self, card: cds_pb2.Card) -> RenderableType:
        rows: list[RenderableType] = []
        notes: dict[str, int] = {}
        pattern = next((one for one in self.evaluation.patterns if one.id == card.extension.subject.pattern), None)
        if pattern is not None:
            rows += self._pattern(pattern, notes)
        about = self._about(card)
        if about:
            rows.append(self._rows(about, notes))
            for one in self._informs(card):
                rows.append(Text(plain(one.title, 200), style="bold"))
                rows += self._pattern(one, notes)
        elif not card.extension.subject.observations:
            rows += self._missing()
        if notes:
            cited = "; ".join(f"[{number}] {plain(citation, 300)}" for citation, number in notes.items())
            rows.append(Text(self._labelled(self.chrome["sources"], cited), style="dim italic"))
        for suggestion in (one for one in card.suggestions if one.actions):
            rows.append(Text(self._labelled(f"▸ {self.chrome['suggestion']}", plain(suggestion.label)), style="bold"))
        badge = self.chrome.get(card.indicator, plain(card.indicator).upper())
        head = Text.assemble((f" {badge} ", COLOURS.get(card.indicator, "")), " ", (plain(card.summary, 140), "bold"))
        if not rows:
            rows.append(Text(plain(card.detail, 600)))
        return Box(Group(head, *rows), border_style=EDGES.get(card.indicator, "white"))

    def _pattern(self, pattern: cds_pb2.Pattern, notes: dict[str, int]) -> list[RenderableType]:
        """What a pattern says, and what speaks for and against it."""
        note = f" [{_note(notes, pattern.citation)}]" if pattern.citation else ""
        rows: list[RenderableType] = [Text(f"{plain(pattern.text, 400)}{note}")]
        between = words.template(self.language, "between")
        for key, points in (("for", pattern.speaks_for), ("against", pattern.speaks_against)):
            if points:
                rows.append(Text(self._labelled(self.chrome[key], plain(between.join(points), 600))))
        return rows

    def _informs(self, card: cds_pb2.Card) -> list[cds_pb2.Pattern]:
        """The patterns without a card of their own: told in the first card that shows their leading result."""
        own = {one.extension.subject.pattern for one in self.cards}
        return [
            one
            for one in self.evaluation.patterns
            if one.id not in own
            and one.observations
            and card is next((other for other in self.cards if _about(other, one.observations[0])), None)
        ]

    def _rows(self, flags: Sequence[cds_pb2.Flag], notes: dict[str, int]) -> RenderableType:
        shown = [self._row(flag, notes) for flag in flags[: self.max_rows]]
        left = len(flags) - len(shown)
        more = [Text(self.chrome["more"].format(count=left), style="dim")] if left > 0 else []
        return Group(_Rows(shown), *more)

    def _row(self, flag: cds_pb2.Flag, notes: dict[str, int]) -> _Row:
        interval = next((basis for basis in flag.basis if basis.kind == "interval"), None)
        limits, low, high = "", True, True
        value = f"{short(flag.value)} {flag.unit}".strip()
        measured = flag.value[:1].isdigit() or flag.value[:1] in "<>≤≥-"
        if interval is not None:
            text = plain(interval.interval)
            low, high = not text.startswith(("<", "≤")), not text.startswith((">", "≥"))
            source = self.chrome.get(interval.interval_source, plain(interval.interval_source))
            cited = f" [{_note(notes, interval.citation)}]" if interval.citation and flag.abnormal else ""
            limits = f"{self._shown(text)} ({source}{cited})"
        said = []
        if flag.HasField("probability"):
            said.append(self._shown(self.chrome["model"].format(probability=flag.probability)))
        for basis in flag.basis:
            if basis.text and basis.kind not in ("interval", "model"):
                named = basis.citation and (flag.abnormal or basis.kind == "delta")
                cited = f" [{_note(notes, basis.citation)}]" if named else ""
                said.append(f"{plain(basis.text, 300)}{cited}")
        return _Row(
            name=plain(flag.display, 60),
            value=plain(self._shown(value) if measured else value, 100),
            code=plain(flag.code, 2),
            bar=bar(flag.position if flag.HasField("position") else None, low=low, high=high),
            limits=limits,
            time=self._time(flag.effective) if self.timed else "",
            basis=" ".join(said),
        )

    def _time(self, effective: str) -> str:
        """The laboratory's own clock, "2026-03-04 06:30", or the time alone where all results are of one day."""
        return plain(effective[11:16] if self.one_day else effective[:16].replace("T", " "))

    def _missing(self) -> list[RenderableType]:
        """What could not be assessed, by reason; what needs no assessment isn't listed."""
        missing = [entry for entry in self.evaluation.not_assessed if entry.code not in BENIGN_NOT_ASSESSED]
        shared = Counter(entry.display for entry in missing)
        rows: list[RenderableType] = []
        for entry in missing[: self.max_rows]:
            parts = [plain(entry.display, 60)] if entry.display else []
            if shared[entry.display] > 1 or not entry.display:  # which of them
                parts.append(plain(entry.observation or entry.path, 120))
            why = entry.reason
            if entry.detail:
                why = self.chrome["why"].format(reason=why.rstrip("."), detail=entry.detail)
            rows.append(Text.assemble("  ".join(parts), "  ", (plain(why, 300), "dim")))
        if len(missing) > self.max_rows:
            rows.append(Text(self.chrome["more"].format(count=len(missing) - self.max_rows), style="dim"))
        return rows


def _about(card: cds_pb2.Card, observation: str) -> bool:
    return observation in card.extension.subject.observations


def _note(notes: dict[str, int], citation: str) -> int:
    """The number of a citation on its card; a full stop more or less makes no other one."""
    return notes.setdefault(citation.rstrip(". "), len(notes) + 1)


@dataclass(frozen=True, slots=True)
class _Row:
    """One result: a line of columns, and under it what else the flag rests on."""

    name: str
    value: str
    code: str
    bar: str
    limits: str
    time: str
    basis: str

    @property
    def style(self) -> str:
        return CODES.get(self.code, "")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows in line with each other. Where the terminal has no room for bar and time, the bar is left out if a name comes
    twice (the time tells which is which), else the time."""

    rows: Sequence[_Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.rows:
            return
        name = max(min(cell_len(row.name), _NAME) for row in self.rows)
        value = max(min(cell_len(row.value), _VALUE) for row in self.rows)
        limits = max(cell_len(row.limits) for row in self.rows)
        time = max(cell_len(row.time) for row in self.rows)
        bars = BAR if any(row.bar for row in self.rows) else 0
        room = options.max_width - (name + value + 6 + limits)
        if _cost(bars) + _cost(time) > room:
            if len({row.name for row in self.rows}) < len(self.rows):
                bars, time = 0, time if _cost(time) <= room else 0
            else:
                bars, time = bars if _cost(bars) <= room else 0, 0
        for row in self.rows:
            line = Text.assemble(
                (_pad(row.name, name), "bold"),
                "  ",
                (_pad(row.value, value), row.style),
                "  ",
                (_pad(row.code, 2), row.style),
            )
            if bars:
                line.append(f"  {_pad(row.bar, BAR)}", row.style)
            if limits:
                line.append(f"  {_pad(row.limits, limits if time else 0)}")
            if time:
                line.append(f"  {row.time}", "dim")
            line.rstrip()
            yield line
            if row.basis:
                yield Padding(Text(row.basis), (0, 0, 0, 4), expand=False)


def _cost(width: int) -> int:
    """The room that an optional column takes, its gap included."""
    return width + 2 if width else 0


def _pad(text: str, width: int) -> str:
    return text + " " * max(0, width - cell_len(text))


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Leaves the ending to the command; rich would exit with 1, which means "abnormal" here."""
        raise BrokenPipeError


def console(*, stderr: bool = False, colour: bool | None = None) -> Console:
    """A console that neither reads markup nor emoji codes from data. ``colour`` None: as the terminal has it."""
    return _Terminal(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        force_terminal=colour,
        no_color=colour is False or None,
    )
