"""Folding of names and answers: case, accents, punctuation and spaces don't tell texts apart."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_OTHER = re.compile(r"[^a-z0-9%+#\u0400-\u04ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")
"""Letters stay of the Latin, Cyrillic, Japanese, Chinese and Korean scripts."""
_SPELLED = str.maketrans(
    {
        "\u00df": "ss",
        "\u0153": "oe",
        "\u00e6": "ae",
        "\u00f8": "o",
        "\u0142": "l",
        "\u03bc": "u",
        "\u03b1": "alpha",
        "\u03b2": "beta",
        "\u03b3": "gamma",
    }
)


@lru_cache(maxsize=16384)
def fold(text: str) -> str:
    """Lower case, without accents; every run of punctuation and spaces becomes one space. "%", "+" and "#" stay: they
    tell analytes apart ("Basophils %")."""
    if text.isascii():  # most names: nothing to decompose
        return _OTHER.sub(" ", text[:200].lower()).strip()
    plain = unicodedata.normalize("NFKD", text[:200]).casefold().translate(_SPELLED)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return _OTHER.sub(" ", unicodedata.normalize("NFC", plain)).strip()
