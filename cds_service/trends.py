"""Results of one test over time, in one unit: what a chart is drawn from."""

from __future__ import annotations

from typing import Any

from cds_service.clinical.show import unit_text, with_unit
from fhir_adapter.model import Interval, Panel, PanelResult
from fhir_adapter.scale import conversion

MIN_POINTS = 2


def shown(panel: Panel, language: str) -> list[dict[str, Any]]:
    """One trend for each test with at least two dated numbers, in order of first appearance; points by time.

    Numbers and limits are in the unit of the newest result. ``left`` counts the results whose unit doesn't convert into it.
    """
    groups: dict[str, list[PanelResult]] = {}
    for placed in panel.results:
        if placed.number is not None and placed.result.effective is not None and placed.series is not None:
            groups.setdefault(placed.series, []).append(placed)
    return [_trend(series, members, language) for series, members in groups.items() if len(members) >= MIN_POINTS]


def _trend(series: str, members: list[PanelResult], language: str) -> dict[str, Any]:
    members = sorted(members, key=_when)
    newest = members[-1]
    points = [point for placed in members if (point := _point(placed, newest)) is not None]
    return {
        "series": series,
        "display": newest.analyte.name(language) if newest.analyte is not None else newest.display,
        "unit": unit_text(newest),
        "points": points,
        "left": len(members) - len(points),
    }


def _when(placed: PanelResult) -> float:
    return placed.result.effective.timestamp() if placed.result.effective is not None else 0.0


def _point(placed: PanelResult, newest: PanelResult) -> dict[str, Any] | None:
    scale = conversion(placed, newest)
    if scale is None or placed.number is None or placed.result.effective is None:
        return None
    return {
        "path": placed.result.path,
        "effective": placed.result.effective.isoformat(),
        "number": _scaled(placed.number, scale),
        "value": with_unit(placed),
        "limits": _limits(placed.interval, scale),
        "criticalLimits": _limits(placed.critical, scale),
        "intervalSource": None if placed.interval is None else placed.interval.source,
    }


def _limits(interval: Interval | None, scale: tuple[float, float]) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {
        "low": None if interval.low is None else _scaled(interval.low, scale),
        "high": None if interval.high is None else _scaled(interval.high, scale),
    }


def _scaled(number: float, scale: tuple[float, float]) -> float:
    """Rounded to 10 figures, so that 3.5 stays 3.5."""
    return number if scale == (1.0, 0.0) else float(f"{number * scale[0] + scale[1]:.10g}")
