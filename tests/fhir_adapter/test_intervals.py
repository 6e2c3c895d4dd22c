"""Intervals: their text, their choice, the place of a value in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter import interval_text, intervals
from fhir_adapter.intervals import Bounds
from fhir_adapter.model import Coding, Patient, Quantity, ReferenceRange


@pytest.mark.parametrize(
    ("text", "low", "high", "unit"),
    [
        ("3.5-5.1", 3.5, 5.1, None),
        ("3.5 - 5.1 mmol/L", 3.5, 5.1, "mmol/L"),
        ("3,5 à 5,1 mmol/L", 3.5, 5.1, "mmol/L"),
        ("[3.5;5.1]", 3.5, 5.1, None),
        ("(0.0 – 1.2)", 0.0, 1.2, None),
        ("3.5 mmol/L - 5.1 mmol/L", 3.5, 5.1, "mmol/L"),
        ("0 to 40 U/L", 0.0, 40.0, "U/L"),
        ("-2 - 2", -2.0, 2.0, None),
        ("-3-3", -3.0, 3.0, None),
        ("150-400 x10E9/L", 150.0, 400.0, "x10E9/L"),
        ("< 200", None, 200.0, None),
        ("<=5", None, 5.0, None),
        ("Up to 40 U/L", None, 40.0, "U/L"),
        ("inf à 5", None, 5.0, None),
        ("> 60 mL/min", 60.0, None, "mL/min"),
        ("≥ 1.0", 1.0, None, None),
        ("supérieure à 60", 60.0, None, None),
        # Dashes and tildes, signs in brackets, labels, other languages.
        *((f"3.5{dash}5.1", 3.5, 5.1, None) for dash in "-\u2010\u2012\u2013\u2212~\uff5e"),
        ("(-2)-(+3)", -2.0, 3.0, None),
        ("Normal: 3.5-5.1", 3.5, 5.1, None),
        ("Ref. range: <5.7 %", None, 5.7, "%"),
        ("von 3,5 bis 5,1", 3.5, 5.1, None),
        ("3,5 a 5,1 mEq/L", 3.5, 5.1, "mEq/L"),
        ("between 3 and 4", 3.0, 4.0, None),
        ("bis 5,0 mg/l", None, 5.0, "mg/l"),
        ("hasta 4", None, 4.0, None),
        ("Menor que 4", None, 4.0, None),
        ("< à 5 mg/L", None, 5.0, "mg/L"),
        ("> OR = 60", 60.0, None, None),
        ("4 or less", None, 4.0, None),
        ("60 and above", 60.0, None, None),
        # Thousands that can be nothing else.
        ("150,000-1,000,000", 150000.0, 1000000.0, None),
        ("1,50,000-4,50,000", 150000.0, 450000.0, None),
        ("4 000 - 10 000 /mm3", 4000.0, 10000.0, "/mm3"),
        ("0,500-1,200", 0.5, 1.2, None),
    ],
)
def test_numbers_in_text(text: str, low: float | None, high: float | None, unit: str | None) -> None:
    found = intervals.parse_text(text)
    assert isinstance(found, Bounds)
    assert (found.low, found.high, found.unit) == (low, high, unit)


def test_a_strict_sign_leaves_the_limit_out() -> None:
    strict, inclusive = intervals.parse_text("< 200"), intervals.parse_text("<= 200")
    assert isinstance(strict, Bounds)
    assert isinstance(inclusive, Bounds)
    assert (strict.high_inclusive, inclusive.high_inclusive) == (False, True)


@pytest.mark.parametrize(
    ("text", "answers"),
    [("Negative", ("negative",)), ("Negative, trace", ("negative", "trace")), ("Non-reactive", ("non-reactive",))],
)
def test_answers_in_text(text: str, answers: tuple[str, ...]) -> None:
    assert intervals.parse_text(text) == answers


@pytest.mark.parametrize("text", ["", "   ", "9-3", "see comment 4", "---", "5.1", "5 and 10", "3.5 < x < 5.0"])
def test_text_that_says_nothing(text: str) -> None:
    assert intervals.parse_text(text) is None


@given(st.text(max_size=300))
def test_no_text_breaks_the_parser(text: str) -> None:
    found = intervals.parse_text(text)
    assert found is None or isinstance(found, Bounds | tuple)


def _range(low: float, high: float, *, sex: str | None = None, **more: object) -> ReferenceRange:
    applies = (Coding("http://snomed.info/sct", {"female": "248152002", "male": "248153007"}[sex]),) if sex else ()
    return ReferenceRange(Quantity(low), Quantity(high), applies_to=applies, **more)  # type: ignore[arg-type]


def test_the_range_for_the_patients_sex_is_chosen() -> None:
    women, men = _range(12, 16, sex="female"), _range(13, 17, sex="male")
    assert intervals.choose([women, men], "normal", Patient(sex="male"), 40) == (men,)
    assert intervals.choose([women, men], "normal", Patient(sex="female"), 40) == (women,)
    assert intervals.choose([women, men], "normal", Patient(), 40) == (women, men)


def test_the_range_for_the_patients_age_is_chosen() -> None:
    child, adult = _range(1, 2, age_low=0, age_high=17), _range(3, 4, age_low=18)
    assert intervals.choose([child, adult], "normal", Patient(), 17.5) == (child,)
    assert intervals.choose([child, adult], "normal", Patient(), 18.0) == (adult,)


def test_a_qualified_range_beats_an_unqualified_one_only_where_it_fits() -> None:
    general, women = _range(1, 2), _range(3, 4, sex="female")
    assert intervals.choose([general, women], "normal", Patient(sex="female"), None) == (women,)
    assert intervals.choose([general, women], "normal", Patient(sex="male"), None) == (general,)
    assert intervals.choose([general, women], "normal", Patient(), None) == (general,)


def test_a_pregnancy_range_needs_a_known_pregnancy() -> None:
    general = _range(12, 16)
    pregnant = ReferenceRange(Quantity(10.5), Quantity(14), applies_to=(Coding("http://snomed.info/sct", "77386006"),))
    assert intervals.choose([general, pregnant], "normal", Patient(sex="female"), None) == (general,)
    assert intervals.choose([general, pregnant], "normal", Patient(sex="female", pregnant=True), None) == (pregnant,)


def test_kinds_are_told_apart() -> None:
    normal, critical = _range(3.5, 5.1), _range(2.5, 6.2, type_codes=("critical",))
    assert intervals.choose([normal, critical], "normal", Patient(), None) == (normal,)
    assert intervals.choose([normal, critical], "critical", Patient(), None) == (critical,)


def test_an_upside_down_range_says_nothing() -> None:
    assert intervals.bounds(_range(9, 3)) is None


def test_the_hull_is_the_widest() -> None:
    joined = intervals.hull([Bounds(12, 16), Bounds(13, 17)])
    assert (joined.low, joined.high) == (12, 17)
    assert intervals.hull([Bounds(None, 16), Bounds(13, 17)]).low is None


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(-1e7, 1e7))
def test_position_says_inside_or_outside(low: float, width: float, number: float) -> None:
    high = low + width
    place = intervals.position(number, low, high)
    assert place is not None
    if number > high + width * 1e-6:
        assert place > 1
    elif number < low - width * 1e-6:
        assert place < -1
    elif low < number < high:
        assert -1 - 1e-6 <= place <= 1 + 1e-6


def test_position_of_one_sided_intervals() -> None:
    assert intervals.position(200, None, 200) == 1
    assert intervals.position(0, None, 200) == 0
    assert intervals.position(60, 60, None) == -1
    assert intervals.position(120, 60, None) == 0
    assert intervals.position(1, 0, 0) == 2
    assert intervals.position(0, 0, 0) == 0
    assert intervals.position(5, None, None) is None


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("4,000-11,000", ","),
        ("0-1,000", ","),
        ("1.500-1.800", "."),
        ("< 1,000", ","),
        ("4,000-11,00", None),
        ("0,500-1,200", None),
        ("3.5-5.1", None),
    ],
)
def test_numbers_that_may_be_thousands_are_marked(text: str, grouped: str | None) -> None:
    found = intervals.parse_text(text)
    assert isinstance(found, Bounds)
    assert found.grouped == grouped


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("M: 13-17 F: 12-15", [("13-17", "male", None), ("12-15", "female", None)]),
        ("Männer: 13,5-17,5; Frauen: 12,0-15,5", [("13,5-17,5", "male", None), ("12,0-15,5", "female", None)]),
        ("Female: <5", [("<5", "female", None)]),
        ("Adult: 3.5-5.0", [("3.5-5.0", None, 18.0)]),
        ("Adult male: 13-17", [("13-17", "male", 18.0)]),
        # One letter alone, one sex twice, or words that aren't a sex: not taken apart.
        *((text, []) for text in ("F: 12-15", "M: 13-17 M: 12-15", "Smoker: 0-5", "3.5-5.1", "Negative")),
    ],
)
def test_a_text_with_an_interval_for_each_sex(text: str, found: list[tuple[str, str | None, float | None]]) -> None:
    assert [tuple(part) for part in interval_text.parts(text)] == found
