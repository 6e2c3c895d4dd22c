"""The laboratory's own interpretation codes (HL7 v3 ObservationInterpretation, v2-0078) as one of ours."""

from __future__ import annotations

from collections.abc import Sequence

from cds_service.domain import Code

_MEANING: dict[str, Code] = {
    "N": "N",
    "NEG": "N",
    "ND": "N",
    "NR": "N",
    "L": "L",
    "LU": "L",
    "LX": "L",
    "<": "L",
    "LL": "LL",
    "H": "H",
    "HU": "H",
    "HX": "H",
    ">": "H",
    "HH": "HH",
    "A": "A",
    "AA": "AA",
    "POS": "A",
    "DET": "A",
    "RR": "A",
    "WR": "A",
    "R": "A",
    "NS": "A",
    "S": "N",
}
"""Codes that say normal or abnormal. A drug that an organism resists is a finding, as the word "resistant" is. Trends (U, D, B, W),
an intermediate susceptibility and "not assessable" say neither."""

_URGENCY = ("N", "A", "L", "H", "AA", "LL", "HH")


def meaning(codes: Sequence[str]) -> Code | None:
    """The most urgent of the codes that say something; None where none does."""
    if not codes:
        return None
    known = [_MEANING[code] for code in codes if code in _MEANING]
    return max(known, key=_URGENCY.index, default=None)
