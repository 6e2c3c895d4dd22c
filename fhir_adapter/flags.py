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
ABNORMAL = frozenset(
    ["A", "AA", "H", "HH", "HU", "HX", "H>", "L", "LL", "LU", "LX", "L<", "<", ">", "POS", "DET", "RR", "WR", "R", "NS"]
)
"""The codes by which a laboratory calls a result abnormal, whatever else came with it."""
_SNOMED_SYSTEMS = frozenset({"http://snomed.info/sct", "urn:oid:2.16.840.1.113883.6.96", "2.16.840.1.113883.6.96"})
_SNOMED = {
    **dict.fromkeys(("281302008", "75540009", "371879000"), "H"),
    **dict.fromkeys(("281300000", "62482003", "371880002"), "L"),
    **dict.fromkeys(("281301001", "17621005"), "N"),
    **dict.fromkeys(("394844007", "263654008"), "A"),
    "30714006": "R",
    "131196009": "S",
    **dict.fromkeys(("11896004", "264841006"), "I"),
}
"""SNOMED CT's words for it, as the Netherlands and Denmark send them: above, below, within and outside the reference range, high,
low, normal, abnormal; resistant, susceptible, intermediate."""
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
    "above reference range": "H",
    "below reference range": "L",
    "within reference range": "N",
    "outside reference range": "A",
    "measurement finding above reference range": "H",
    "measurement finding below reference range": "L",
    "measurement finding within reference range": "N",
    "measurement finding outside reference range": "A",
    "above range": "H",
    "below range": "L",
    "boven referentiewaarde": "H",
    "onder referentiewaarde": "L",
    "off scale high": "HX",
    "off scale low": "LX",
    "critical": "AA",
    "panic": "AA",
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
        said = [
            _SNOMED.get(code, code) if coding.system in _SNOMED_SYSTEMS else code for coding, code in _coded(concept)
        ]
        codes = [code for code in said if code in INTERPRETATIONS]
        if not codes:
            texts = [concept.text, *(part for coding in concept.coding or () for part in (coding.display, coding.code))]
            for text in texts:
                folded = (text or "").strip().lower().replace("_", " ")
                if folded in _INTERPRETATION_WORDS:
                    codes = [_INTERPRETATION_WORDS[folded]]
                    break
                if folded.upper() in INTERPRETATIONS:
                    codes = [folded.upper()]
                    break
        found.extend(code for code in codes if code not in found)
    return tuple(found)


def _coded(concept: wire.CodeableConcept) -> list[tuple[wire.Coding, str]]:
    return [(coding, coding.code.strip().upper()) for coding in concept.coding or () if coding.code]


def instead(codes: tuple[str, ...]) -> str | None:
    """The code that speaks where no value came: one that calls the result abnormal, unless another calls it normal. "N" and "S" say
    nothing of a result that isn't there."""
    return None if "N" in codes else next((code for code in codes if code in ABNORMAL), None)
