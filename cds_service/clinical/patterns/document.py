"""docs/patterns.md from the criteria: `python -m cds_service.clinical.patterns.document > docs/patterns.md`."""

from __future__ import annotations

from collections.abc import Iterable

from cds_service import words
from cds_service.clinical.patterns.condition import Condition
from cds_service.clinical.patterns.spec import ORGANS, Spec, specs

HEAD = """# Patterns

Made from `cds_service/clinical/patterns/*.toml` by `python -m cds_service.clinical.patterns.document`; a test holds it up to
date. To correct a limit, edit the TOML file of its organ system.

A pattern is said where its criteria hold in results that were taken together (within the window of the leading one); it names
no diagnosis and no dose. "low", "high" and "abnormal" mean the flag of that result, by the laboratory's own interval first.
"a or b" holds where one does. What speaks for or against is shown with it, and decides nothing. Where one pattern says what
another would (*instead of*), only the larger is shown.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for organ in ORGANS:
        parts.append(f"\n## {organ.replace('_', '-').capitalize()}\n")
        parts += [_entry(spec) for spec in specs() if spec.organ == organ]
    return "".join(parts)


def _entry(spec: Spec) -> str:
    title = words.template("en", f"pattern-{spec.id}-title")
    lines = [f"### `{spec.id}`\n", f"*{title}* ({spec.severity})\n"]
    if spec.criteria:
        numbers = {name: f"{number:g}" for name, number in spec.limits.items()}
        lines.append(f"- {spec.criteria.format_map(numbers)}")
    lines += [f"- {_text(one)}" for one in spec.all]
    lines += [f"- one of: {_list(group)}" for group in spec.any]
    if spec.at_least is not None:
        lines.append(f"- at least {spec.at_least[0]} of: {_list(spec.at_least[1])}")
    if spec.none:
        lines.append(f"- none of: {_list(spec.none)}")
    lines.append(f"- Window: {spec.window.total_seconds() / 3600:g} h{_whom(spec)}")
    if spec.speaks_for:
        lines.append(f"- For: {_list(spec.speaks_for)}")
    if spec.speaks_against:
        lines.append(f"- Against: {_list(spec.speaks_against)}")
    if spec.subsumes:
        lines.append(f"- Instead of: {', '.join(f'`{id}`' for id in spec.subsumes)}")
    lines.append(f"- Source: {spec.citation}")
    return "\n" + "\n".join(lines) + "\n"


def _whom(spec: Spec) -> str:
    low, high = spec.age
    parts = []
    if high < 200:
        parts.append(f"ages {low:g} to {high:g} years")
    elif low > 0:
        parts.append(f"from {low:g} years")
    if spec.pregnant is not None:
        parts.append("in pregnancy" if spec.pregnant else "not in pregnancy")
    return f"; {', '.join(parts)}" if parts else ""


def _list(conditions: Iterable[Condition]) -> str:
    return "; ".join(_text(one) for one in conditions)


def _text(one: Condition) -> str:
    names, _, rest = one.text.partition(" ")
    return f"{names.replace('|', ' or ')} {rest}"


if __name__ == "__main__":
    print(page(), end="")
