"""The laboratory's own flag (interpretation), as codes of HL7 v3 ObservationInterpretation and v2 table 0078."""

from __future__ import annotations

from fhir_adapter import wire
from fhir_adapter.elements import concepts

_V3 = (
    "< > A AA AC B D DET E EX EXP H H> HH HU HX I IE IND L L< LL LU LX MS N NCL ND NEG NR NS OBX POS R RR S SDD SYN-R"
    " SYN-S TOX U UNE VS W WR CAR CARRIER QCF"
)
_V2 = "LLL HHH LU HM SM NULL N/A"
INTERPRETATIONS = frozenset(_V3.split()) | frozenset(_V2.split())
"""HL7 v3 ObservationInterpretation and v2 table 0078."""
_INTERPRETATION_WORDS = {
    "high": "H",
    "low": "L",
    "normal": "N",
    "abnormal": "A",
    "critical high": "HH",
    "critical low": "LL",
    "critically high": "HH",
    "critically low": "LL",
    "critical abnormal": "AA",
    "critically abnormal": "AA",
    "very high": "HH",
    "very low": "LL",
    "significantly high": "HU",
    "significantly low": "LU",
    "positive": "POS",
    "negative": "NEG",
    "detected": "DET",
    "not detected": "ND",
    "reactive": "RR",
    "non-reactive": "NR",
    "resistant": "R",
    "susceptible": "S",
    "intermediate": "I",
    "indeterminate": "IND",
    "abnormal high": "H",
    "abnormal low": "L",
    "above normal": "H",
    "below normal": "L",
    "above high normal": "H",
    "below low normal": "L",
    "above normal range": "H",
    "below normal range": "L",
    "out of range": "A",
    "panic high": "HH",
    "panic low": "LL",
    "above upper panic limits": "HH",
    "below lower panic limits": "LL",
    "hi": "H",
    "lo": "L",
    "h*": "H",
    "l*": "L",
    "*h": "H",
    "*l": "L",
    "\u2191": "H",
    "\u2193": "L",
    "élevé": "H",
    "elevé": "H",
    "bas": "L",
    "anormal": "A",
    "hoch": "H",
    "erhöht": "H",
    "niedrig": "L",
    "erniedrigt": "L",
    "auffällig": "A",
    "hoog": "H",
    "verhoogd": "H",
    "laag": "L",
    "verlaagd": "L",
    "alto": "H",
    "elevado": "H",
    "bajo": "L",
    "baixo": "L",
    "basso": "L",
    "wysoki": "H",
    "niski": "L",
}
"""Words for the codes: HL7's own names of them (v2-0078), what systems print, and the words of other languages."""


def interpretations(sent: wire.Concepts) -> tuple[str, ...]:
    """The codes of interpretation, upper case, each once; words ("High") where no code is one that HL7 defines."""
    found: list[str] = []
    for concept in concepts(sent):
        said = [coding.code.strip().upper() for coding in concept.coding or () if coding.code]
        codes = [code for code in said if code in INTERPRETATIONS]
        if not codes:
            texts = [concept.text, *(part for coding in concept.coding or () for part in (coding.display, coding.code))]
            for text in texts:
                folded = (text or "").strip().lower()
                if folded in _INTERPRETATION_WORDS:
                    codes = [_INTERPRETATION_WORDS[folded]]
                    break
                if folded.upper() in INTERPRETATIONS:
                    codes = [folded.upper()]
                    break
        found.extend(code for code in codes if code not in found)
    return tuple(found)
