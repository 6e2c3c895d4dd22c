"""Folding of names and answers: case, accents, punctuation and spaces don't tell texts apart."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_OTHER = re.compile(r"(?:[^\w%+#\u30fb]|_)+")
"""Letters of every script stay: without its letters each name of a script would be the same empty one."""
_SYMBOL = re.compile(r"(?<![\u0370-\u03ff])[\u03b1\u03b2\u03b3\u03bc](?![\u0370-\u03ff])")
"""A Greek letter by itself ("\u03b3-GT", "\u03bcg"); in a Greek word it's a letter like others."""
_SPELLED = str.maketrans(
    {
        "\u00df": "ss",
        "\u0153": "oe",
        "\u00e6": "ae",
        "\u00f8": "o",
        "\u0142": "l",
        "\u0131": "i",
    }
)
_SYMBOLS = {"\u03bc": "u", "\u03b1": "alpha", "\u03b2": "beta", "\u03b3": "gamma"}


@lru_cache(maxsize=16384)
def fold(text: str) -> str:
    """Lower case, without accents; every run of punctuation and spaces becomes one space. "%", "+" and "#" stay: they
    tell analytes apart ("Basophils %")."""
    if text.isascii():  # most names: nothing to decompose
        return _OTHER.sub(" ", text[:200].lower()).strip()
    plain = unicodedata.normalize("NFKD", text[:200]).casefold().translate(_SPELLED)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    plain = _SYMBOL.sub(lambda symbol: _SYMBOLS[symbol[0]], unicodedata.normalize("NFC", plain))
    return _OTHER.sub(" ", plain).strip()
