"""What an answer in words says by itself ("NEG", "2+", "not detected", "no growth"), for analytes that don't decide."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence, Set
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Literal

from fhir_adapter.errors import CatalogError, Violation
from fhir_adapter.folding import fold
from fhir_adapter.model import Answer, Coding, PanelResult, Titre

Meaning = Literal["normal", "abnormal", "descriptive"]
_MEANINGS: tuple[Meaning, ...] = ("normal", "abnormal", "descriptive")

_CROSSES = re.compile(
    r"^(?:\++|[1-4]\s*\+|\+\s*[1-4]|[1-4]\s*plus|[1-4]\s*\+\s*(?:pos|positive|positif))(?:\s*\([^()]{1,20}\))?$",
    re.IGNORECASE,
)
_MINUS = re.compile(r"^[-–−]$|^\(-\)$")
_PLUS_MINUS = re.compile(r"^(?:\+/-|\+-|±|\(\+\))$")
_IN_BRACKETS = re.compile(r"^\((?:[1-4]\s*\+|\+\s*[1-4]|\+{2,4}|±)\)$")
_NONE_FOUND = re.compile(
    r"no (?!(?:other|further|additional|longer|predominant|new|change|definite|obvious|clear|adequate|sufficient)\b)"
    r"(?:(?!but |except|unless|than |specimen|sample|control|result|growth and |bacteriuria |detected |isolated |seen |present |identified |found |observed )[a-z0-9+]+ ){1,7}"
    r"(?:detected|isolated|seen|present|identified|found|observed|recovered)"
    r"(?: (?:on|in|by|after) (?:(?:the|thick|thin|or|and|films?|smears?|slide|direct|blood|gram|stain|microscopy|culture) ?)+)?\Z"
)
"""All of an answer that says that nothing was found: "No HCV RNA detected"."""
_NONE_FOUND_ELSEWHERE = re.compile(
    r"(?:keine?|keinen|geen|ingen|inga|inget|ingen|nessun[ao]?|ningun[ao]?|nenhum[a]?) "
    r"(?!(?:weitere[rn]?|andere[rn]?|sichere[rn]?|eindeutige[rn]?|ausreichend\w*|material|probe|"
    r"altr[ioae]|otr[oa]s?|outr[oa]s?|andra|andre)\b)(?:(?!ausser|aber|but |doch|nachweisbar |nachgewiesen |gefunden |aantoonbaar |sondern|bis auf|maar|behalve|men |probe|material)\S+ ){1,6}"
    r"(?:nachweisbar|nachgewiesen|gefunden|gesehen|isoliert|angezuchtet|gezien|aantoonbaar|aangetoond|gevonden|gekweekt|"
    r"pavist|pavisad|pavisade|funnet|fundet|isolat[oai]|rilevat[oai]|osservat[oai]|aislad[oa]s?|detectad[oa]s?|observad[oa]s?)\Z"
)
"""The same in other languages: "Keine Bakterien nachweisbar"."""
_LAST_CLAUSE = re.compile(r",(?!.*,)(?P<last>.*)\Z", re.DOTALL)
_DENIES = re.compile(
    r" (?:no evidence of|no serological evidence of|no serologic evidence of|absence of|absence de|pas de|negative for|neg for|"
    r"kein nachweis von|kein anhalt fur|kein hinweis auf|keine hinweise auf|geen aanwijzingen voor|ausencia de|assenza di|"
    r"no se observan?|no se detectan?|non si osservano?|nie stwierdzono|nie znaleziono|sin evidencia de|sem evidencia de|negativo para) \Z"
)
"""Phrases that deny what follows them: "absence of growth"."""
_WITHOUT = (
    "no|without|sans|aucune?|keine?|keinen|ohne|geen|zonder|ingen|inget|inga|uten|utan|uden|sin|sem|nessuna?|senza|ningun|"
    "ninguna|nenhuma?|brak|bez|χωρισ|без"
)
"""Words that deny the finding after them: "no blasts"."""
_TAIL = re.compile(r"(?P<head>[^()]+?)\s*\((?P<inner>[^()]{1,60})\)\Z")
"""An answer and what stands in brackets behind it: "Large (3+)", "Positive (IgG 2+)"."""
_ALSO = re.compile(
    rf"(?i)(?!(?:{_WITHOUT}|negativ\\w*|not|normal\\w*|absen\\w*|benign|clear|reactive) )[^,\\d]{{12,}}, (?:{_WITHOUT}) "
)
"""Something, and then what is not there: "hyperplastic polyp, no dysplasia"."""
_JOINTS = re.compile(r"(?i)[,;()]|\s+[-–]\s+|\s*/\s*|\s+(?:and|but|und|aber|et|mais|y|pero|ma|en|maar|og|och|men)\s+")
_CROSSES_BESIDE = re.compile(r"(?P<amount>.*\S)\s+(?:[1-4]\s?\+|\+{1,4})\Z")
"""An amount and its grade: "100 mg/dL 2+"."""
_LEADS = re.compile(r"(?i)[\s\-–/,;]*(?:(?:but|and|however)\b[\s,]*)?")
_AMOUNT = re.compile(r"(?:ca\.?\s*)?[<>=≥≤~]*\s*\d[\d.,\s]*(?:[a-zA-Zµμ]+\.?(?:/[a-zA-Zµμ]+)?)?\Z")
_BESIDE = re.compile(r"(?<=[A-Za-z+)])\s+(?:[x×]\s*\d+|(?:mg|g|[mµu]mol|leu|ery)/(?:d?l|[µu]l|hpf))\Z", re.IGNORECASE)
"""What adds nothing behind an answer: "Neg x 3", "1+ mg/dL"."""
_GRADE = re.compile(r"(?<![\w+])(?:[1-4]\s?\+|\+[1-4]|\+{2,4})(?![\w+])")
_EXPLAINS = re.compile(
    r"(?i)\b(?:represents?|indicates?|suggests?|means?|results|should|may|might|does|do|when|where|considered|defined|cut-?off|"
    r"reported|interpret\w*|confirmatory|confirmation|requires?|please|notes?|methods?|tests?|assays?|detects|targets|includes?|limit|recommend\w*|follow-?up|quantit\w*|send)\b"
)
"""Words of a sentence that explains an answer and reports nothing."""
_NEGATES = "\x00"
_MARKS: dict[Meaning, str] = {"normal": "\x01", "abnormal": "\x02", "descriptive": "\x03"}
_WELL, _FINDING, _POINTER = "\x04", "\x05", "\x06"
MAX_WORDS_LENGTH = 200


def meaning_of(placed: PanelResult) -> Meaning | None:
    """What is known of a result in words: the analyte's own answers first, then the words by themselves. None where nobody knows them, and for
    what isn't in words."""
    value, analyte = placed.result.value, placed.analyte
    if not isinstance(value, Answer | Titre):
        return None
    if analyte is not None:
        folded = fold(_said(value))
        if folded in analyte.abnormal_answers:
            return "abnormal"
        if folded in analyte.normal_answers:
            return "normal"
    return classify(value.text, value.codings) if isinstance(value, Answer) else None


def as_expected(placed: PanelResult) -> bool:
    """Whether a result in words is one of those that its laboratory expects; "(-)" and "(±)" fold to nothing and are none."""
    value = placed.result.value
    if not placed.expected or not isinstance(value, Answer | Titre):
        return False
    folded = fold(_said(value))
    return bool(folded) and folded in {fold(answer) for answer in placed.expected}


def _said(value: Answer | Titre) -> str:
    return value.text if isinstance(value, Answer) else f"{value.numerator:.8g}:{value.denominator:.8g}"


def classify(text: str, codings: Sequence[Coding] = ()) -> Meaning | None:
    """Whether an answer is normal, abnormal, or describes only; None where its words aren't known.

    Codings decide first (SNOMED CT, HL7 v2-0136 and v3 ObservationInterpretation); then the whole text; then its
    beginning and its words, a negation always before what it negates. Words of both kinds in one text, or a word that
    leaves doubt ("suspicious", "cannot be excluded", "?"): None.
    """
    meanings = {found for coding in codings if (found := _coded(coding)) is not None}
    if len(meanings) == 1:
        return meanings.pop()
    if meanings:
        return None
    return _words(text)


def _coded(coding: Coding) -> Meaning | None:
    if coding.system and coding.code and (found := _data().codes.get((coding.system, coding.code))):
        return found
    return _words(coding.display) if coding.display else None


def immunity(text: str) -> Meaning | None:
    """What words about immunity say: "immune" is normal, "not immune" isn't; None where there are none, or doubt."""
    data = _data()
    rest = f" {fold(text)} "
    found: set[Meaning] = set()
    for phrase, meaning in data.immunity:
        if phrase in rest:
            rest = rest.replace(phrase, " | ")
            found.add(meaning)
    return found.pop() if len(found) == 1 and not any(word in rest for word in data.doubts) else None


def denies(text: str) -> bool:
    """Whether an answer holds a word that denies something, in any of the languages."""
    rest = f" {fold(text)} "
    return any(word in rest for word in _data().negations)


def intensified(folded: str, answers: Set[str]) -> bool:
    """Whether a folded text is one of the answers with how much it is: "slightly raised", "stark erhöht"."""
    word, _, rest = folded.partition(" ")
    return bool(rest) and word in _data().modifiers and (rest in answers or intensified(rest, answers))


def denial(text: str) -> bool:
    """Whether a text is nothing but words that deny: "not isolated"."""
    folded = fold(text)
    return _data().whole.get(folded) == "normal" or f" {folded} " in _data().denials


def explains(text: str) -> bool:
    """Whether a sentence tells of the test, not of the patient: "A positive result may represent ..."."""
    return bool(_EXPLAINS.search(text))


@lru_cache(maxsize=4096)
def _words(text: str) -> Meaning | None:
    first, *rest = re.split(r"(?<!\b[A-Za-z])\.\s+|[;\n]", text.strip(), maxsplit=1)
    found = _sentence(first) if rest else None
    if found == "normal" and _sentence(_LEADS.sub("", rest[0], count=1)) == "abnormal" and not explains(rest[0]):
        return None
    # Laboratories say the answer first, then explain it.
    return found if found is not None else _sentence(text)


def _sentence(text: str) -> Meaning | None:
    text = _BESIDE.sub("", text.strip().rstrip("*. ").strip())
    if _IN_BRACKETS.match(text):
        text = text[1:-1].strip()
    if not text or len(text) > MAX_WORDS_LENGTH or "?" in text:
        return None
    if (beside := _CROSSES_BESIDE.match(text)) and _AMOUNT.match(beside["amount"]):
        return "abnormal"
    tail = _TAIL.match(text)
    return _plain(text) if tail is None else _with_tail(text, tail["head"], tail["inner"])


def _with_tail(text: str, head: str, inner: str) -> Meaning | None:
    """An answer with more in brackets: a finding stays one whatever its details; "normal" yields to a detail that isn't."""
    outer, inside = _plain(head), _plain(inner)
    if outer is None and _AMOUNT.match(head):
        return inside
    if outer is not None and outer == inside:
        return outer
    if outer == "abnormal":
        return None if _open(f" {fold(inner)} ") else "abnormal"
    if outer == "normal":
        open_ = any(hint in f" {fold(inner)} " for hint in _data().hedges)
        denied = re.match(rf"(?:{_WITHOUT}) ", fold(inner)) is not None
        if inside == "abnormal" or _GRADE.search(inner) or open_ or (denies(inner) and not denied):
            return None
        return "normal"
    return _plain(text)


def _open(rest: str) -> bool:
    return any(hint in rest for hint in _data().doubts)


def _plain(text: str) -> Meaning | None:
    text = text.strip()
    if _MINUS.match(text):
        return "normal"
    if _PLUS_MINUS.match(text) or _CROSSES.match(text):
        return "abnormal"
    data = _data()
    folded = fold(text)
    if (whole := data.whole.get(folded)) is not None:
        return whole
    if intensified(folded, data.findings):
        return "abnormal"
    if _ALSO.match(text):
        return None
    last = _LAST_CLAUSE.search(text)
    parted = last is not None and not re.search(r"(?i)\b(?:or|nor|oder|ou|of|o|eller)\b", last["last"])
    parted = parted or bool(re.search(r"\s[-–/]\s", text))
    if not parted and (_NONE_FOUND.match(folded) or _NONE_FOUND_ELSEWHERE.match(folded)):
        return "normal"
    found = _marked(folded)
    if found == "normal" and any(_plain(part) == "abnormal" for part in _parts(text)):
        return None  # a normal part doesn't speak for the others
    return "abnormal" if found is None and _named_with_property(text) else found


def _named_with_property(text: str) -> bool:
    """Whether a text names a finding and then says what it, or another, is not: "carcinoma, HER2 negative". What begins with
    a denial of the finding itself ("blasts, none seen") is none of these."""
    first, comma, rest = text.partition(",")
    if not comma or not any(phrase in f" {fold(first)} " for phrase in _data().named):
        return False
    word = fold(rest).partition(" ")[0]
    denied = denial(word) or f" {word} " in _data().negations
    itself = denial(rest) or (denied and not re.fullmatch(_WITHOUT, word))
    hedged = any(hint in f" {fold(rest)} " for hint in _data().hedges)
    return not itself and not hedged and _marked(fold(first)) == "abnormal"


def _parts(text: str) -> list[str]:
    parts = [part for part in _JOINTS.split(text) if part.strip()]
    return parts if len(parts) > 1 else []


def _marked(folded: str) -> Meaning | None:
    """By the phrases in a text, longest first; a negation is longer than what it negates."""
    data = _data()
    rest = f" {folded} "
    for phrase, mark in data.phrases:
        if phrase in rest:
            rest = rest.replace(phrase, f" | {_NEGATES if _DENIES.search(phrase) else mark} ")
    normal, abnormal, descriptive = (_MARKS[meaning] for meaning in _MEANINGS)
    rest = re.sub(rf"{_NEGATES}[ |]+{abnormal}", normal, rest)
    rest = re.sub(rf"{_NEGATES} (?:[ |]*\w+){{0,4}}[ |]*{_FINDING}", normal, rest).replace(_NEGATES, normal)
    rest = re.sub(rf" (?:{_WITHOUT}) (?:(?:significant|visible|evident) )?[ |]*{_FINDING}", f" {normal} ", rest)
    rest = re.sub(rf"(?<={normal})[ |]*(?:or|nor|oder|ou|of|eller)[ |]+(?:[a-z]+ )?{_FINDING}", "", rest)
    rest = re.sub(rf"{_FINDING}[ |]+{normal}[ |]*\Z", normal, rest)
    judged = any(mark in rest for mark in (normal, abnormal, _WELL, _FINDING))
    if _open(rest):
        return "descriptive" if descriptive in rest and not judged else None
    graded = any(word in rest for word in data.grades) or bool(_GRADE.search(rest))
    if abnormal in rest:
        return None if normal in rest or _WELL in rest else "abnormal"
    if normal in rest:
        return None if graded or descriptive in rest or _FINDING in rest else "normal"
    if _WELL in rest:
        more = graded or descriptive in rest or _FINDING in rest or not data.modifiers.isdisjoint(rest.split())
        return None if more else "normal"
    if _FINDING in rest:
        return "abnormal"
    return "descriptive" if descriptive in rest or _POINTER in rest else None


class _Data:
    """The words of answers.toml, folded: whole texts, phrases (longest first, so that a negation comes before what it
    negates) with the mark each leaves, words that leave doubt, and codes."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        faults: list[Violation] = []
        self.whole: dict[str, Meaning] = {}
        phrases: dict[str, str] = {}
        for meaning in _MEANINGS:
            for words in raw.get("whole", {}).get(meaning, ()):
                if self.whole.setdefault(fold(words), meaning) != meaning:
                    faults.append(Violation(f"answers.whole.{meaning}", "a text stands under two meanings"))
        self.findings = frozenset(text for text, meaning in self.whole.items() if meaning == "abnormal")
        kinds: dict[str, str] = {
            **{str(meaning): mark for meaning, mark in _MARKS.items()},
            "well": _WELL,
            "findings": _FINDING,
            "pointers": _POINTER,
        }
        for kind, mark in kinds.items():
            for words in raw.get("phrases", {}).get(kind, ()):
                if phrases.setdefault(f" {fold(words)} ", mark) != mark:
                    faults.append(Violation(f"answers.phrases.{kind}", "a text stands under two meanings"))
        self.denials = frozenset(phrase for phrase, mark in phrases.items() if mark == _MARKS["normal"])
        self.named = frozenset(phrase for phrase, mark in phrases.items() if mark == _FINDING)
        self.phrases = sorted(phrases.items(), key=lambda item: -len(item[0]))
        said: dict[str, Meaning] = {"immune": "normal", "susceptible": "abnormal"}
        immunity = [(f" {fold(words)} ", said[kind]) for kind, all in raw.get("immunity", {}).items() for words in all]
        self.immunity = sorted(immunity, key=lambda item: -len(item[0]))
        self.negations = _spaced(raw, "negations")
        self.hedges = _spaced(raw, "doubts")
        self.doubts = (*self.negations, *self.hedges)
        self.grades = _spaced(raw, "grades")
        self.modifiers = frozenset(fold(words) for words in raw.get("modifiers", ()))
        self.codes: dict[tuple[str, str], Meaning] = {}
        for system in raw.get("codes", ()):
            for meaning in _MEANINGS:
                for code in system.get(meaning, ()):
                    self.codes[(system["system"], code)] = meaning
        if faults:
            raise CatalogError(violations=tuple(faults))


def _spaced(raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(f" {fold(words)} " for words in raw.get(key, ()))


@cache
def _data() -> _Data:
    text = resources.files("fhir_adapter.catalog").joinpath("answers.toml").read_text(encoding="utf-8")
    return _Data(tomllib.loads(text))
