"""What an answer in words says by itself ("NEG", "2+", "not detected", "no growth"), for analytes that don't decide."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Literal, cast

from fhir_adapter.errors import CatalogError, Violation
from fhir_adapter.folding import fold
from fhir_adapter.model import Answer, Coding, PanelResult, Titre

Meaning = Literal["normal", "abnormal", "descriptive"]
_MEANINGS = ("normal", "abnormal", "descriptive")

_CROSSES = re.compile(
    r"^(?:\++|[1-4]\s*\+|\+\s*[1-4]|[1-4]\s*plus|[1-4]\s*\+\s*(?:pos|positive|positif))(?:\s*\([^()]{1,20}\))?$",
    re.IGNORECASE,
)
_MINUS = re.compile(r"^[-–−]$|^\(-\)$")
_PLUS_MINUS = re.compile(r"^(?:\+/-|\+-|±|\(\+\))$")
_IN_BRACKETS = re.compile(r"^\((?:[1-4]\s*\+|\+\s*[1-4]|\+{2,4}|±)\)$")
_NONE_FOUND = re.compile(
    r"no (?!(?:other|further|additional|longer|predominant|new|change)\b)(?:(?!but |except|unless|than )[a-z0-9+]+ ){1,6}"
    r"(?:detected|isolated|seen|present|identified|found|observed|recovered)\Z"
)
"""All of an answer that says that nothing was found: "No HCV RNA detected"."""
_DENIES = re.compile(r" (?:no evidence of|absence of|absence de|pas de|negative for|neg for) \Z")
"""Phrases that deny what follows them: "absence of growth"."""
_NEGATES = "\x00"
_MARKS: dict[Meaning, str] = {"normal": "\x01", "abnormal": "\x02", "descriptive": "\x03"}
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
    beginning and its words, a negation always before what it negates. Words of both kinds in one text: None.
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


@lru_cache(maxsize=4096)
def _words(text: str) -> Meaning | None:
    first, *rest = re.split(r"\.\s+|[;\n]", text.strip(), maxsplit=1)
    if rest and (found := _sentence(first)) is not None:
        return found  # laboratories say the answer first, then explain it
    return _sentence(text)


def _sentence(text: str) -> Meaning | None:
    text = text.strip().rstrip("*. ").strip()
    if _IN_BRACKETS.match(text):
        text = text[1:-1].strip()
    if not text or len(text) > MAX_WORDS_LENGTH:
        return None
    if _MINUS.match(text):
        return "normal"
    if _PLUS_MINUS.match(text) or _CROSSES.match(text):
        return "abnormal"
    data = _data()
    folded = fold(text)
    if (whole := data.whole.get(folded)) is not None:
        return whole
    if _NONE_FOUND.match(folded):
        return "normal"
    found: set[Meaning] = set()
    rest = f" {folded} "
    for phrase, meaning in data.phrases:
        if phrase in rest:
            rest = rest.replace(phrase, f" | {_NEGATES if _DENIES.search(phrase) else _MARKS[meaning]} ")
    rest = re.sub(rf"{_NEGATES}[ |]+{_MARKS['abnormal']}", _MARKS["normal"], rest).replace(_NEGATES, _MARKS["normal"])
    found.update(meaning for meaning, mark in _MARKS.items() if mark in rest)
    if any(hint in rest for hint in data.doubts):
        return None
    judged = found - {"descriptive"}
    if len(judged) == 1:
        return judged.pop()
    return "descriptive" if found == {"descriptive"} else None


class _Data:
    """The words of answers.toml, folded: whole texts, phrases (longest first, so that a negation comes before what it
    negates), words that leave doubt, and codes."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        faults: list[Violation] = []
        self.whole: dict[str, Meaning] = {}
        phrases: dict[str, Meaning] = {}
        for meaning in _MEANINGS:
            for kind, target in (("whole", self.whole), ("phrases", phrases)):
                for words in raw.get(kind, {}).get(meaning, ()):
                    key = fold(words) if kind == "whole" else f" {fold(words)} "
                    if target.setdefault(key, cast(Meaning, meaning)) != meaning:
                        faults.append(Violation(f"answers.{kind}.{meaning}", "a text stands under two meanings"))
        self.phrases = sorted(phrases.items(), key=lambda item: -len(item[0]))
        self.doubts = tuple(f" {fold(words)} " for words in raw.get("doubts", ()))
        self.codes: dict[tuple[str, str], Meaning] = {}
        for system in raw.get("codes", ()):
            for meaning in _MEANINGS:
                for code in system.get(meaning, ()):
                    self.codes[(system["system"], code)] = cast(Meaning, meaning)
        if faults:
            raise CatalogError(violations=tuple(faults))


@cache
def _data() -> _Data:
    text = resources.files("fhir_adapter.catalog").joinpath("answers.toml").read_text(encoding="utf-8")
    return _Data(tomllib.loads(text))
