"""What stands beside a number where a laboratory prints a whole line into one string: its flag ("6.2 (H)", "*11.0"), its interval
("5.1 mmol/L [2.5-7.8]"); and a unit that stands in the name of the test ("Glucose (mmol/L)")."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from fhir_adapter import interval_text, values
from fhir_adapter.model import Answer, Quantity, ReferenceRange, Span, Value
from fhir_adapter.unit_names import known_spelling

_WITH_INTERVAL = re.compile(
    r"(?P<value>[^\[\](){}]{1,60}?)\s*(?:\[(?P<square>[^\[\]]{3,60})\]|\((?P<round>[^()]{3,60})\))\s*\Z"
)
_SURE_FLAG = re.compile(r"\s*(?:\((?P<letters>HH?|LL?)\)|(?P<arrow>[\u2191\u2193\u25b2\u25bc]))\s*\Z")
_LETTERED = re.compile(r"(?:\*+\s*|(?P<before>HH?|LL?)\s+)?[<>]?=?\s*\d[\d.,]*\s*(?:\*+|(?P<after>HH?|LL?))?\Z")
_ARROWS = {"\u2191": "H", "\u25b2": "H", "\u2193": "L", "\u25bc": "L"}
_UNIT_LAST = re.compile(r"(?P<name>.*\S)(?:\s*[(\[](?P<inner>[^()\[\]]{1,20})[)\]]|,?\s+(?P<bare>\S*[/%]\S*))\s*\Z")


class Line(NamedTuple):
    """A value, with the interval and the flag that stood in its string, if any did."""

    value: Value
    interval: ReferenceRange | None = None
    flag: str | None = None


def line(answer: Answer, *, has_interval: bool) -> Line:
    """What a string that is no number by itself says. Nothing is guessed: "6.2 L" may be litres, so that a letter without brackets is
    a flag only where the test has an interval of its own."""
    text = answer.text
    if len(text) > values.MAX_TEXT:
        return Line(answer)
    if not has_interval and (found := _with_interval(text)) is not None:
        return found
    sure = _SURE_FLAG.search(text)
    if not has_interval and sure is None:
        return Line(answer)
    value = values.without_flag(text)
    if value is None:
        return Line(answer)
    return Line(value, flag=None if sure is None else sure["letters"] or _ARROWS[sure["arrow"]])


def _with_interval(text: str) -> Line | None:
    match = _WITH_INTERVAL.match(text)
    if match is None:
        return None
    printed = match["square"] or match["round"]
    if not isinstance(interval_text.parse_text(printed), interval_text.Bounds):
        return None
    said, flag = match["value"].strip(), None
    value = values.parse_text(said)
    if isinstance(value, Answer):
        value = values.without_flag(said) or value
    if not isinstance(value, Quantity | Span):
        return None
    return Line(value, ReferenceRange(None, None, printed), flag)


def lettered(text: str) -> tuple[Quantity, str | None] | None:
    """The number and the flag of "118 L" or "*7.1", for a test whose unit is known to be neither litres nor hours."""
    match = _LETTERED.match(text)
    value = None if match is None else values.without_flag(text)
    if match is None or not isinstance(value, Quantity):
        return None
    return value, (match["before"] or match["after"] or "").upper() or None


@lru_cache(maxsize=4096)
def unit_in_name(name: str | None) -> tuple[str, str] | None:
    """(name, unit) of a test's name that ends with a unit: in brackets, or a word with a slash or a percent sign in it."""
    match = _UNIT_LAST.match(name) if name and len(name) < 120 else None
    if match is None:
        return None
    unit = (match["inner"] or match["bare"]).strip()
    return (match["name"].rstrip(" ,"), unit) if _says_a_unit(unit) else None


def _says_a_unit(text: str) -> bool:
    """Whether a text can only be a unit: "INR", "index" and "ratio" are names as well."""
    return bool(re.search(r"[/%*^]", text) or text in ("fL", "fl", "pg", "sec", "mmHg")) and bool(known_spelling(text))
