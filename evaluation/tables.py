"""Figures as text for people: Markdown tables that read well on a terminal too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as an aligned Markdown table: the first column to the left, the others to the right; "" for no rows."""
    if not rows:
        return ""
    head = list(rows[0])
    cells = [head, *([_cell(row[name]) for name in head] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(head))]
    rule = [":" + "-" * (widths[0] - 1 or 1), *("-" * (width - 1 or 1) + ":" for width in widths[1:])]

    def line(values: Sequence[str]) -> str:
        padded = [
            value.ljust(width) if index == 0 else value.rjust(width)
            for index, (value, width) in enumerate(zip(values, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(head), line(rule), *(line(values) for values in cells[1:])])


def percent(share: float | None) -> str:
    """A fraction as "99.66 %"; a dash where nothing was measured. Cut, never rounded up: 99.999 % isn't all."""
    return "–" if share is None else f"{int(share * 10_000 + 1e-9) / 100:.2f} %"


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
