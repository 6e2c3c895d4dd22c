"""How numbers, units and punctuation are set for a reader: UCUM as people write it, French commas, thousands and spaces."""

from __future__ import annotations

import re

NARROW = "\u202f"
"""The narrow no-break space that French sets before ; : ? ! % and between thousands."""

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_POWER = re.compile(r"(?P<times>(?<=\d ))?10[*^](?P<power>\d+)")
_BRACKET = re.compile(r"\[([A-Za-z]+)(?:'U)?\]")
_BRACE = re.compile(r"(?<=[A-Za-z%])\{([^{}]*)\}")
_LONE_BRACE = re.compile(r"\{([^{}]*)\}")
_MICRO = re.compile(r"(?<![A-Za-z])u(?=(?:g|mol|L|l|kat|m|U|IU|Eq)(?![A-Za-z]))")
_WRITTEN_OTHERWISE = re.compile(r"[\[{*^u]|mosm/|1\.73")
"""What any of the changes needs; most texts have none of it. Texts hold values, so that none is kept in a cache."""
_AREA = re.compile(r"/(?:\{1\.73_m2\}|1\.73\.?m2)")
_DECIMAL = re.compile(r"(?<=\d)\.(?=\d)")
_LONG = re.compile(r"(?<![\d.,])\d{5,}(?![\d])")
_THOUSANDS = re.compile(r"(?<=\d)(?=(?:\d{3})+$)")
_BEFORE = re.compile(r" (?=\\?[;:?!%»])")
_AFTER = re.compile(r"(?<=«) ")
_GROUPED = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")


def unit(text: str) -> str:
    """UCUM and its like as people write them, alone or behind a number: "38 10*3/uL" is "38 × 10³/µL", "m[IU]/L" is "mIU/L"."""
    if _WRITTEN_OTHERWISE.search(text) is None:
        return text
    text = text.replace(" [pH]", "").replace("[pH]", "").replace("mm[Hg]", "mm Hg").replace("mosm/", "mOsm/")
    text = _AREA.sub("/1.73 m²", text)
    text = _BRACKET.sub(lambda found: "IU" if found[1] == "iU" else found[1], text)
    text = _LONE_BRACE.sub(r"\1", _BRACE.sub(r" \1", text))
    return _MICRO.sub("µ", _POWER.sub(_power, text))


def _power(found: re.Match[str]) -> str:
    return ("× 10" if found["times"] is not None else "10") + found["power"].translate(_RAISED)


def numbers(text: str, language: str) -> str:
    """The numbers of a short text as the language writes them; spaces between thousands become narrow in :func:`typeset`."""
    if language != "fr":
        return text
    grouped = _LONG.sub(lambda found: _THOUSANDS.sub(" ", found[0]), text)
    return _DECIMAL.sub(",", grouped)


def typeset(text: str, language: str) -> str:
    """A finished line or Markdown text with the language's spaces."""
    if language != "fr":
        return text
    return _GROUPED.sub(NARROW, _AFTER.sub(NARROW, _BEFORE.sub(NARROW, text)))
