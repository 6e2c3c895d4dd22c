"""A titre ("1:160", "< 1:40") against the laboratory's own limit, which it prints as text ("< 1:40", "1:80")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from fhir_adapter.intervals import kind
from fhir_adapter.model import Answer, ReferenceRange, Titre

_TEXT = re.compile(
    r"\s*(?P<sign><=|>=|[≤≥<>]|up to|jusqu'à|inf\.? à)?\s*1\s*[:/]\s*(?P<dilution>\d{1,7})\s*\Z", re.IGNORECASE
)
_SIGNS = {"up to": "<=", "jusqu'à": "<=", "≤": "<=", "≥": ">=", "inf à": "<", "inf. à": "<"}


def judge(value: Titre | Answer, ranges: Sequence[ReferenceRange]) -> tuple[Literal["N", "H"], str] | None:
    """Whether a titre lies above the limit, and the limit as printed; None where the laboratory gives none, or several,
    or one for some people only, or where the titre is a bound that reaches across it.

    The higher the dilution that still reacts, the more there is: 1:160 is above 1:40. "< 1:40" leaves 1:40 itself out,
    "1:40" and "≤ 1:40" take it in.
    """
    normal = [one for one in ranges if one.text and kind(one) == "normal"]
    if len(normal) != 1 or normal[0].applies_to or normal[0].age_low is not None or normal[0].age_high is not None:
        return None
    limit = _read(normal[0].text or "")
    if isinstance(value, Answer):
        found = _read(value.text)
    else:
        found = ("", value.denominator / value.numerator) if value.numerator > 0 else None
    if limit is None or found is None or limit[0] in (">", ">="):
        return None
    side = _side(*found, top=limit[1], inclusive=limit[0] != "<")
    return None if side is None else (side, (normal[0].text or "").strip())


def _read(text: str) -> tuple[str, float] | None:
    """(sign, dilution) of a titre as text."""
    found = _TEXT.match(text[:40])
    if found is None or not int(found["dilution"]):
        return None
    sign = (found["sign"] or "").lower()
    return _SIGNS.get(sign, sign), float(found["dilution"])


def _side(sign: str, dilution: float, *, top: float, inclusive: bool) -> Literal["N", "H"] | None:
    inside = dilution < top or (dilution == top and inclusive)
    if sign.startswith("<"):
        return "N" if inside or (dilution == top and sign == "<") else None
    if sign.startswith(">"):
        return "H" if not inside or (dilution == top and sign == ">") else None
    return "N" if inside else "H"
