"""Cards for a terminal: colour by indicator, the number first, the value on its interval, the basis of each flag."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.panel import Panel as Box
from rich.table import Table
from rich.text import Text

from cds_service.markdown import plain
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


def bar(position: float | None) -> str:
    """Where a value lies on its interval: "[", "]" are the limits, "●" the value, "◀" and "▶" far outside."""
    if position is None:
        return ""
    cells = list("·" * BAR)
    low, high = 3, BAR - 4
    cells[low:high] = "─" * (high - low)
    cells[low], cells[high] = "[", "]"
    middle, half = (low + high) / 2, (high - low) / 2
    place = round(middle + position * half)
    if abs(position) > 1:
        place = max(high + 1, place) if position > 0 else min(low - 1, place)
    elif abs(position) < 1:
        place = min(max(place, low + 1), high - 1)
    if place < 0 or place >= BAR:
        cells[0 if place < 0 else -1] = "◀" if place < 0 else "▶"
    else:
        cells[place] = "●"
    return "".join(cells)


def render(response: cds_pb2.EvaluateResponse, *, title: str = "", normal: bool = False) -> RenderableType:
    """One response for people; with ``normal`` the normal results too."""
    evaluation = response.extension.evaluation
    flags = {flag.path: flag for flag in evaluation.flags}
    parts: list[RenderableType] = []
    if title:
        parts.append(Text(plain(title), style="bold underline"))
    for card in response.cards:
        parts.append(_card(card, flags, evaluation))
    if not response.cards:
        parts.append(Text("✔ No card: nothing abnormal, everything assessed.", style="green"))
    if normal:
        parts.append(_table([flag for flag in evaluation.flags if not flag.abnormal]))
    abnormal = sum(flag.abnormal for flag in evaluation.flags)
    line = f"{len(evaluation.flags)} judged, {abnormal} abnormal, {len(evaluation.not_assessed)} not assessed"
    if evaluation.degraded:
        line += f" · degraded: {evaluation.degraded}"
    parts.append(Text(f"{line} · {evaluation.timings.total_ms:.1f} ms", style="dim"))
    return Group(*parts)


def _card(card: cds_pb2.Card, flags: dict[str, cds_pb2.Flag], evaluation: cds_pb2.Evaluation) -> RenderableType:
    rows: list[RenderableType] = []
    pattern = next((found for found in evaluation.patterns if found.id == card.extension.subject.pattern), None)
    if pattern is not None:
        rows.append(Text(f"{plain(pattern.title)}. {plain(pattern.text, 400)}"))
    about = [flags[path] for path in card.extension.subject.paths if path in flags]
    if about:
        rows.append(_table(about))
    elif not card.extension.subject.observations:
        rows.append(_missing(evaluation))
    citations = dict.fromkeys(
        basis.citation for flag in about for basis in flag.basis if basis.citation and flag.abnormal
    )
    if pattern is not None and pattern.citation:
        citations[pattern.citation] = None
    if citations:
        rows.append(Text("Sources: " + "; ".join(plain(citation, 300) for citation in citations), style="dim italic"))
    for suggestion in card.suggestions:
        rows.append(Text(f"▸ Suggestion to accept: {plain(suggestion.label)}", style="bold"))
    head = Text.assemble(
        (f" {card.indicator.upper()} ", COLOURS.get(card.indicator, "")), " ", (plain(card.summary, 140), "bold")
    )
    return Box(Group(*rows), title=head, title_align="left", border_style=EDGES.get(card.indicator, "white"))


def _table(flags: Sequence[cds_pb2.Flag]) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(style="bold", max_width=20, overflow="fold")
    table.add_column(max_width=18, overflow="fold")
    table.add_column(no_wrap=True)
    table.add_column(style="dim", no_wrap=True, max_width=24, overflow="ellipsis")
    table.add_column(min_width=10, overflow="fold")
    for flag in flags:
        style = CODES.get(flag.code, "")
        interval = next((basis for basis in flag.basis if basis.kind == "interval"), None)
        shown = "" if interval is None else f"{plain(interval.interval)} {interval.interval_source}".strip()
        position = flag.position if flag.HasField("position") else None
        texts = [plain(basis.text, 300) for basis in flag.basis if basis.kind != "interval" and basis.text]
        probability = f"P {flag.probability:.2f} " if flag.HasField("probability") else ""
        table.add_row(
            Text(plain(flag.display, 34)),
            Text(f"{plain(flag.value, 40)} {plain(flag.unit, 20)}".strip(), style=style),
            Text.assemble((f"{flag.code:>2} ", style), bar(position)),
            Text(shown),
            Text(f"{probability}{flag.source}. {' '.join(texts)}".strip()),
        )
    return table


def _missing(evaluation: cds_pb2.Evaluation) -> Table:
    table = Table(box=None, padding=(0, 1), show_header=False)
    for entry in evaluation.not_assessed[:30]:
        table.add_row(Text(plain(entry.observation or entry.path, 50)), Text(plain(entry.reason, 200), style="dim"))
    if len(evaluation.not_assessed) > 30:
        table.add_row(Text(f"…and {len(evaluation.not_assessed) - 30} more"), Text(""))
    return table


def console(*, stderr: bool = False, colour: bool | None = None) -> Console:
    """A console that neither reads markup nor emoji codes from data."""
    force = None if colour is None else colour
    return Console(
        stderr=stderr, markup=False, emoji=False, highlight=False, force_terminal=force, no_color=colour is False
    )
