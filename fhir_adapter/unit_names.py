"""What laboratories write for a unit, and the UCUM code of it.

A unit is read piece by piece ("THOU" over "uL"), so that spellings combine; ``WHOLE`` holds what doesn't come apart.
What isn't recognised stays unknown: it is never mapped to something that merely looks alike.
"""

from __future__ import annotations

import re
import unicodedata

from fhir_adapter.unit_tables import EXACT, NOT_FOLDED, NOTHING, PIECES, TOP, VOLUMES, WHOLE

MAX_LENGTH = 40
"""Longer texts are not units."""

_POWER = re.compile(
    r"^[x*]?(?:10(?:\^|\*\*|\*|e\+?|x|\()?(?P<power>3|6|9|12)|10(?:\^|\*\*|\*|e\+?)(?P<odd>[2458])|e(?P<bare>3|6|9|12))\)?$"
)
"""Japan counts in hundreds and ten thousands. Without a sign for the power ("x104") only the usual ones are read."""
_REMARK = re.compile(r"\((?:calc|calculated|berechnet|calcul[eé])\.?\)")
_DOTTED = re.compile(r"(?<![a-z.])(tsd|mio|tys|mln|mill|sek|seg|sec)\.(?![a-z])")
"""An abbreviation with its point: "Mio./ul"."""
_GFR = re.compile(r"^ml/min(?:/|per|pour)?[{(]?1[.,]73(?:_|\.|x)?(?:m\^?\*?2|sqm|qm|mq|msq)?[})]?$")
_DIMER = re.compile(r"^(?P<unit>[^{]+/[^{]+?)(?:\{(?P<known>feu|ddu)\}|(?P<plain>feu|ddu))$")
_SUPERSCRIPT = str.maketrans(
    {"²": "2", "³": "3", "⁶": "6", "⁹": "9", "¹": "1", "⁴": "^4", "×": "x", "µ": "u", "μ": "u", "−": "-"}
)
_ACCENTS = str.maketrans("éèêàâîïôûçõ", "eeeaaiiouco")


def known_spelling(text: str) -> str | None:
    """UCUM code of a spelling known here; None for others.

    Returns "" where the text says that there is no unit ("N/A", "none").
    """
    plain = text.strip().translate(_SUPERSCRIPT)
    if not plain.isascii():
        plain = unicodedata.normalize("NFKC", plain).translate(_SUPERSCRIPT)  # "㎎/㎗", full-width letters
    if (exact := EXACT.get(plain)) is not None:
        return exact
    if plain in NOT_FOLDED:
        return None
    folded = _REMARK.sub("", "".join(plain.lower().translate(_ACCENTS).split()))
    if folded in NOTHING:
        return ""
    if (whole := WHOLE.get(folded)) is not None:
        return whole
    if _GFR.match(folded):
        return "mL/min/{1.73_m2}"
    if dimer := _DIMER.match(folded):
        inner = _pieces(dimer["unit"])
        return None if inner is None else f"{inner}{{{(dimer['known'] or dimer['plain']).upper()}}}"
    return _pieces(folded)


def _pieces(folded: str) -> str | None:
    folded = _DOTTED.sub(r"\1", folded)
    if folded.startswith("per"):
        folded = f"/{folded[3:]}"
    top, *below = re.split(r"/|(?<=[a-z#])per(?=[a-z])", folded)
    bottom = [PIECES.get(piece) for piece in below]
    if not bottom:
        return PIECES.get(top)
    if None in bottom:
        return None
    under = "".join(f"/{piece}" for piece in bottom)
    if bottom[0] in VOLUMES or bottom[0] in ("[HPF]", "[LPF]"):
        count = _count(top)
        if count is not None:
            return f"{count}{under}"
    first = PIECES.get(top)
    return None if first is None else f"{first}{under}"


def _count(top: str) -> str | None:
    top = re.sub(r"\{?(?:cells?|cel|celulas|wbc|rbc|leuk|plt|platelets?)\}?$", "", top) if top not in TOP else top
    if top in TOP:
        return TOP[top]
    power = _POWER.match(top)
    return f"10*{power['power'] or power['odd'] or power['bare']}" if power else None
