"""A laboratory's result text -> a value. Nothing is guessed: text that could be read in two ways stays an Answer.

``parse_text`` reads numbers with decimal point or comma, bounds, ranges, titres and a unit that follows its number;
everything else ("1+", "TRACE", "POSITIVE") is an :class:`~fhir_adapter.model.Answer`.
"""

from __future__ import annotations

import math
import re

from fhir_adapter.model import Answer, Comparator, Quantity, Span, Titre, Value
from fhir_adapter.unit_names import known_spelling
from fhir_adapter.units import normalize_unit

MAX_TEXT = 80
"""Text longer than this is prose, not a number."""

_SPACES = "\u00a0\u2007\u2009\u202f"
_NUMBER = rf"[-+\u2212]?(?:\d[\d.,'{_SPACES}]*\d|\d|[.,]\d+)(?:[eE][-+]?\d+)?"
_COMPARATORS: dict[str, Comparator] = {
    "<": "<",
    "<=": "<=",
    "=<": "<=",
    "\u2264": "<=",
    ">": ">",
    ">=": ">=",
    "=>": ">=",
    "\u2265": ">=",
    "less than": "<",
    "below": "<",
    "under": "<",
    "inférieur à": "<",
    "greater than": ">",
    "more than": ">",
    "above": ">",
    "over": ">",
    "supérieur à": ">",
}
_WORDS = "|".join(re.escape(word) for word in sorted(_COMPARATORS, key=len, reverse=True))
_FLAGGED = re.compile(
    r"(?:(?:\*+|HH?\s|LL?\s)\s*)?(?P<value>[-+<>=\u2264\u2265.,\d].*?)(?:\s*\*+|\s*\((?:HH?|LL?|N|\*)\)|\s+(?:HH?|LL?|N)|\s*[\u2191\u2193\u25b2\u25bc]|\s\++)?"
    r"(?P<unit>\s+[^\s\d()]\S*)?\Z"
)
_STRUCTURED = re.compile(
    rf"(?P<sign><>|<=|>=|<|>|=)?\^(?P<first>{_NUMBER})(?:\^(?P<between>[-:/])\^(?P<second>{_NUMBER}))?\^*\Z"
)
"""HL7 v2's SN, left as it came: comparator^number^separator^number."""
_UNIT = r"(?:\s*(?P<unit>[^\W\d_][^\s;,<>=+]*|[%[#\u00b0\u2030][^\s;,<>=+]*|/[^\s\d;,<>=+]+|/mm[3\u00b3](?![^\s])|[x\u00d7]?\s?10[*^e]\d{1,2}/[^\s+]+))?"
_SPACED_UNIT = re.compile(
    rf"(?P<plain>(?:{_WORDS})?\s*{_NUMBER})\s*(?P<unit>[^\W\d_][^;,<>=]{{0,24}}\s[^;,<>=]{{1,24}})\Z", re.IGNORECASE
)
"""A unit with a space in it ("mL/min/1.73 m2"); read where it is known."""
_PLAIN = re.compile(rf"(?P<sign>{_WORDS})?\s*(?P<number>{_NUMBER}){_UNIT}\Z", re.IGNORECASE)
_SPAN = re.compile(
    rf"(?P<low>{_NUMBER})\s*(?:-|\u2013|\u2014|\.\.|\bto\b|\bà\b)\s*(?P<high>{_NUMBER}){_UNIT}\Z", re.IGNORECASE
)
_TITRE = re.compile(r"(?P<one>1)\s*[:/]\s*(?P<denominator>\d{1,7})\Z", re.ASCII)
_GRADE = re.compile(r"\+[1-4]\Z", re.ASCII)
_BLANK = re.compile(r"[\s_]*\Z")
_DECIMAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\Z", re.ASCII)
_COMMA_DECIMAL = re.compile(r"[-+]?(?:0|\d+),\d+\Z|[-+]?,\d+\Z", re.ASCII)
_AMBIGUOUS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}\Z", re.ASCII)
_THOUSANDS_COMMA = re.compile(
    r"[-+]?[1-9]\d{0,2}(?:,\d{3}){2,}(?:\.\d+)?\Z|[-+]?[1-9]\d{0,2}(?:,\d{3})+\.\d+\Z|[1-9]\d?(?:,\d{2})+,\d{3}\Z",
    re.ASCII,
)
"""The last as India groups: 2,50,000."""
_THOUSANDS_DOT = re.compile(r"[-+]?[1-9]\d{0,2}(?:\.\d{3})+,\d+\Z", re.ASCII)
_THOUSANDS_SPACE = re.compile(rf"[-+]?[1-9]\d{{0,2}}(?:[{_SPACES}']\d{{3}})+(?:[.,]\d+)?\Z", re.ASCII)
_SPACED_THOUSANDS = re.compile(
    rf"(?:{_WORDS})?\s*(?P<digits>[1-9]\d{{0,2}}(?: \d{{3}})+)(?:[.,]\d+)?\s*(?:[^\W\d]\S*|/\S+)\Z", re.IGNORECASE
)
"""Groups of three with a plain space between them, and a unit after them: "1 250 mg/dL". Without one they may be two numbers."""
_LOOKS_LIKE_UNIT = re.compile(r"[/%^*\u00b0\u00b5\u03bc\u2030]")
_SIMPLE_UNITS = frozenset(
    {"mg", "ug", "mcg", "ng", "pg", "kg", "mol", "mmol", "umol", "nmol", "pmol", "fmol", "meq", "osm", "mosm", "kat"}
    | {"dl", "ml", "ul", "fl", "iu", "miu", "mu", "kiu", "ukat", "nkat", "sec", "secs", "min", "hr", "mm", "cm"}
    | {"mmhg", "kpa", "ratio", "seconds", "sek", "seg"}
)
"""Units without a sign that gives them away. Single letters are out: "5 H" and "5 L" are flags."""


def blank(text: str) -> bool:
    """Whether there is nothing in it: empty, white space, or the underscores that stand for a value taken out."""
    return _BLANK.match(text) is not None


def parse_text(text: str, unit: str | None = None, shown_unit: str | None = None) -> Value:
    """Reads a result that a laboratory sent as text.

    Args:
        text: as sent ("<0.01", "11-20", "1:160", "5,2", "3.4 mg/dL", "TRACE").
        unit, shown_unit: the unit that came with it, if any; a unit in the text itself goes before it.

    Returns:
        Quantity, Span, Titre or Answer. ``text`` of the value keeps the digits as sent; an Answer keeps all of it.
        "1,234" (a thousand in one country, a little over one in another), "<1:40" (a bound of a titre) and "+2" (a
        grade or a number) stay Answers.
    """
    said = text.strip()
    if not said or len(said) > MAX_TEXT:
        return Answer(said)
    if " " in said and (found := _SPACED_THOUSANDS.match(said)) is not None:
        said = said.replace(found["digits"], found["digits"].replace(" ", ""), 1)
    if "^" in said and (found := _STRUCTURED.match(said)) is not None:
        said = f"{found['sign'] or ''}{found['first']}".lstrip("=")
        said += f"{found['between'] or ''}{found['second'] or ''}"
    found = _TITRE.match(said)
    if found is not None:
        denominator = float(found["denominator"])
        return Titre(1.0, denominator, said) if denominator else Answer(said)
    if _GRADE.match(said):
        return Answer(said)
    found = _PLAIN.match(said)
    if found is not None:
        return _quantity(found, unit, shown_unit) or Answer(said)
    found = _SPAN.match(said)
    if found is not None:
        return _span(found, unit, shown_unit) or Answer(said)
    spaced = _SPACED_UNIT.match(said)
    if spaced is not None and known_spelling(spaced["unit"]) and (found := _PLAIN.match(spaced["plain"])) is not None:
        return _quantity(found, spaced["unit"], spaced["unit"]) or Answer(said)
    return Answer(said)


def without_flag(text: str) -> Value | None:
    """The number, bound or range of a text that carries the laboratory's flag ("11.0 L", "*11.0", "5.9 (H)"); None for others.
    "L" may be litres and "H" hours, so that this is only for a test that has an interval of its own."""
    found = _FLAGGED.match(text.strip()) if len(text) <= MAX_TEXT else None
    if found is None or found["value"] == text.strip():
        return None
    unit = found["unit"] or ""
    if unit and not known_spelling(unit.strip()):
        return None
    value = parse_text(found["value"] + unit)
    return value if isinstance(value, Quantity | Span) else None


def number(text: str) -> float | None:
    """The number that digits stand for, or None where they can be read in two ways, or in none, or it isn't finite."""
    digits = text.replace("\u2212", "-")
    if not _DECIMAL.match(digits):
        if _THOUSANDS_COMMA.match(digits):
            digits = digits.replace(",", "")
        elif _THOUSANDS_DOT.match(digits):
            digits = digits.replace(".", "").replace(",", ".")
        elif _THOUSANDS_SPACE.match(digits):
            digits = re.sub(rf"[{_SPACES}']", "", digits).replace(",", ".")
        elif _COMMA_DECIMAL.match(digits) and not _AMBIGUOUS.match(digits):
            digits = digits.replace(",", ".")
        else:
            return None
    value = float(digits)
    return value if math.isfinite(value) else None


def counts_cells(unit: str | None) -> bool:
    """Whether single cells in a microlitre are counted: there "7,800" and "7.800" are thousands, since three decimals of a cell
    don't occur."""
    return normalize_unit(unit) == "/uL"


def _unit_of(found: re.Match[str], unit: str | None, shown: str | None) -> tuple[str | None, str | None] | None:
    """(unit, shown unit); None where what follows the number is a word rather than a unit."""
    own = found["unit"]
    if own is None:
        return unit, shown or unit
    if own.lower() in _SIMPLE_UNITS or (_LOOKS_LIKE_UNIT.search(own) and not _GRADE.match(own)):
        return own, own
    return None


def _quantity(found: re.Match[str], unit: str | None, shown: str | None) -> Quantity | None:
    value = number(found["number"])
    units = _unit_of(found, unit, shown)
    if value is None and units is not None and _AMBIGUOUS.match(found["number"]) and counts_cells(units[0]):
        value = float(found["number"].replace(",", ""))
    if value is None or units is None:
        return None
    sign = found["sign"]
    comparator = _COMPARATORS[sign.lower()] if sign else None
    return Quantity(value, units[0], comparator, found["number"], units[1], from_text=True)


def _span(found: re.Match[str], unit: str | None, shown: str | None) -> Span | None:
    low, high = number(found["low"]), number(found["high"])
    units = _unit_of(found, unit, shown)
    if low is None or high is None or low > high or units is None:
        return None
    text = found.string[: found.end("high")]
    return Span(low, high, units[0], text, units[1], from_text=True)
