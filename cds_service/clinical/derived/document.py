"""docs/derived.md from the registry: `python -m cds_service.clinical.derived.document > docs/derived.md`."""

from __future__ import annotations

from cds_service import words
from cds_service.clinical.derived.formula import Formula
from cds_service.clinical.derived.registry import FORMULAS
from fhir_adapter.intervals import show

HEAD = """# Derived values

Made from `cds_service/clinical/derived` by `python -m cds_service.clinical.derived.document`; a test holds it up to date.

Each is computed from results that were taken together (within the window), whatever unit they came in; nothing is computed
where the formula doesn't hold. Where the laboratory reports the same quantity, its own stands, and a computed one is shown
only if it differs by more than the tolerance. Values outside an interval marked *shown* appear on cards; all stand in the
answer's `extension`.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(f"\n{_entry(formula)}" for formula in FORMULAS)


def _entry(formula: Formula) -> str:
    lines = [
        f"## {words.template('en', f'derived-{formula.id}')} (`{formula.id}`)\n",
        f"- Formula: {formula.formula}" + (f"; in {formula.unit}" if formula.unit else ""),
        f"- From: {', '.join(one.replace('|', ' or ') for one in (*formula.inputs, *formula.optional))}; "
        f"within {formula.window.total_seconds() / 3600:.0f} h",
        f"- Holds: {formula.domain}",
    ]
    if callable(formula.interval):
        lines.append(
            f"- Interval: by age or pregnancy, {'shown' if formula.flag else 'not shown'}; {formula.interval_source}"
        )
    elif formula.interval != (None, None):
        low, high = (None if one is None else f"{one:g}" for one in formula.interval)
        lines.append(
            f"- Interval: {show(low, high)}{', *shown* outside' if formula.flag else ''}; {formula.interval_source}"
        )
    if formula.reported is not None:
        absolute, relative = formula.tolerance
        lines.append(f"- Tolerance to the laboratory's own: {absolute:g} or {100 * relative:g} %, the larger")
    lines.append(f"- Source: {formula.source}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
