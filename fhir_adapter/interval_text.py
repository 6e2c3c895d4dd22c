"""Reference intervals as laboratories write them: "3,5 – 5,1", "bis 40", "> OR = 60", "4,000-11,000", "M: 13-17 F: 12-15".

Nothing is guessed: numbers that may be thousands or decimals ("4,000") are marked, and whoever knows the unit or the test decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

from msgspec import Struct

from fhir_adapter.folding import fold
from fhir_adapter.model import Sex

Grouped = Literal[",", "."]
_DIGITS = r"(?:\d{1,2}(?:,\d{2})+,\d{3}(?!\d)|\d{1,3}(?:[.,]\d{3})+(?![\d])|\d+(?:[.,]\d+)?)(?:[eE][-+]?\d+)?"
NUMBER = rf"[-+]?{_DIGITS}"

_UNDER: dict[str, bool] = {
    "<=": True, "=<": True, "≤": True, "< or =": True, "up to": True, "at most": True, "less than or equal to": True, "jusqu'à": True,
    "bis": True, "bis zu": True, "hasta": True, "até": True, "ate": True, "fino a": True, "tot": True, "max": True, "max.": True,
    "<": False, "below": False, "under": False, "less than": False, "< à": False, "inf à": False, "inf. à": False, "inf a": False,
    "inf. a": False, "inférieur à": False, "inférieure à": False, "inferieur à": False, "inferior a": False, "inferiore a": False,
    "unter": False, "kleiner": False, "kleiner als": False, "kleiner dan": False, "lager dan": False, "menor de": False,
    "menor que": False, "menor a": False, "minore di": False, "abaixo de": False, "poniżej": False, "moins de": False,
}  # fmt: skip
_OVER: dict[str, bool] = {
    ">=": True, "=>": True, "≥": True, "> or =": True, "at least": True, "greater than or equal to": True, "min": True, "min.": True,
    ">": False, "above": False, "over": False, "more than": False, "greater than": False, "> à": False, "sup à": False, "sup. à": False,
    "sup a": False, "sup. a": False, "supérieur à": False, "supérieure à": False, "superior a": False, "superiore a": False,
    "über": False, "größer": False, "größer als": False, "groter dan": False, "hoger dan": False, "mayor de": False,
    "mayor que": False, "mayor a": False, "maior que": False, "maggiore di": False, "acima de": False, "powyżej": False, "plus de": False,
}  # fmt: skip
"""Words before a lone limit: whether it belongs to the interval."""
_AFTER: dict[str, Literal["high", "low"]] = {
    "or less": "high", "or lower": "high", "or below": "high", "and below": "high", "or under": "high",
    "or more": "low", "or higher": "low", "or above": "low", "and above": "low", "or greater": "low", "or over": "low",
}  # fmt: skip


def _any(words: Iterable[str]) -> str:
    found = sorted(words, key=len, reverse=True)
    return "|".join(rf"{re.escape(word)}\b" if word[-1].isalnum() else re.escape(word) for word in found)


_LABEL = re.compile(
    r"^(?:normal|normal range|normal value|norm|normalbereich|normwert|ref|ref\.|reference|reference range|reference interval|ref\.? range|"
    r"referenzbereich|referentie|valeurs? de référence|valores? de refer[eê]ncia|v\.?r\.?|expected|desirable|optimal|negative|neg)\s*:\s*(?=[<>≤≥=\d(\[])",
    re.IGNORECASE,
)
_SPAN_WORD = r"(?:between|from|entre|von|de|da|van|od|tra|zwischen)\s+"
_TWO_SIDED = re.compile(
    rf"^(?:{_SPAN_WORD})?[\[(]?\s*(?P<low>{NUMBER})\s*(?P<unit1>[^\d\s\-;:,\[\]()][^\d\s;]*)?\s*"
    rf"(?:-|;|:|\.\.+|\bto\b|\bà\b|\ba\b|\bbis\b|\btot\b|\bdo\b|(?<=\d)(?:to|à|a|bis)(?=\d)|\band\b|\bet\b|\bund\b|\by\b)\s*"
    rf"(?P<high>{NUMBER})\s*[\])]?\s*(?P<unit>.*)$",
    re.IGNORECASE,
)
_ONE_SIDED = re.compile(
    rf"^[\[(]?\s*(?P<sign>{_any([*_UNDER, *_OVER])})\s*(?P<number>{NUMBER})\s*[\])]?\s*(?P<unit>.*)$", re.IGNORECASE
)
_ONE_SIDED_AFTER = re.compile(rf"^(?P<number>{NUMBER})\s*(?P<sign>{_any(_AFTER)})\s*(?P<unit>.*)$", re.IGNORECASE)
_AND = re.compile(r"\b(?:and|et|und|y)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]", re.UNICODE)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\uff0d\u301c\uff5e~", "-"))
_SPACED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:[ '\u00a0\u2009\u202f]\d{3})+(?![\d.,]*\d)")
_SIGNED = re.compile(r"\(\s*([-+]\d+(?:[.,]\d+)?)\s*\)")
_MAYBE_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2}(?P<sign>[.,])\d{3}\Z")
_SURELY_GROUPED = re.compile(
    r"[-+]?[1-9]\d{0,2}(?P<sign>[.,])(?:\d{2}(?=,)|\d{3})(?:(?P=sign)\d{2}(?=,))*(?:(?P=sign)\d{3})+\Z"
)
"""Groups of three, or as India makes them: 1,50,000."""


class Bounds(Struct, frozen=True):
    """A parsed interval: numbers in ``unit`` (None where the text named none).

    ``grouped``: its numbers, read here as decimals, may as well be thousands, with this sign between the groups. ``shown``: the words
    for its unit, where a Quantity had both."""

    low: float | None = None
    high: float | None = None
    unit: str | None = None
    low_inclusive: bool = True
    high_inclusive: bool = True
    text: str = ""
    grouped: Grouped | None = None
    shown: str | None = None


@lru_cache(maxsize=4096)
def parse_text(text: str) -> Bounds | tuple[str, ...] | None:
    """Reads an interval given as text.

    Returns:
        Bounds for "3.5-5.1", "[3,5 - 5,1] mmol/L", "< 200", "Up to 40", "inf à 5"; a tuple of lower-case answers
        that are normal for "Negative" or "Negative, trace"; None for text that says neither.
    """
    text = text.strip()[:200]
    if not text:
        return None
    plain = _SIGNED.sub(r"\1", text.translate(_DASHES))
    plain = _SPACED.sub(lambda found: re.sub(r"\D", "", found[0]), plain)
    plain = _LABEL.sub("", plain)
    return _bounds(plain) if any(map(str.isdigit, plain)) else _answers(text)


def _bounds(text: str) -> Bounds | None:
    if match := _TWO_SIDED.match(text):
        if _AND.search(match[0][match.end("low") : match.start("high")]) and not re.match(_SPAN_WORD, text, re.I):
            return None  # "5 and 10": two limits, or two things
        (low, high), grouped = _numbers(match["low"], match["high"])
        if low <= high:
            unit = _unit(match["unit"]) or _unit(match["unit1"])
            return Bounds(low, high, unit, text=f"{match['low']}-{match['high']}", grouped=grouped)
        return None
    below, inclusive = False, True
    if match := _ONE_SIDED.match(text):
        sign = match["sign"].lower()
        below = sign in _UNDER
        inclusive = _UNDER[sign] if below else _OVER[sign]
    elif match := _ONE_SIDED_AFTER.match(text):
        below = _AFTER[match["sign"].lower()] == "high"
    if match is None:
        return None
    number, unit = match["number"], _unit(match["unit"])
    (limit,), grouped = _numbers(number)
    if below:
        shown = f"{'≤' if inclusive else '<'} {number}"
        return Bounds(None, limit, unit, high_inclusive=inclusive, text=shown, grouped=grouped)
    shown = f"{'≥' if inclusive else '>'} {number}"
    return Bounds(limit, None, unit, low_inclusive=inclusive, text=shown, grouped=grouped)


def _numbers(*texts: str) -> tuple[tuple[float, ...], Grouped | None]:
    """The numbers, and whether all of them may be thousands as well. One that can only be read in one way decides for the
    others: "150,000-1,000,000" are thousands, "0,500-1,200" decimals."""
    sure = next((found["sign"] for text in texts if (found := _SURELY_GROUPED.match(text))), None)
    maybe = [found["sign"] if (found := _MAYBE_GROUPED.match(text)) else None for text in texts]
    plain = [text for text, sign in zip(texts, maybe, strict=True) if sign is None]
    if sure is not None:
        return tuple(float(text.replace(sure, "")) for text in texts), None
    numbers = tuple(float(text.replace(",", ".")) for text in texts)
    if not any(maybe):
        return numbers, None
    sign: Grouped = "," if "," in maybe else "."
    zero = all(re.fullmatch(r"0", text) for text in plain)  # "0-1,000": zero is zero either way
    return numbers, (sign if not plain or zero else None)


def _answers(text: str) -> tuple[str, ...] | None:
    if not _WORD.search(text):
        return (text.lower(),) if re.fullmatch(r"\([-–−]\)|[-–−]", text) else None
    answers = tuple(part.strip().lower() for part in re.split(r"[,;/]|\bor\b|\bou\b", text) if part.strip())
    return answers or None


def _unit(text: str | None) -> str | None:
    text = (text or "").strip().strip("()[]").strip()
    return text or None


_MALE: Sex = "male"
_FEMALE: Sex = "female"
_SEXES: dict[str, Sex] = {
    **dict.fromkeys(("male", "males", "man", "men", "homme", "hommes", "manner", "mannlich", "herren", "hombre", "hombres", "uomini",
                     "maschi", "mannen", "homem", "homens", "m", "h"), _MALE),
    **dict.fromkeys(("female", "females", "woman", "women", "femme", "femmes", "frau", "frauen", "weiblich", "damen", "mujer", "mujeres",
                     "donne", "femmine", "vrouwen", "mulher", "mulheres", "f", "w"), _FEMALE),
}  # fmt: skip
_NAMED = re.compile(
    r"(?:\A|(?<=[\s;,/|]))(?:(?P<only>adults?)\s*:\s*|(?P<adult>adults?\s+)?(?P<who>[^\W\d_]+)\s*[:=]?\s+)(?=[<>≤≥(\[]?\s*\d|[<>≤≥])",
    re.IGNORECASE,
)
_ADULT = 18.0


class Part(NamedTuple):
    """An interval of a text that gives one to each sex."""

    text: str
    sex: Sex | None
    age_low: float | None


def sex_named(text: str) -> Sex | None:
    """ "male" or "female" where a word, in one of several languages, says so; "adult" before it changes nothing."""
    folded = fold(text)
    return _SEXES.get(folded.removeprefix("adult ").removeprefix("adults "))


def parts(text: str) -> tuple[Part, ...]:
    """The intervals of "M: 13-17 F: 12-15" or "Female: 12-15", each with whom it is for; nothing where the text isn't
    wholly made of such, or where a letter alone stands for one sex and the other isn't named."""
    found = list(_NAMED.finditer(text[:200]))
    if not found or text[: found[0].start()].strip():
        return ()
    made: list[Part] = []
    for index, match in enumerate(found):
        end = found[index + 1].start() if index + 1 < len(found) else len(text)
        own = text[match.end() : end].strip(" ;,/|\n")
        sex = None if match["only"] else _SEXES.get(fold(match["who"]))
        if (sex is None and not match["only"]) or not isinstance(parse_text(own), Bounds):
            return ()
        made.append(Part(own, sex, _ADULT if match["only"] or match["adult"] else None))
    if len(made) == 1:
        return tuple(made) if found[0]["only"] or len(found[0]["who"]) > 1 else ()
    return tuple(made) if {part.sex for part in made} == {"male", "female"} and len(made) == 2 else ()
