"""FHIR elements -> the domain: codings, quantities, values, ranges, interpretations, categories."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final, cast

from msgspec import Raw
from msgspec.structs import replace

from fhir_adapter import interval_text, values, wire
from fhir_adapter.model import Answer, Coding, Comparator, Quantity, ReferenceRange, Span, Titre, Value

UCUM = "http://unitsofmeasure.org"
_COMPARATORS = frozenset({"<", "<=", ">", ">="})
_DIGITS = frozenset("-0123456789")
_NOTHING = ("", "null")
_INFINITE = math.inf
_UNITY = frozenset({"1", "{titer}", "{ratio}"})
_QUOTED = re.compile(r'"-?(?:0|[1-9]\d*)(?:\.\d+)?"\Z', re.ASCII)
"""A number that was sent as a string, which isn't FHIR; read where it can be nothing else."""
_SIMPLE = re.compile(r"[A-Za-z]+\Z")

UNSUPPORTED: Final = (
    "valueSampledData",
    "valueTime",
    "valueDateTime",
    "valuePeriod",
    "valueAttachment",
    "valueReference",
    "valueDecimal",
    "valueCode",
    "valueCoding",
    "valueDate",
    "valueInstant",
)
"""Values that aren't judged; the last five aren't FHIR's for an Observation, but are sent all the same."""

_YEARS = {"a": 1.0, "mo": 1 / 12, "wk": 7 / 365.2425, "d": 1 / 365.2425, "h": 1 / 8765.82, "min": 1 / 525949.2}
_AGE_WORDS = {
    "y": "a", "yr": "a", "yrs": "a", "year": "a", "years": "a", "an": "a", "ans": "a", "a_j": "a", "a_g": "a",
    "m": "mo", "month": "mo", "months": "mo", "mois": "mo", "mo_j": "mo", "mo_g": "mo", "mos": "mo",
    "w": "wk", "week": "wk", "weeks": "wk", "semaine": "wk", "semaines": "wk",
    "day": "d", "days": "d", "jour": "d", "jours": "d",
    "hour": "h", "hours": "h", "hr": "h", "minute": "min", "minutes": "min",
}  # fmt: skip

NOT_LABORATORY = frozenset(
    {"vital-signs", "survey", "social-history", "imaging", "exam", "therapy", "activity", "procedure"}
)
AT_THE_BEDSIDE = frozenset(
    {
        *(
            "2339-0",
            "2340-8",
            "2341-6",
            "2345-7",
            "15074-8",
            "14743-9",
            "14749-6",
            "32016-8",
            "41651-1",
            "41653-7",
            "14760-3",
        ),
        *(
            "14770-2",
            "1558-6",
            "14771-0",
            "53060-9",
            "2524-7",
            "32693-4",
            "6301-6",
            "34714-6",
            "46418-0",
            "718-7",
            "59260-0",
        ),
    }
)
"""LOINC of what meters measure: glucose, ketones, lactate, INR, haemoglobin. Devices file them under vital signs; they are laboratory
results all the same, with critical limits."""


class Fault(Exception):
    """Why an element can't be judged: a NotAssessed code and the element below the one that was asked for."""

    def __init__(self, code: str, element: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.element = element


def codings(concept: wire.CodeableConcept | None) -> tuple[Coding, ...]:
    """The codings of a concept that say anything."""
    if concept is None or not concept.coding:
        return ()
    return tuple(Coding(sent.system, sent.code, sent.display) for sent in concept.coding if sent.code or sent.display)


def concepts(sent: wire.Concepts) -> Iterable[wire.CodeableConcept]:
    """A list of concepts, whichever of the two shapes was sent."""
    if sent is None:
        return ()
    return sent if isinstance(sent, list) else (sent,)


def words(concept: wire.CodeableConcept | None) -> str | None:
    """What a concept says: its text, else its first display, else its first code."""
    if concept is None:
        return None
    if concept.text and concept.text.strip():
        return concept.text
    codings = concept.coding or ()
    for coding in codings:
        if coding.display and coding.display.strip():
            return coding.display
    for coding in codings:
        if coding.code and coding.code.strip():
            return coding.code
    return None


def number(raw: Raw, element: str) -> tuple[float, str] | None:
    """The number and its digits as sent, or None where there is none.

    Raises:
        Fault: not a number, or not finite.
    """
    text = str(raw, "utf-8")
    if text[:1] not in _DIGITS:
        if text in _NOTHING:
            return None
        if not _QUOTED.match(text):
            raise Fault("malformed", element)
        text = text[1:-1]
    found = float(text)
    if not -_INFINITE < found < _INFINITE:
        raise Fault("not-finite", element)
    return found, text


def quantity(sent: wire.Quantity, element: str) -> Quantity | None:
    """A Quantity, or None where it has no number. Raises Fault."""
    try:
        found = number(sent.value, ".value")
    except Fault as fault:
        raise Fault(fault.code, element + fault.element) from None
    if found is None:
        return None
    comparator = sent.comparator
    if comparator is not None and comparator not in _COMPARATORS:
        raise Fault("unsupported-value", element + ".comparator")
    human = sent.unit or sent.code or None
    unit = (sent.code if sent.system == UCUM else None) or human
    return Quantity(found[0], unit, cast("Comparator | None", comparator), found[1], human)


def value(sent: wire.Judged) -> Value | None:
    """value[x], or None where there is none to judge (nothing sent, or blank).

    Raises:
        Fault: two values at once, a type that isn't judged, a number that isn't one or isn't finite.
    """
    found: Value | None = None
    count = 0
    if sent.valueQuantity is not None:
        count += 1
        found = quantity(sent.valueQuantity, ".value")
    if sent.valueCodeableConcept is not None:
        count += 1
        found = _answer(sent.valueCodeableConcept)
    if sent.valueString is not None:
        count += 1
        found = None if values.blank(sent.valueString) else values.parse_text(sent.valueString)
    if sent.valueInteger is not wire.EMPTY and wire.present(sent.valueInteger):
        count += 1
        found = _integer(sent.valueInteger)
    if sent.valueBoolean is not None:
        count += 1
        found = Answer("true" if sent.valueBoolean else "false")
    if sent.valueRatio is not None:
        count += 1
        found = _ratio(sent.valueRatio)
    if sent.valueRange is not None:
        count += 1
        found = _span(sent.valueRange)
    if count == 1 and found is not None and _no_others(sent):
        return found
    others = [name for name in UNSUPPORTED if wire.present(getattr(sent, name))]
    if count + len(others) > 1:
        raise Fault("malformed", ".value")
    if others:
        raise Fault("unsupported-value", "")
    return found


def _no_others(sent: wire.Judged) -> bool:
    empty = wire.EMPTY
    return (
        sent.valueSampledData is empty
        and sent.valueTime is empty
        and sent.valueDateTime is empty
        and sent.valuePeriod is empty
        and sent.valueAttachment is empty
        and sent.valueReference is empty
        and sent.valueDecimal is empty
        and sent.valueCode is empty
        and sent.valueCoding is empty
        and sent.valueDate is empty
        and sent.valueInstant is empty
    )


def _answer(concept: wire.CodeableConcept) -> Answer | None:
    said = words(concept)
    if said is None or values.blank(said):
        return None
    return Answer(said.strip(), codings(concept))


def _integer(raw: Raw) -> Quantity:
    found = number(raw, ".value")
    if found is None or not found[0].is_integer():
        raise Fault("malformed", ".value")
    return Quantity(found[0], None, None, found[1], None, from_text=True)


def _without_unit(sent: Quantity) -> bool:
    return sent.unit is None or sent.unit in _UNITY


def _ratio(sent: wire.Ratio) -> Value | None:
    if sent.numerator is None and sent.denominator is None:
        return None
    above = quantity(sent.numerator, ".value.numerator") if sent.numerator else None
    below = quantity(sent.denominator, ".value.denominator") if sent.denominator else None
    if above is None or below is None or below.comparator or below.number == 0:
        raise Fault("unsupported-value")
    if _without_unit(above) and _without_unit(below):
        if above.comparator:
            raise Fault("unsupported-value")
        return Titre(above.number, below.number, f"{above.text}:{below.text}")
    many = f"{below.number:g}"
    if below.number != 1 and (_without_unit(below) or not _SIMPLE.match(below.unit or "") or not many.isdigit()):
        raise Fault("unsupported-value")
    if _without_unit(below):
        return above
    over = below.unit if below.number == 1 else f"({many}.{below.unit})"
    over_shown = below.shown_unit if below.number == 1 else f"{many} {below.shown_unit}"
    unit = f"{'' if _without_unit(above) else above.unit}/{over}"
    shown = f"{'' if _without_unit(above) else above.shown_unit}/{over_shown}"
    return Quantity(above.number, unit, above.comparator, above.text, shown)


def _span(sent: wire.Range) -> Span | None:
    low = quantity(sent.low, ".value.low") if sent.low else None
    high = quantity(sent.high, ".value.high") if sent.high else None
    if low is None and high is None:
        return None
    if low is not None and high is not None:
        if (low.unit and high.unit and low.unit != high.unit) or low.number > high.number:
            raise Fault("unsupported-value")
        text = f"{low.text}-{high.text}"
    else:
        text = f">={low.text}" if low is not None else f"<={high.text if high is not None else ''}"
    if (low is not None and low.comparator) or (high is not None and high.comparator):
        raise Fault("unsupported-value")
    said = low if low is not None and low.unit else high or low
    return Span(
        None if low is None else low.number,
        None if high is None else high.number,
        said.unit if said else None,
        text,
        said.shown_unit if said else None,
    )


def ranges(sent: list[wire.RangeElement]) -> tuple[ReferenceRange, ...]:
    """referenceRange. One that is for an age in a unit that isn't known is left out: it would hold for everyone.

    Raises:
        Fault: a limit that isn't a number or isn't finite, or a modifier extension.
    """
    found: list[ReferenceRange] = []
    for index, one in enumerate(sent):
        if one.modifierExtension is not wire.EMPTY and wire.filled(one.modifierExtension):
            raise Fault("modifier-extension", f".referenceRange[{index}].modifierExtension")
        try:
            low = None if one.low is None else quantity(one.low, ".low")
            high = None if one.high is None else quantity(one.high, ".high")
        except Fault as fault:
            code = "malformed" if fault.code == "unsupported-value" else fault.code
            raise Fault(code, f".referenceRange[{index}]{fault.element}") from None
        age_low = age_high = None
        if one.age is not None:
            try:
                age_low, age_high = _age(one.age.low), _age(one.age.high)
            except Fault:
                continue
        kind = one.type or one.meaning
        applies = one.appliesTo
        whole = ReferenceRange(
            low,
            high,
            one.text or (words(one.normalValue) if one.normalValue is not None else None),
            () if kind is None else _type_codes(kind),
            () if applies is None else tuple(c for concept in concepts(applies) for c in _group(concept)),
            age_low,
            age_high,
        )
        by_sex = _by_sex(whole)
        found.extend(by_sex or (whole,))
    return tuple(found)


def _by_sex(whole: ReferenceRange) -> list[ReferenceRange]:
    """The ranges of a text that names one for each sex ("M: 13-17 F: 12-15"), or for adults; none for other texts."""
    if whole.text is None or whole.low is not None or whole.high is not None or whole.applies_to:
        return []
    return [
        replace(
            whole,
            text=part.text,
            applies_to=() if part.sex is None else (Coding(None, None, part.sex),),
            age_low=part.age_low if whole.age_low is None else whole.age_low,
        )
        for part in interval_text.parts(whole.text)
    ]


def _group(concept: wire.CodeableConcept) -> tuple[Coding, ...]:
    """Whom a range applies to; words alone become a coding without a system, so that the group isn't lost."""
    return codings(concept) or ((Coding(None, None, concept.text),) if concept.text else ())


def _type_codes(kind: wire.CodeableConcept) -> tuple[str, ...]:
    codes = tuple(coding.code for coding in kind.coding or () if coding.code)
    return codes or ((kind.text.strip().lower(),) if kind.text else ())


def _age(sent: wire.Quantity | None) -> float | None:
    """An age in years. Raises Fault where there is one whose unit isn't known."""
    found = None if sent is None else quantity(sent, ".age")
    if found is None:
        return None
    for said in (found.unit, found.shown_unit):
        unit = (said or "").strip().strip("{}.").lower()
        factor = _YEARS.get(_AGE_WORDS.get(unit, unit))
        if factor is not None:
            return found.number * factor
    raise Fault("malformed", ".age")


def categories(sent: wire.Concepts) -> tuple[tuple[str, ...], bool]:
    """The codes of category, and whether it is explicitly and only something other than laboratory."""
    codes: list[str] = []
    other = 0
    seen = 0
    for concept in concepts(sent):
        said = [coding.code for coding in concept.coding or () if coding.code]
        if not said and concept.text:
            said = [concept.text.strip().lower().replace(" ", "-")]
        if not said:
            continue
        codes.extend(said)
        seen += 1
        other += not NOT_LABORATORY.isdisjoint(said) and "laboratory" not in said
    return tuple(codes), seen > 0 and other == seen
