"""What formulas and patterns look at: the newest plausible result of each analyte, in the catalog's canonical unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cds_service.domain import Derived, Finding
from fhir_adapter.model import Panel, PanelResult, Quantity


@dataclass(frozen=True, slots=True)
class Seen:
    """``newest`` maps analytes to their index in ``panel.results``; ``derived`` holds what was computed, by id."""

    panel: Panel
    newest: Mapping[str, int]
    findings: Sequence[Finding]
    derived: Mapping[str, Derived] = field(default_factory=dict)
    times: tuple[datetime, datetime] | None = None
    """Between which times all of ``newest`` were taken, where that was looked at."""

    def near(self, analyte: str, window: timedelta) -> Seen:
        """Only what was taken within ``window`` of the analyte's result: a panel may span weeks, a pattern may not. What
        has no time counts as taken together."""
        index = self.newest.get(analyte)
        at = None if index is None else self.panel.results[index].result.effective
        return self if at is None else self.around(at, window)

    def around(self, at: datetime, window: timedelta) -> Seen:
        """Only what was taken within ``window`` of a time; derived values with all that they rest on."""
        if self.times is not None and at - self.times[0] <= window and self.times[1] - at <= window:
            return self
        results = self.panel.results
        kept = {name: other for name, other in self.newest.items() if _within(results[other], at, window)}
        if len(kept) == len(self.newest):
            return self
        derived = {
            name: one for name, one in self.derived.items() if all(_within(each, at, window) for each in one.inputs)
        }
        return replace(self, newest=kept, derived=derived)

    def index(self, analyte: str) -> int | None:
        return self.newest.get(analyte)

    def result(self, analyte: str) -> PanelResult | None:
        index = self.newest.get(analyte)
        return None if index is None else self.panel.results[index]

    def number(self, name: str) -> float | None:
        """The exact canonical number of an analyte, else of the derived value of that name; None where there is neither."""
        index = self.newest.get(name)
        if index is not None:
            placed = self.panel.results[index]
            value = placed.result.value
            if isinstance(value, Quantity) and value.comparator is None:
                return placed.canonical
            return None
        derived = self.derived.get(name)
        return None if derived is None else derived.value

    def reach(self, name: str) -> tuple[float, float, bool] | None:
        """Within which numbers the truth lies, and whether the ends belong to it: (x, x, True) for an exact number,
        (-inf, 10, False) for "< 10"."""
        index = self.newest.get(name)
        if index is None:
            derived = self.derived.get(name)
            return None if derived is None else (derived.value, derived.value, True)
        placed = self.panel.results[index]
        value = placed.result.value
        if not isinstance(value, Quantity) or placed.canonical is None:
            return None
        return _reach(placed.canonical, value.comparator)

    def times_limit(self, analyte: str) -> float | None:
        """The exact result over the high limit of its own interval (both in the reported unit)."""
        placed = self.result(analyte)
        if placed is None or placed.number is None or placed.interval is None or not placed.interval.high:
            return None
        if isinstance(placed.result.value, Quantity) and placed.result.value.comparator is not None:
            return None
        return placed.number / placed.interval.high

    def reach_of_limit(self, analyte: str) -> tuple[float, float, bool] | None:
        """As :meth:`reach`, as multiples of the high limit of its own interval."""
        placed = self.result(analyte)
        if placed is None or placed.number is None or placed.interval is None or not placed.interval.high:
            return None
        value = placed.result.value
        comparator = value.comparator if isinstance(value, Quantity) else None
        return _reach(placed.number / placed.interval.high, comparator)

    def code(self, name: str) -> str | None:
        """The flag code of an analyte's result, else of the derived value of that name."""
        index = self.newest.get(name)
        if index is not None:
            return self.findings[index].code
        derived = self.derived.get(name)
        return None if derived is None else derived.code

    def indices(self, *analytes: str) -> tuple[int, ...]:
        """The judged results of these analytes, in that order; the leading one too where only an interval is missing."""
        found = dict.fromkeys(one for name in analytes if (one := self.newest.get(name)) is not None)
        lead = next(iter(found), None)
        return tuple(one for one in found if self._judged(one) or (one == lead and self._lacks_interval(one)))

    def _judged(self, index: int) -> bool:
        return self.findings[index].code is not None

    def _lacks_interval(self, index: int) -> bool:
        missing = self.findings[index].not_assessed
        return missing is not None and missing.code == "no-interval"

    def age(self) -> float | None:
        """The patient's age in years at the time of any result; the panel's results lie close enough for that."""
        for placed in self.panel.results:
            if placed.age_years is not None:
                return placed.age_years
        return None


def since(placed: PanelResult, at: datetime) -> timedelta:
    """How long before the result that was; nothing where the result has no time."""
    when = placed.result.effective
    return timedelta(0) if when is None else when - at


def _reach(number: float, comparator: str | None) -> tuple[float, float, bool]:
    if comparator is None:
        return number, number, True
    closed = comparator.endswith("=")
    return (-math.inf, number, closed) if comparator[0] == "<" else (number, math.inf, closed)


def _within(placed: PanelResult, at: datetime, window: timedelta) -> bool:
    when = placed.result.effective
    return when is None or abs(when - at) <= window


def see(panel: Panel, findings: Sequence[Finding]) -> Seen:
    """The newest plausible result of each analyte; of several at one time, the first that is an exact number."""
    newest: dict[str, int] = {}
    for index, placed in enumerate(panel.results):
        analyte = placed.analyte
        if analyte is None or not placed.newest or placed.implausible:
            continue
        known = newest.get(analyte.id)
        if known is None or (_exact(placed) and not _exact(panel.results[known])):
            newest[analyte.id] = index
    times = [at for index in newest.values() if (at := panel.results[index].result.effective) is not None]
    return Seen(panel, newest, findings, times=(min(times), max(times)) if times else None)


def _exact(placed: PanelResult) -> bool:
    value = placed.result.value
    return placed.canonical is not None and isinstance(value, Quantity) and value.comparator is None
