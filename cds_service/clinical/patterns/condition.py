"""One criterion as a physician writes it: "ferritin < 15 ng/mL", "alt|ast >= 3 x limit", "haptoglobin low".

Names are analytes of the catalog, else derived values; "a|b" holds where one of them does. Numbers are in the canonical
unit, which is written out (a test holds it against the catalog). A bound ("< 10") counts where all it leaves open does.
What isn't there meets no criterion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence

_WORDS: Mapping[str, frozenset[str]] = {
    "low": frozenset({"L", "LL"}),
    "high": frozenset({"H", "HH"}),
    "normal": frozenset({"N"}),
    "abnormal": frozenset({"L", "LL", "H", "HH", "A", "AA"}),
    "critical": frozenset({"LL", "HH", "AA"}),
}
_FORM = re.compile(
    r"(?P<names>[a-z0-9|-]+) (?:(?P<word>[a-z]+)|(?P<sign><=|>=|<|>) (?P<number>-?\d+(?:\.\d+)?)(?: (?P<unit>\S.*))?)\Z"
)
_TIMES = "x limit"
_EPSILON = 1e-9
"""Decimal numbers meet their limit: 0.3 x 3 must reach 0.9."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A criterion. ``codes`` for words, else ``sign`` and ``number`` in ``unit`` ("x limit": multiples of the high limit of
    its own interval)."""

    text: str
    names: tuple[str, ...]
    codes: frozenset[str] = frozenset()
    sign: str = ""
    number: float = 0.0
    unit: str = ""

    def holds(self, seen: Seen) -> str | None:
        """The name that meets it, or None."""
        for name in self.names:
            if name not in seen.newest and name not in seen.derived:
                continue
            if self._met(name, seen):
                return name
        return None

    def _met(self, name: str, seen: Seen) -> bool:
        if self.codes:
            return seen.code(name) in self.codes
        reach = seen.reach_of_limit(name) if self.unit == _TIMES else seen.reach(name)
        if reach is None:
            return False
        low, high, closed = reach
        if self.sign[0] == "<":
            return _under(high, closed, self.number, inclusive=self.sign == "<=")
        return _under(-low, closed, -self.number, inclusive=self.sign == ">=")

    def evidence(self, seen: Seen) -> Evidence | None:
        """What meets it, to be shown; None where nothing does or it was not judged."""
        name = self.holds(seen)
        if name is None:
            return None
        index = seen.newest.get(name)
        if index is None:
            return Evidence(derived=seen.derived[name])
        return Evidence(index=index) if seen.findings[index].code is not None else None


def _under(top: float, closed: bool, limit: float, *, inclusive: bool) -> bool:
    """Whether everything up to ``top`` lies under the limit."""
    near = abs(top - limit) <= _EPSILON * max(1.0, abs(limit))
    return (inclusive or not closed) if near else top < limit


def condition(text: str) -> Condition:
    """Reads a criterion.

    Raises:
        ValueError: it isn't one.
    """
    found = _FORM.match(text)
    if found is None or (found["word"] is not None and found["word"] not in _WORDS):
        raise ValueError(f"not a criterion: {text!r}")
    names = tuple(found["names"].split("|"))
    if found["word"] is not None:
        return Condition(text, names, _WORDS[found["word"]])
    return Condition(text, names, sign=found["sign"], number=float(found["number"]), unit=found["unit"] or "")
