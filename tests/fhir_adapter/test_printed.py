"""Lines printed into one string, and units in names."""

from __future__ import annotations

import pytest

from fhir_adapter import catalog
from fhir_adapter.model import Answer, Intake, Patient, Quantity, ReferenceRange, Result
from fhir_adapter.normalize import normalize
from fhir_adapter.printed import Line, line, unit_in_name


def _quantity(number: float, text: str, unit: str | None = None) -> Quantity:
    return Quantity(number, unit, None, text, unit, from_text=True)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("5.1 mmol/L [2.5-7.8]", Line(_quantity(5.1, "5.1", "mmol/L"), ReferenceRange(None, None, "2.5-7.8"))),
        ("12,5 g/dL (12 - 16)", Line(_quantity(12.5, "12,5", "g/dL"), ReferenceRange(None, None, "12 - 16"))),
        ("7.9 H [3.5-5.1]", Line(_quantity(7.9, "7.9"), ReferenceRange(None, None, "3.5-5.1"))),
        ("6.2 (H)", Line(_quantity(6.2, "6.2"), flag="H")),
        ("6.2 mmol/L (LL)", Line(_quantity(6.2, "6.2", "mmol/L"), flag="LL")),
        ("12 \u2191", Line(_quantity(12, "12"), flag="H")),
    ],
)
def test_a_line_in_a_string(text: str, read: Line) -> None:
    assert line(Answer(text), has_interval=False) == read


@pytest.mark.parametrize(
    "text", ["6.2 H", "5 L", "Positive (H)", "Negative [0-1]", "3 (three)", "1+ (small)", "12 (see note 3-4)"]
)
def test_what_is_left_as_it_came(text: str) -> None:
    assert line(Answer(text), has_interval=False) == Line(Answer(text))


def test_a_letter_alone_is_a_flag_where_the_test_has_an_interval() -> None:
    assert line(Answer("6.2 H"), has_interval=True) == Line(_quantity(6.2, "6.2"))


@pytest.mark.parametrize(
    ("name", "text", "value", "flags"),
    [
        ("Sodium", "118 L", 118, ("L",)),
        ("Sodium", "HH 171", 171, ("HH",)),
        ("Potassium", "7.1*", 7.1, ()),
        ("Urine volume", "2 L", None, ()),
        ("Something else", "118 L", None, ()),
        ("Sodium", "118 mmol", None, ()),
    ],
)
def test_a_letter_is_a_flag_where_the_test_is_known(
    name: str, text: str, value: float | None, flags: tuple[str, ...]
) -> None:
    result = Result("Observation", "Observation/1", (), name, Answer(text))
    (one,) = normalize(Intake(Patient(), (result,), (), 1), catalog.load()).results
    assert (one.number, one.result.interpretation) == (value, flags)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Glucose (mmol/L)", ("Glucose", "mmol/L")),
        ("Hemoglobin g/dL", ("Hemoglobin", "g/dL")),
        ("WBC, x10^9/L", ("WBC", "x10^9/L")),
        ("HbA1c %", ("HbA1c", "%")),
        ("MCV [fL]", ("MCV", "fL")),
        ("Albumin/Creatinine", None),
        ("PT (INR)", None),
        ("Calcium (total)", None),
        ("Chol/HDL ratio", None),
        ("Glucose [Mass/volume]", None),
        (None, None),
    ],
)
def test_a_unit_in_a_name(name: str | None, found: tuple[str, str] | None) -> None:
    assert unit_in_name(name) == found


@pytest.mark.parametrize(
    ("name", "unit", "id"),
    [
        ("Glucose (mmol/L)", "mmol/L", "glucose"),
        ("Hb g/dL", "g/dL", "haemoglobin"),
        (" 2093-3 Cholesterol, Total", "mg/dL", "cholesterol"),
        ("001032 - Glucose", "mg/dL", "glucose"),
        ("Total white blood count", "10^9/L", "leucocytes"),
        ("Mean cell haemoglobin level", "pg", "mch"),
        ("Mean cell haemoglobin concentration", "g/L", "mchc"),
        ("Average Blood Glucose (Calc)", "mg/dL", "estimated-average-glucose"),
        ("\u03b3\uff0d\uff27\uff34\uff08\u03b3\uff0d\uff27\uff34\uff30\uff09", "U/L", "ggt"),
        ("\u7a7a\u8179\u6642\u4e2d\u6027\u8102\u80aa", "mg/dL", "triglycerides"),
    ],
)
def test_a_test_is_known_by_such_a_name(name: str, unit: str, id: str) -> None:
    found = catalog.load().find((), name, unit=unit)
    assert found is not None
    assert found.id == id
