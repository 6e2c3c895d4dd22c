"""Answers in words: what the laboratory's interval, the analyte or the general words say of them."""

from __future__ import annotations

import re
from typing import Literal

from fhir_adapter.catalog.answers import classify
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


def judge(placed: PanelResult, answer: Answer) -> tuple[Meaning, By] | None:
    """Whether an answer is normal, and who says so: the answers that the laboratory's own interval calls normal first,
    then the analyte's, then what the words say by themselves. None where nobody knows."""
    folded = fold(answer.text)
    analyte = placed.analyte
    if analyte is not None and analyte.descriptive:
        return "descriptive", "analyte"
    general = classify(answer.text, answer.codings)
    if general == "normal" and _NAMED_FIRST.match(answer.text):
        general = None
    known = _by_analyte(placed, folded)
    if known == "normal" and _MARKED.search(answer.text):
        known = None
    if placed.expected and (own := _by_laboratory(placed, folded, known or general)) is not None:
        return own, "laboratory"
    if known is not None:
        return known, "analyte"
    if general is None and analyte is not None and analyte.unlisted_abnormal and not _OPEN.search(answer.text):
        return "abnormal", "analyte"
    if general is None and names_organism(answer.text):
        return "abnormal", "organism"
    return None if general is None else (general, "words")


_ORGANISM = re.compile(
    r"\b(?:E\. ?coli|S\. ?aureus|MRSA|VRE|Escherichia|Staphylococc\w*|Streptococc\w*|Enterococc\w*|Klebsiella|Pseudomonas|"
    r"Proteus|Enterobacter|Serratia|Acinetobacter|Salmonella|Shigella|Campylobacter|Haemophilus|Neisseria|Listeria|"
    r"Legionella|Bacteroides|Clostridi\w*|Clostridioides|Mycobacteri\w*|Candida|Aspergillus|Cryptococc\w*|Plasmodium|"
    r"Trypanosoma|Leishmania|Babesia|Giardia|Entamoeba|Cryptosporidium|Strongyloides|Schistosoma|Morganella|Citrobacter|"
    r"Providencia|Stenotrophomonas|Burkholderia|Moraxella|Yersinia|Vibrio|Aeromonas|Brucella|Bordetella|Borrelia|Treponema|"
    r"Chlamydia|Mycoplasma|Ureaplasma|Nocardia|Actinomyces|Fusobacterium|Prevotella|Helicobacter|Gardnerella|Pasteurella|"
    r"Eikenella|Kingella|Hafnia|Raoultella|Histoplasma|Coccidioides|Blastomyces|Pneumocystis|Trichomonas|Toxoplasma)\b",
    re.IGNORECASE,
)
"""Genera that laboratories name; alone, or with no word against them, the name is the finding."""
_NAMED_FIRST = re.compile(rf"\s*{_ORGANISM.pattern}(?:\s+[a-z]+)?\s*[,.;(]", re.IGNORECASE)
"""An answer that begins with a name and a pause: what is negative after it is a property ("E. coli, ESBL negative")."""
_AGAINST = re.compile(
    r"(?i)\b(?:no|not|negative|absen\w*|pas|aucun\w*|sans|susceptible|sensible|flora|flore|antibod\w*)\b"
)


def names_organism(text: str) -> bool:
    """Whether an answer names an organism and nothing in it denies, tests or belittles it."""
    return bool(_ORGANISM.search(text)) and not _AGAINST.search(text) and not _OPEN.search(text)


def _by_analyte(placed: PanelResult, folded: str) -> Literal["normal", "abnormal"] | None:
    analyte = placed.analyte
    if analyte is None:
        return None
    if folded in analyte.abnormal_answers:
        return "abnormal"
    return "normal" if folded in analyte.normal_answers else None


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
