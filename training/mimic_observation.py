"""One row of MIMIC-IV's labevents as a FHIR R4 Observation, and what the laboratory said of it.

Where the result stands: in ``value`` ("5.60", "<0.01", "NEG"); in ``valuenum`` where ``value`` is masked ("___"); or only in
``comments`` ("<0.01.  cTropnT > 0.10 ...", "1+*."), whose asterisk is the laboratory's mark of an abnormal result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from training.mimic_tables import Row

Json = dict[str, Any]
Shape = Literal["number", "comparison", "text", "comment", "none"]
Direction = Literal["N", "L", "H", "A"]

LOINC = "http://loinc.org"
ITEM = "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-d-labitems"
INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
MASK = "___"

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)\Z", re.ASCII)
_COMPARED = re.compile(r"(<=|>=|<|>)\s*(\d+\.?\d*|\.\d+)\Z", re.ASCII)
_SPELLED = ((re.compile(r"^GREATER THAN\s+", re.I), ">"), (re.compile(r"^LESS THAN\s+", re.I), "<"))
_SENTENCE = re.compile(r"\.\s|\.\Z|;")
_STAR = re.compile(r"\*(?=[.\s]|\Z)")
_NO_RESULT = re.compile(
    r"unable to|nd\b|not done|not reported|test not|cancel|no sample|quantity not|specimen|error", re.I
)
_LONGEST_ANSWER = 60
_CATEGORY = [
    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
]


@dataclass(frozen=True, slots=True)
class Options:
    """How to render. By default no interpretation is written and the comment's asterisk is taken off, so that the flag can't
    leak into what is judged or learnt."""

    with_intervals: bool = True
    with_flags: bool = False
    per_specimen: bool = False
    """One bundle for each specimen and chart time, instead of one for each patient."""
    max_observations: int = 2000
    """A patient with more comes in several bundles, split in time."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the laboratory said of one row. ``abnormal`` is its flag and ``interval`` whether it sent one.

    ``code`` is the flag with the side that value and interval give it: N, L, H, or A where they give none.
    ``shape`` is where the result stands, by MIMIC's columns alone: a number (or a masked value with its number), a
    comparison, other text, only the comment, or nowhere. ``starred`` is true where the comment marks the result with an asterisk.
    """

    labevent: str
    item: str
    label: str
    abnormal: bool
    interval: bool
    numeric: bool
    subject: str
    shape: Shape = "number"
    code: Direction = "N"
    starred: bool = False


def to_observation(row: Row, item: Mapping[str, str], loinc: str | None, reference: str, options: Options) -> Json:
    """One labevents row as an R4 Observation. Numbers are Decimals, with the laboratory's own digits: encode with
    :func:`training.mimic_iv.encode`. Chart times have no zone in MIMIC and are written as UTC."""
    fluid = item.get("fluid", "")
    label = item.get("label") or f"Item {row['itemid']}"
    name = label if fluid in ("", "Blood") or fluid.lower() in label.lower() else f"{label}, {fluid}"
    codings = [{"system": ITEM, "code": row["itemid"], "display": label}]
    if loinc:
        codings.insert(0, {"system": LOINC, "code": loinc})
    observation: Json = {
        "resourceType": "Observation",
        "id": row["labevent_id"],
        "status": "final",
        "category": _CATEGORY,
        "code": {"coding": codings, "text": name},
        "subject": {"reference": reference},
    }
    if row["charttime"]:
        observation["effectiveDateTime"] = _moment(row["charttime"])
    if row["storetime"]:
        observation["issued"] = _moment(row["storetime"])
    if fluid:
        observation["specimen"] = {"display": fluid}
    unit = row["valueuom"].strip()
    found = result(row)
    if isinstance(found, str):
        observation["valueString"] = found
    elif found is not None:
        comparator, number = found
        observation["valueQuantity"] = _quantity(number, unit) | ({"comparator": comparator} if comparator else {})
    else:
        code = "masked" if MASK in (row["value"] + row["comments"]) else "unknown"
        system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
        observation["dataAbsentReason"] = {"coding": [{"system": system, "code": code}]}
    if notes := _notes(row, options):
        observation["note"] = [{"text": note} for note in notes]
    if options.with_intervals:
        sides = {"low": _decimal(row["ref_range_lower"]), "high": _decimal(row["ref_range_upper"])}
        limits = {side: _quantity(limit, unit) for side, limit in sides.items() if limit is not None}
        if limits:
            observation["referenceRange"] = [limits]
    if options.with_flags and row["flag"] == "abnormal":
        observation["interpretation"] = [{"coding": [{"system": INTERPRETATION, "code": direction(row)}]}]
    return observation


def truth_of(row: Row, item: Mapping[str, str]) -> Truth:
    """What the laboratory said of a row, read from MIMIC's columns alone."""
    return Truth(
        labevent=row["labevent_id"],
        item=row["itemid"],
        label=item.get("label", ""),
        abnormal=row["flag"] == "abnormal",
        interval=bool(row["ref_range_lower"] or row["ref_range_upper"]),
        numeric=bool(row["valuenum"]),
        subject=row["subject_id"],
        shape=shape(row),
        code=direction(row) if row["flag"] == "abnormal" else "N",
        starred=bool(_STAR.search(_SENTENCE.split(row["comments"].strip(), maxsplit=1)[0])),
    )


def shape(row: Row) -> Shape:
    """Where the result stands."""
    value, comment = row["value"].strip(), row["comments"].strip()
    if value and value != MASK:
        parsed = _compared(value)
        return "text" if parsed is None and not row["valuenum"] else "comparison" if parsed and parsed[0] else "number"
    if row["valuenum"]:
        return "number"
    return "comment" if comment and comment != MASK else "none"


def result(row: Row) -> str | tuple[str | None, Decimal] | None:
    """The result: (comparator, number), words, or None where there is none or it is masked."""
    value = row["value"].strip()
    told = None if value == MASK else value
    if told and (parsed := _compared(told)):
        return parsed
    if (number := _decimal(row["valuenum"])) is not None:
        return None, number
    answer = told or commented_answer(row["comments"])
    if not answer:
        return None
    return _compared(answer) or answer


def commented_answer(comment: str) -> str | None:
    """The answer that MIMIC keeps in the comment where value is empty: what stands before the first full stop, without the
    asterisk ("<0.01.  cTropnT > 0.10 suggests ..." is "<0.01", "1+*." is "1+"). None where there is none, or it is masked."""
    answer = _SENTENCE.split(comment.strip(), maxsplit=1)[0].strip().rstrip("*").strip()
    if not answer or MASK in answer or len(answer) > _LONGEST_ANSWER or _NO_RESULT.match(answer):
        return None
    return _spelled(answer)


def direction(row: Row) -> Direction:
    """The side on which an abnormal row lies: L or H by its own interval, A where that doesn't say."""
    found = result(row)
    if not isinstance(found, tuple):
        return "A"
    comparator, number = found
    low, high = _decimal(row["ref_range_lower"]), _decimal(row["ref_range_upper"])
    if low is not None and (number < low or (number == low and comparator == "<")) and comparator not in (">", ">="):
        return "L"
    if high is not None and (number > high or (number == high and comparator == ">")) and comparator not in ("<", "<="):
        return "H"
    return "A"


def _notes(row: Row, options: Options) -> list[str]:
    """The comment, and a remark that stands in value beside a number."""
    value, comment = row["value"].strip(), row["comments"].strip()
    remark = value if value not in ("", MASK) and row["valuenum"] and _compared(value) is None else ""
    if not options.with_flags:
        comment = _STAR.sub("", comment)
    return [note for note in (remark, comment) if note and note != MASK]


def _spelled(text: str) -> str:
    for words, sign in _SPELLED:
        text = words.sub(sign, text)
    return text


def _compared(text: str) -> tuple[str | None, Decimal] | None:
    """(comparator, number) of "5.60", "<0.01" or "GREATER THAN 20"; None for anything else."""
    text = _spelled(text)
    if _NUMBER.match(text):
        return None, Decimal(text)
    match = _COMPARED.match(text)
    return None if match is None else (match[1], Decimal(match[2]))


def _decimal(text: str) -> Decimal | None:
    """A number of MIMIC's numeric columns; None where there is none, or it isn't finite."""
    try:
        number = Decimal(text.strip()) if text else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None


def _moment(text: str) -> str:
    return text.replace(" ", "T") + "Z"


def _quantity(number: Decimal, unit: str) -> Json:
    return {"value": number, "unit": unit} if unit else {"value": number}
