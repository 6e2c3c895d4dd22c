"""Text from outside, made harmless for the prompt: names, units and answers are data, never structure or instruction.

What comes out is one line, short, printable, and holds none of the characters the prompt's format or a tokenizer's special
tokens are made of.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

NAME_LIMIT = 48
UNIT_LIMIT = 20
ANSWER_LIMIT = 40
"""Most characters of a name, a unit and an answer in words."""

_STRUCTURE = '=<>[]{}|;"\\`#'
_TO_PLAIN = str.maketrans({"[": "(", "]": ")", "{": "(", "}": ")", "|": "/", ";": ",", '"': "'", "`": "'"})
_SIGNS = re.compile(r"([<>]=?(?=\s?\d))|[<>=\\#]")
"""Comparison signs before a number ("<1:40", ">=5"), which stay, and all others, which go."""
_SPACE = re.compile(r"\s+")
_ARROWS = ((0x2190, 0x21FF), (0x2794, 0x27BE), (0x27F0, 0x27FF), (0x2900, 0x297F), (0x2B00, 0x2BFF), (0x1F800, 0x1F8FF))


def clean(text: str, limit: int) -> str:
    """``text`` on one line, at most ``limit`` characters, without control, format or structure characters.

    Letters, digits and signs of any script stay as written ("10³/µL"); look-alikes of structure characters go.
    """
    kept = "".join(map(_safe, text[: limit * 4]))
    kept = _SIGNS.sub(lambda sign: sign[1] or " ", kept.translate(_TO_PLAIN))
    kept = _SPACE.sub(" ", kept).strip()
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip("<>=: ") + "…"


@lru_cache(maxsize=4096)
def _safe(character: str) -> str:
    if character == " " or character.isspace():
        return " "
    if not character.isprintable():  # control, format (bidi, zero width), private use, lone surrogates
        return " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else ""
    if character.isascii():
        return character
    code = ord(character)
    if any(first <= code <= last for first, last in _ARROWS):
        return " "
    folded = unicodedata.normalize("NFKC", character)
    return " " if any(sign in _STRUCTURE for sign in folded) else character


@lru_cache(maxsize=4096)
def clean_name(name: str) -> str:
    """A test's name; "unnamed" where nothing is left of it."""
    return clean(name, NAME_LIMIT) or "unnamed"


@lru_cache(maxsize=4096)
def clean_unit(unit: str) -> str:
    """A unit as written; empty where nothing is left of it."""
    return clean(unit, UNIT_LIMIT)


def clean_answer(answer: str) -> str:
    """A result in words; not cached, since it may be the patient's own text."""
    return clean(answer, ANSWER_LIMIT) or "empty"
