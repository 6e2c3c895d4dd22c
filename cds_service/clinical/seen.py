"""What the patterns look at: the newest exact number of each analyte, in the catalog's canonical unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from cds_service.clinical.analytes import UNITS
from cds_service.domain import Finding
from fhir_adapter.model import Panel, PanelResult, Quantity


@dataclass(frozen=True, slots=True)
class Seen:
    """``newest`` maps analytes of :data:`cds_service.clinical.analytes.UNITS` to their index in ``panel.results``."""

    panel: Panel
    newest: dict[str, int]
    findings: Sequence[Finding]

    def near(self, analyte: str, window: timedelta) -> Seen:
        """Only what was taken within ``window`` of the analyte's result: a panel may span weeks, a pattern may not. What
        has no time counts as taken together."""
        index = self.newest.get(analyte)
        at = None if index is None else self.panel.results[index].result.effective
        if at is None:
            return self
        kept = {}
        for name, other in self.newest.items():
            when = self.panel.results[other].result.effective
            if when is None or abs(when - at) <= window:
                kept[name] = other
        return self if len(kept) == len(self.newest) else replace(self, newest=kept)

    def index(self, analyte: str) -> int | None:
        return self.newest.get(analyte)

    def result(self, analyte: str) -> PanelResult | None:
        index = self.newest.get(analyte)
        return None if index is None else self.panel.results[index]

    def number(self, analyte: str) -> float | None:
        """The canonical number, or None where it isn't there or isn't exact."""
        placed = self.result(analyte)
        return None if placed is None else placed.canonical

    def code(self, analyte: str) -> str | None:
        index = self.newest.get(analyte)
        return None if index is None else self.findings[index].code

    def times_limit(self, analyte: str) -> float | None:
        """The result over the high limit of its own interval (both in the reported unit)."""
        placed = self.result(analyte)
        if placed is None or placed.number is None or placed.interval is None or not placed.interval.high:
            return None
        return placed.number / placed.interval.high

    def indices(self, *analytes: str) -> tuple[int, ...]:
        return tuple(self.newest[analyte] for analyte in analytes if analyte in self.newest)


def see(panel: Panel, findings: Sequence[Finding]) -> Seen:
    """The newest judged, plausible and exact number of each analyte that a pattern may ask for."""
    newest: dict[str, int] = {}
    for index, placed in enumerate(panel.results):
        analyte = placed.analyte
        if analyte is None or not placed.newest or analyte.id not in UNITS or findings[index].code is None:
            continue
        value = placed.result.value
        if placed.canonical is None or placed.implausible or not isinstance(value, Quantity) or value.comparator:
            continue
        newest.setdefault(analyte.id, index)
    return Seen(panel, newest, findings)
