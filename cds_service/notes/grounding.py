"""Whether a note stands on the results: every number, analyte, direction and word of it, or it isn't shown. Pure.

Strict on purpose, with a closed vocabulary: a model's slip, an invented drug or a sentence that a bundle smuggled in must not reach
a chart, and the cards say all there is to say without a note. So a doubtful note falls, and a sound one may fall with it.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import Literal

from cds_service.notes.facts import Direction, Fact, Facts

Fault = Literal[
    "form",  # empty, too long, signs or digits that no note needs
    "number",  # a number that isn't this analyte's value, or its limit or prior where one is spoken of
    "unit",  # another unit than the result's
    "analyte",  # an analyte that isn't in the panel, or none at all
    "direction",  # high, low, normal or abnormal against the verdict
    "severity",  # severe of what isn't critical, mild of what is
    "trend",  # rising or falling against the prior, or without one
    "negation",  # what a note denies can't be held against the results
    "treatment",  # doses, drugs, orders
    "certainty",  # a diagnosis as a fact
    "word",  # a word outside the vocabulary
]
MAX_CHARACTERS = 700

_FORM = re.compile(r"[\w\s.,;:()/%+'’°µμ<>≤≥=²³⁹×*^!–-]*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_NUMBER = re.compile(r"(?<![\w.,])-?\d+(?:[.,]\d+)?(?![\d])")
_UNIT = re.compile(r"\s?(%|‰|[^\s,;()<>]+)")
_WORD = re.compile(r"[^\W\d_]+")
_UNIT_WORDS = frozenset(
    [
        "mmol",
        "mol",
        "umol",
        "µmol",
        "nmol",
        "pmol",
        "g",
        "mg",
        "ug",
        "µg",
        "mcg",
        "ng",
        "pg",
        "kg",
        "l",
        "ml",
        "dl",
        "ul",
        "µl",
        "fl",
        "iu",
        "miu",
        "ui",
        "u",
        "units",
        "unit",
        "unites",
        "unite",
        "kpa",
        "mmhg",
        "s",
        "sec",
        "min",
        "h",
        "mm",
        "meq",
    ]
)
_TO = re.compile(r"\s?(?:-|–|to\s|a\s)\s?\d")
_AFTER_TO = re.compile(r"\d\s?(?:-|–|to\s|a\s)\s?$")
_FROM = frozenset({"from", "de"})
_CLAUSE = re.compile(r"[,;:]")


def check(note: str, facts: Facts, language: str) -> tuple[Fault, ...]:
    """What is wrong with ``note``; empty where every sentence stands on ``facts``."""
    text = " ".join(note.split())
    if not text or len(text) > MAX_CHARACTERS or _FORM.fullmatch(text) is None or _odd_digits(text):
        return ("form",)
    reader = _Reader(facts, language)
    for sentence in _SENTENCE.split(text):
        reader.sentence(sentence)
    if not reader.named:
        reader.faults.add("analyte")
    return tuple(sorted(reader.faults))


@dataclass(frozen=True, slots=True)
class _Mention:
    """Where an analyte of the panel is named; several results may bear the name."""

    start: int
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """A word and where it stands."""

    start: int
    word: str


class _Reader:
    """Reads sentences and gathers faults."""

    def __init__(self, facts: Facts, language: str) -> None:
        self._facts, self._words = facts, _vocabulary(language)
        self._own: dict[str, tuple[Fact, ...]] = {}
        for fact in facts.results:
            for key in {_key(plain(name)) for name in fact.names}:
                self._own[key] = (*self._own.get(key, ()), fact)
        self._pattern = _pattern(facts.others | {name for fact in facts.results for name in fact.names})
        self._phrases = {word for phrase in facts.phrases for word in _WORD.findall(plain(phrase))}
        self.faults: set[Fault] = set()
        self.named = False

    def sentence(self, sentence: str) -> None:
        text = plain(sentence)
        text, mentions = self._mentions(text)
        text = self._numbers(text, mentions)
        if any(character.isdigit() for character in text):
            self.faults.add("form")
        said = [_Said(match.start(), match[0]) for match in _WORD.finditer(text)]
        self._held(said, mentions)
        self._claims(text, said, mentions)

    def _mentions(self, text: str) -> tuple[str, list[_Mention]]:
        """The sentence with the analytes blanked out, and where those of the panel stood. The longest name counts: "total calcium"
        where it is one, not "calcium"."""
        found: list[_Mention] = []

        def blank(match: re.Match[str]) -> str:
            facts = self._own.get(_key(match[0]))
            if facts is None:
                self.faults.add("analyte")
            else:
                found.append(_Mention(match.start(), facts))
            return " " * len(match[0])

        if self._pattern is not None:
            text = self._pattern.sub(blank, text)
        self.named = self.named or bool(found)
        return text, found

    def _numbers(self, text: str, mentions: Sequence[_Mention]) -> str:
        """Each number against the analyte named last before it, else the first after it."""
        parts, at = [], 0
        for match in _NUMBER.finditer(text):
            if match.start() < at:
                continue  # inside a unit: 10*9/L
            number = float(match[0].replace(",", "."))
            before = [mention for mention in mentions if mention.start < match.start()]
            owner = before[-1] if before else next(iter(mentions), None)
            end = match.end()
            if owner is None:
                self.faults.add("number")
            else:
                context = set(_WORD.findall(text[owner.start : match.start()]))
                in_range = not context & _FROM and _in_range(text, match.start(), end)
                if not any(self._may_be(number, fact, context, in_range) for fact in owner.facts):
                    self.faults.add("number")
                end = self._unit(text, end, owner)
            parts.append(text[at : match.start()] + " " * (end - match.start()))
            at = end
        return "".join(parts) + text[at:]

    def _may_be(self, number: float, fact: Fact, context: set[str], in_range: bool) -> bool:
        """Its value; a limit where limits are spoken of; a prior where the past is."""
        if fact.value is not None and _same(number, fact.value) and not in_range:
            return True
        if any(_same(number, limit) for limit in fact.limits) and (in_range or context & self._words["limits"]):
            return True
        return any(_same(number, prior) for prior in fact.priors) and bool(context & self._words["priors"])

    def _unit(self, text: str, end: int, owner: _Mention) -> int:
        """Where the unit after a number ends; what looks like a unit must be that of the result."""
        match = _UNIT.match(text, end)
        if match is None:
            return end
        said = match[1].rstrip(".!?")
        units = {plain(unit) for fact in owner.facts for unit in fact.units}
        if said in units:
            return match.start(1) + len(said)
        if (not said[:1].isalpha() and said[:1] not in "%‰°µ") or said in ("a", "to"):
            return end
        if said in _UNIT_WORDS or any(sign in said for sign in "/%‰°µ^*"):
            self.faults.add("unit")
            return match.start(1) + len(said)
        return end

    def _held(self, said: Sequence[_Said], mentions: Sequence[_Mention]) -> None:
        """Words against the vocabulary, and what no note may say."""
        words = self._words
        conditions = False
        for one in said:
            if one.word in words["negation"]:
                self.faults.add("negation")
            elif one.word in words["treatment"]:
                self.faults.add("treatment")
            elif one.word in words["certainty"]:
                self.faults.add("certainty")
            elif one.word not in words["all"]:
                if one.word in self._phrases:
                    conditions = True
                else:
                    self.faults.add("word")
        if conditions and not any(one.word in words["hedge"] for one in said):
            self.faults.add("certainty")

    def _claims(self, text: str, said: Sequence[_Said], mentions: Sequence[_Mention]) -> None:
        """Clause by clause: what is claimed of the analytes named there, else of those named just before, else of the next. "High A and
        B" is read as a claim of both."""
        joins = {one.start for one in said if one.word in self._words["joins"]}
        cuts = joins.union(match.start() for match in _CLAUSE.finditer(text))
        bounds = [0, *sorted(cuts), len(text)]
        pending: list[_Mention] = []
        last: list[_Mention] = []
        claim: list[str] = []
        joined: list[_Mention] = []
        for begin, end in pairwise(bounds):
            here = [mention for mention in mentions if begin <= mention.start < end]
            claimed = [one.word for one in said if begin <= one.start < end]
            claimed = [
                word
                for before, word, after in zip(["", *claimed], claimed, [*claimed[1:], ""], strict=False)
                if not before.startswith("limit") and not after.startswith("limit")  # "upper limit" claims nothing
            ]
            made = [word for word in claimed if any(word in self._words[kind] for kind in _CLAIMS)]
            pending += here
            if not made:
                joined += here if begin in joins else []
                continue
            about = pending or last or [mention for mention in mentions if mention.start >= end][:1]
            if about:
                for mention in about:
                    self._hold(made, mention.facts)
                last, pending = about, []
            else:
                self._hold_all(made)
            claim, joined = made, []
        for mention in joined:
            self._hold(claim, mention.facts)

    def _hold(self, claimed: Iterable[str], facts: Sequence[Fact]) -> None:
        for word in claimed:
            for kind, direction in _DIRECTIONS.items():
                if word in self._words[kind] and not any(_is(fact, direction) for fact in facts):
                    self.faults.add("direction")
            if word in self._words["severe"] and not any(fact.critical for fact in facts):
                self.faults.add("severity")
            if word in self._words["mild"] and any(fact.critical for fact in facts):
                self.faults.add("severity")
            for kind, sign in (("rising", 1), ("falling", -1)):
                if word in self._words[kind] and not any(fact.change == sign for fact in facts):
                    self.faults.add("trend")

    def _hold_all(self, claimed: Iterable[str]) -> None:
        """A claim that names nobody: "normal" would have to be true of all, anything else of one."""
        for word in claimed:
            for kind, direction in _DIRECTIONS.items():
                if word not in self._words[kind]:
                    continue
                if kind == "normal" or not any(_is(fact, direction) for fact in self._facts.results):
                    self.faults.add("direction")
            if word in self._words["severe"] and not any(fact.critical for fact in self._facts.results):
                self.faults.add("severity")
            if word in self._words["rising"] | self._words["falling"]:
                self.faults.add("trend")


_DIRECTIONS: Mapping[str, Direction] = {"high": "high", "low": "low", "normal": "normal", "abnormal": "abnormal"}
_CLAIMS = ("high", "low", "normal", "abnormal", "rising", "falling", "severe", "mild")


def _in_range(text: str, start: int, end: int) -> bool:
    """Whether the number between is one end of "3.5-5.1" or "3.5 to 5.1"."""
    return bool(_TO.match(text, end)) or bool(_AFTER_TO.search(text[:start]))


def _is(fact: Fact, direction: Direction) -> bool:
    return fact.direction == direction or (direction == "abnormal" and fact.direction != "normal")


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-9 * max(1.0, abs(other))


@lru_cache(maxsize=64)
def _pattern(names: frozenset[str]) -> re.Pattern[str] | None:
    """Matches any of the names as whole words, the longest first."""
    written = sorted({plain(name) for name in names}, key=lambda name: (-len(name), name))
    if not written:
        return None
    options = "|".join(re.sub(r"(?:\\[ -])+", r"[\\s-]+", re.escape(name)) for name in written)
    return re.compile(rf"(?<!\w)(?:{options})(?!\w)")


def _key(text: str) -> str:
    return re.sub(r"[\s-]+", " ", text)


def plain(text: str) -> str:
    """Lower case without accents, character for character."""
    return "".join(map(_plain, text))


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character in "’ʼ":
        return "'"
    if character == "μ":
        return "µ"
    base = unicodedata.normalize("NFD", character)[0].lower()
    return base if len(base) == 1 else character


def _odd_digits(text: str) -> bool:
    """Digits that look like others, and would not be read as numbers."""
    return any(character.isdigit() and not character.isascii() and character not in "²³⁹" for character in text)


@cache
def _vocabulary(language: str) -> dict[str, frozenset[str]]:
    raw = tomllib.loads(resources.files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    found = {kind: frozenset(map(str, words)) for kind, words in raw.items()}
    found["all"] = frozenset().union(*found.values())
    return found
