"""Answers in words: what the laboratory's interval, the analyte or the general words say of them."""

from __future__ import annotations

import re
from typing import Literal

from fhir_adapter.catalog import Analyte
from fhir_adapter.catalog.answers import classify, denial, denies, explains, immunity, intensified
from fhir_adapter.folding import fold
from fhir_adapter.model import Answer, PanelResult

Meaning = Literal["normal", "abnormal", "descriptive"]
By = Literal["analyte", "laboratory", "organism", "words"]

_MARKED = re.compile(r"\*[.\s]*\Z")
"""The laboratory's own mark on an answer ("RARE*"): what is usual elsewhere doesn't call that normal."""
_OPEN = re.compile(r"(?i)\b(?:see|refer|pending|to follow|en cours|preliminary|sample|specimen|voir)\b")
"""Words of an answer that names no finding yet, or points elsewhere."""
_PRESENT = frozenset(
    fold(words)
    for words in (
        *("positive", "pos", "positif", "reactive", "réactif", "detected", "détecté", "present", "présent"),
        *("immune", "immunisé", "immunized", "immunised"),
    )
)
"""What a laboratory expects where having it is normal: an immunity, a commensal. Grades ("trace", "few") are not here:
where they are allowed, so is none."""


_PRESENCE = re.compile(
    r"\b(?:pos|posit\w*|pozit\w*|react\w*|reakt\w*|reatt\w*|reat\w*|reag\w*|detect\w*|detet\w*|present\w*|nachweisbar|"
    r"nachgewiesen|aantoonbaar|rilevat\w*|dodatni\w*|wykryt\w*|pavis\w*|prokazan\w*|saptandi|θετικ\w*)\b"
)
"""Words, folded, of an answer that found what was sought, and not of how much."""
_WEAK = re.compile(
    r"\b(?:weak\w*|low\w*|faint\w*|trace\w*|schwach|faible\w*|debil\w*|zwak|svag\w*|svak\w*|slab\w*|zayif|minimal\w*)\b"
)
_STATE = re.compile(r"norm|wnl|unremarkable|unauff")
_YES_NO = frozenset({"yes", "no", "y", "n", "true", "false", "oui", "non"})
"""What answers a question as well as a test: nothing where the test isn't known."""


def judge(placed: PanelResult, answer: Answer) -> tuple[Meaning, By] | None:
    """Whether an answer is normal, and who says so: the answers that the laboratory's own interval calls normal first,
    then the analyte's, then what the words say by themselves. None where nobody knows."""
    folded = fold(answer.text)
    analyte = placed.analyte
    if analyte is not None and analyte.descriptive and not analyte.judges_answers:
        return "descriptive", "analyte"
    general = _general(answer, folded, analyte)
    known = _by_analyte(placed, folded, answer.text)
    marked = bool(_MARKED.search(answer.text))
    if known == "normal" and marked:
        known = None
    found = general if analyte is not None and analyte.when_present == "normal" else known or general
    if placed.expected and (own := _by_laboratory(placed, folded, found)) is not None:
        return own, "laboratory"
    if known is not None:
        return known, "analyte"
    if analyte is not None and folded in analyte.neither_answers:
        return "descriptive", "analyte"
    if analyte is not None and general in ("normal", "abnormal") and analyte.judges_answers and not marked:
        said = _for_analyte(analyte, general, folded)
        return None if said is None else (said, "words" if said == general else "analyte")
    if general is None and analyte is not None and analyte.unlisted_abnormal and _names_something(answer.text):
        return "abnormal", "analyte"
    if general is None and names_organism(answer.text):
        return "abnormal", "organism"
    return None if general is None else (general, "words")


def _general(answer: Answer, folded: str, analyte: Analyte | None) -> Meaning | None:
    """What the words say whatever the test is, where they can be taken so."""
    if analyte is None and folded in _YES_NO:
        return None
    said = classify(answer.text, answer.codings)
    if said == "normal" and (_NAMED_FIRST.match(answer.text) or _names_another(answer.text)):
        return None
    if (
        not folded
        and said == "normal"
        and "(" not in answer.text
        and (analyte is None or not analyte.qualitative_source)
    ):
        return None  # a lone dash: a minus where answers are graded, else perhaps a blank
    return said


def _for_analyte(analyte: Analyte, general: Meaning, folded: str) -> Meaning | None:
    """What a positive or a negative answer says of this analyte."""
    if general == "abnormal":
        if analyte.when_present == "normal":
            return "normal" if _PRESENCE.search(folded) and not _WEAK.search(folded) else None
        return analyte.when_present
    return general if _STATE.search(folded) else analyte.when_absent


def _names_something(text: str) -> bool:
    """Whether an answer that no words know may be a find's name, and not a denial in words that aren't known."""
    if _OPEN.search(text):
        return False
    return bool(_MICROBE.search(text)) or not (denies(text) or _SAMPLE.search(text))


_ORGANISM = re.compile(
    r"\b(?:E\. ?coli|S\. ?aureus|MRSA|VRE|Escherichia|Staphylococc\w*|Streptococc\w*|Enterococc\w*|Klebsiella|Pseudomonas|"
    r"Proteus|Enterobacter|Serratia|Acinetobacter|Salmonella|Shigella|Campylobacter|Haemophilus|Neisseria|Listeria|"
    r"Legionella|Bacteroides|Clostridi\w*|Clostridioides|Mycobacteri\w*|Candida|Aspergillus|Cryptococc\w*|Plasmodium|"
    r"Trypanosoma|Leishmania|Babesia|Giardia|Entamoeba|Cryptosporidium|Strongyloides|Schistosoma|Morganella|Citrobacter|"
    r"Providencia|Stenotrophomonas|Burkholderia|Moraxella|Yersinia|Vibrio|Aeromonas|Brucella|Bordetella|Borrelia|Treponema|"
    r"Chlamydia|Mycoplasma|Ureaplasma|Nocardia|Actinomyces|Fusobacterium|Prevotella|Helicobacter|Gardnerella|Pasteurella|"
    r"Eikenella|Kingella|Hafnia|Raoultella|Histoplasma|Coccidioides|Blastomyces|Pneumocystis|Trichomonas|Toxoplasma|"
    r"Enterobius|Trichuris|Ascaris|Taenia|Hookworm|Ancylostoma|Necator|Hymenolepis|Dientamoeba|Cyclospora|Fasciola|Echinococcus|"
    r"[A-Z]\. ?(?:pneumoniae|falciparum|vivax|ovale|malariae|gonorrhoeae|meningitidis|influenzae|aeruginosa|pyogenes|agalactiae|"
    r"epidermidis|faecalis|faecium|albicans|glabrata|jejuni|difficile|monocytogenes|tuberculosis|mirabilis|cloacae|oxytoca|"
    r"marcescens|baumannii|maltophilia|trachomatis|neoformans|lamblia|histolytica|pertussis))\b",
    re.IGNORECASE,
)
"""Genera that laboratories name; alone, or with no word against them, the name is the finding."""
_NAMED_FIRST = re.compile(rf"\s*{_ORGANISM.pattern}(?:\s+[a-z]+)?\s*[,.;(]", re.IGNORECASE)
"""An answer that begins with a name and a pause: what is negative after it is a property ("E. coli, ESBL negative")."""
_AGAINST = re.compile(r"(?i)\b(?:no|not|negative|absen\w*|pas|aucun\w*|sans|susceptible|sensible)\b")
_BELITTLES = re.compile(r"(?i)\b(?:flora|flore|antibod\w*|contamina\w*)\b")
_RESISTANT = re.compile(r"(?i)\b(?:MRSA|VRE)\b")
_MICROBE = re.compile(
    rf"{_ORGANISM.pattern}|\b(?:cocc[iu]\w*|rods?|bacill\w*|diplococc\w*|diphtheroids?|coryneform\w*|coliforms?|yeasts?|hyphae|moulds?|molds?|fung\w*)\b",
    re.IGNORECASE,
)
"""What is found in a culture, whatever else is said of it."""
_SAMPLE = re.compile(
    r"(?i)^NG\b|\b(?:insufficient|inadequate|volume|repeat|cancel\w*|incubat\w*|received|resend|rejected|unlabell?ed)\b"
)
"""Of the sample or the work on it, not of what grew."""
_FLORA = re.compile(r"(?i)\b(?:flora|flore)\b")


def names_organism(text: str) -> bool:
    """Whether an answer names an organism and nothing in it denies, tests or belittles it. What is denied after a name and
    a pause is a property ("E. coli, ESBL negative"), unless it is the name ("Salmonella, not isolated") or a list of them."""
    named = _ORGANISM.search(text)
    if named is None or _OPEN.search(text):
        return False
    first = _NAMED_FIRST.match(text)
    before = text[: named.start()] if first is None else text
    if first is not None and not _BELITTLES.search(text):
        property = text[first.end() :].strip(" .)")
        if not denial(property) and not _ORGANISM.search(_RESISTANT.sub("", property)):
            return True
    return not _AGAINST.search(text) and not _BELITTLES.search(text) and not denies(before)


def _names_another(text: str) -> bool:
    """Whether an answer that begins as a normal one goes on to name an organism: "Normal flora and S. aureus"."""
    later = re.split(r"[.;\n]\s+", text.strip())[1:]
    if any(names_organism(one) and not explains(one) for one in later):
        return True
    return bool(_FLORA.search(text)) and bool(_ORGANISM.search(text)) and not denies(text)


def _by_analyte(placed: PanelResult, folded: str, text: str) -> Literal["normal", "abnormal"] | None:
    analyte = placed.analyte
    if analyte is None:
        return None
    if folded in analyte.abnormal_answers or intensified(folded, analyte.abnormal_answers):
        return "abnormal"
    if folded in analyte.normal_answers:
        return "normal"
    if len(clauses := [fold(clause) for clause in re.split(r"[,;]", text)]) > 1:
        if any(clause in analyte.abnormal_answers for clause in clauses):
            return "abnormal"
        if all(clause in analyte.normal_answers for clause in clauses):
            return "normal"
    said = immunity(text) if analyte.when_present == "normal" else None
    return None if said == "descriptive" else said


def _by_laboratory(placed: PanelResult, folded: str, said: Meaning | None) -> Literal["normal", "abnormal"] | None:
    """What the interval's own words make of an answer: the same words are normal; a finding where none is expected, and
    none where one is expected, are abnormal."""
    expected = {fold(words) for words in placed.expected}
    if folded and folded in expected:  # "(-)" and "(±)" fold to nothing
        return "normal"
    if said == "normal" and expected <= _PRESENT:
        return "abnormal"
    if said in ("normal", "abnormal") and any(classify(words) == "normal" for words in placed.expected):
        return "normal" if said == "normal" else "abnormal"
    return None
