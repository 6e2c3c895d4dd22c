"""Text from a bundle, made safe for GitHub Flavored Markdown: it is data, never markup."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_MARKUP = "\\`*_{}[]()#+!|~>$-&<@"
_SPECIAL = re.compile(f"[{re.escape(_MARKUP)}]")
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in _MARKUP} | {"&": "&amp;", "<": "&lt;", "@": "&#64;"})
_NUMBERED = re.compile(r"(\d{1,9})\.(?= |$)")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|javascript|data|www)(?=[:.])")
_MAY_LINK = re.compile(r"(?i)[psotaw][:.]")
"""How all of these end: hardly any text has it, and that is found out in a fraction of the time."""


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
    if safe[:1].isdigit() and (numbered := _NUMBERED.match(safe)):
        safe = f"{numbered[1]}\\{safe[numbered.end(1) :]}"
    if _MAY_LINK.search(safe):
        safe = _LINK.sub(lambda match: match[1][0] + "&#8203;" + match[1][1:], safe)
    return safe


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A GFM table; cells are already escaped."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
