"""Folding of names and answers: case, accents, punctuation and spaces don't tell texts apart."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_OTHER = re.compile(r"[^a-z0-9%+#]+")


@lru_cache(maxsize=16384)
def fold(text: str) -> str:
    """Lower case, without accents; every run of punctuation and spaces becomes one space. "%", "+" and "#" stay: they
    tell analytes apart ("Basophils %")."""
    if text.isascii():  # most names: nothing to decompose
        return _OTHER.sub(" ", text[:200].lower()).strip()
    plain = unicodedata.normalize("NFKD", text[:200]).casefold().replace("ß", "ss").replace("œ", "oe").replace("μ", "u")
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return _OTHER.sub(" ", plain).strip()
