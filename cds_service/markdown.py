"""Text from a bundle, made safe for GitHub Flavored Markdown: it is data, never markup."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_MARKUP = "\\`*_{}[]()#+!|~>$-&<@"
_SPECIAL = re.compile(f"[{re.escape(_MARKUP)}]")
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in _MARKUP} | {"&": "&amp;", "<": "&lt;", "@": "&#64;"})
_NUMBERED = re.compile(r"^(\d{1,9})(\.)(?= |$)")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|javascript|data|www)(?=[:.])")
_LINK_STARTS = ("http", "ftp", "mailto", "javascript", "data", "www")


def plain(text: str, limit: int = 120) -> str:
    """One line without control or format characters, cut at ``limit``."""
    if text.isprintable():
        kept = text  # most texts: nothing to take out
    else:
        kept = "".join(" " if character.isspace() else character for character in text if _visible(character))
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1].rstrip() + "…"


def _visible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")


def escape(text: str, limit: int = 120) -> str:
    """``plain`` text with everything that Markdown or HTML would read as markup escaped; bare links are broken."""
    safe = plain(text, limit)
    if _SPECIAL.search(safe):
        safe = safe.translate(_ESCAPED)
    if safe[:1].isdigit():
        safe = _NUMBERED.sub(r"\1\\\2", safe)
    if _may_link(safe):
        safe = _LINK.sub(lambda match: match[1][0] + "&#8203;" + match[1][1:], safe)
    return safe


def _may_link(text: str) -> bool:
    """False where nothing can be a link, as in nearly all texts: found out in a fraction of the time of the pattern."""
    if "." not in text and ":" not in text:
        return False
    lowered = text.lower()
    return not text.isascii() or any(start in lowered for start in _LINK_STARTS)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A GFM table; cells are already escaped."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
