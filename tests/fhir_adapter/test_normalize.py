"""From what was read to what can be judged."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from msgspec.structs import replace

from fhir_adapter import catalog
from fhir_adapter.model import (
    Coding,
    Intake,
    Interval,
    PanelResult,
    Patient,
    Quantity,
    ReferenceRange,
    Result,
    Span,
    Value,
)
from fhir_adapter.normalize import age_years, normalize

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
ADULT = Patient(reference="Patient/p", sex="female", birth_date=date(1980, 1, 1))


def _result(
    loinc: str | None,
    value: Value,
    *,
    ranges: tuple[ReferenceRange, ...] = (),
    name: str | None = None,
    effective: datetime | None = NOON,
    id: str = "1",
) -> Result:
    codings = (Coding("http://loinc.org", loinc),) if loinc else ()
    return Result(f"Bundle.entry[{id}]", f"Observation/{id}", codings, name, value, effective=effective, ranges=ranges)


def _range(low: float | None, high: float | None, unit: str | None, **more: object) -> ReferenceRange:
    return ReferenceRange(
        None if low is None else Quantity(low, unit),
        None if high is None else Quantity(high, unit),
        **more,  # type: ignore[arg-type]
    )


def _place(*results: Result, patient: Patient = ADULT) -> tuple[PanelResult, ...]:
    return normalize(Intake(patient, results, (), len(results)), catalog.load()).results


def test_the_labs_interval_comes_first_and_needs_no_known_unit() -> None:
    (one,) = _place(_result("2823-3", Quantity(6.0, "wibble/L"), ranges=(_range(3.3, 5.1, "wibble/L"),)))
    assert one.interval is not None
    assert (one.interval.low, one.interval.high, one.interval.source) == (3.3, 5.1, "lab")
    assert one.canonical is None
    assert one.critical is None
    assert one.position is not None
    assert one.position > 1


def test_an_unknown_test_is_judged_by_the_labs_interval() -> None:
    (one,) = _place(_result(None, Quantity(12, "arb"), name="Wibble factor", ranges=(_range(1, 10, None),)))
    assert one.analyte is None
    assert one.display == "Wibble factor"
    assert one.interval is not None


def test_a_labs_interval_in_another_unit_is_converted_into_the_values() -> None:
    (one,) = _place(_result("2345-7", Quantity(180, "mg/dL"), ranges=(_range(3.9, 5.5, "mmol/L"),)))
    assert one.interval is not None
    assert one.interval.source == "lab"
    assert one.interval.high == pytest.approx(99.1, abs=0.2)


def test_without_a_labs_interval_the_usual_one_is_named() -> None:
    (one,) = _place(_result("2823-3", Quantity(4.0, "mmol/L")))
    assert one.interval is not None
    assert one.interval.source == "usual"
    assert one.interval.citation


def test_a_usual_interval_is_shown_in_the_reported_unit() -> None:
    (mass,) = _place(_result("2160-0", Quantity(1.0, "mg/dL")))
    (molar,) = _place(_result("14682-9", Quantity(88.4, "umol/L")))
    assert mass.interval is not None
    assert molar.interval is not None
    assert molar.interval.high == pytest.approx((mass.interval.high or 0) * 88.42, rel=0.01)
    assert mass.canonical == pytest.approx(molar.canonical, rel=0.001)


@pytest.mark.parametrize(
    ("unit", "problem"), [(None, "unit-unknown"), ("wibble", "unit-unknown"), ("mg/dL", "unit-mismatch")]
)
def test_a_unit_is_never_guessed(unit: str | None, problem: str) -> None:
    (one,) = _place(_result("1742-6", Quantity(70, unit)))
    assert one.interval is None
    assert one.critical is None
    assert one.canonical is None
    assert one.problem == problem


def test_a_value_without_a_unit_does_not_borrow_the_intervals() -> None:
    (one,) = _place(_result("2823-3", Quantity(6.0, None), ranges=(_range(3.5, 5.1, "mmol/L"),)))
    assert one.interval is None
    assert one.problem == "unit-unknown"


def test_a_number_in_a_string_stands_in_the_unit_of_its_own_line() -> None:
    value = Quantity(300.0, None, ">", ">300", from_text=True)
    (one,) = _place(_result("5804-0", value, ranges=(_range(0, 0, "mg/dL"),)))
    assert one.interval is not None
    assert one.interval.unit == "mg/dL"


def test_where_neither_has_a_unit_they_share_it() -> None:
    (one,) = _place(_result("6301-6", Quantity(1.4), ranges=(_range(0.9, 1.1, None),)))
    assert one.interval is not None
    assert one.interval.source == "lab"


def test_critical_limits_come_from_the_lab_before_the_catalog() -> None:
    normal = _range(3.5, 5.1, "mmol/L")
    (usual,) = _place(_result("2823-3", Quantity(6.8, "mmol/L"), ranges=(normal,)))
    assert usual.critical is not None
    assert usual.critical.source == "usual"
    (own,) = _place(
        _result(
            "2823-3", Quantity(6.8, "mmol/L"), ranges=(normal, _range(2.2, 7.0, "mmol/L", type_codes=("critical",)))
        )
    )
    assert own.critical is not None
    assert (own.critical.low, own.critical.high, own.critical.source) == (2.2, 7.0, "lab")


@pytest.mark.parametrize(
    ("low", "high", "kept"),
    [
        pytest.param(1.15, 1.33, (0.82, 1.55), id="an ionized calcium"),
        pytest.param(
            2.25, 2.65, (0.82, None), id="a corrected one under the code of an ionized: 1.55 would be far under normal"
        ),
        pytest.param(0.2, 0.8, (None, 1.55), id="and one far above normal is left out, too"),
        pytest.param(1.15, 1.55, (0.82, 1.55), id="the limit may end the interval"),
        pytest.param(None, None, (0.82, 1.55), id="none sent"),
    ],
)
def test_a_critical_limit_inside_the_laboratorys_interval_is_of_something_else(
    low: float | None, high: float | None, kept: tuple[float | None, float | None]
) -> None:
    ranges = () if low is None else (_range(low, high, "mmol/L"),)
    (one,) = _place(_result("1995-0", Quantity(2.39, "mmol/L"), ranges=ranges))
    assert one.critical is not None
    assert (one.critical.low, one.critical.high) == kept
    assert one.critical.text == {(0.82, 1.55): "0.82-1.55", (0.82, None): "≥ 0.82", (None, 1.55): "≤ 1.55"}[kept]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(6.0, None, (None, 6.0)), (None, 2.5, (2.5, None)), (6.0, 9.0, (None, 6.0)), (2.5, 6.0, (2.5, 6.0))],
)
def test_a_critical_zone_is_read_by_where_it_lies(
    low: float | None, high: float | None, expected: tuple[float | None, float | None]
) -> None:
    ranges = (_range(3.5, 5.1, "mmol/L"), _range(low, high, "mmol/L", type_codes=("critical",)))
    (one,) = _place(_result("2823-3", Quantity(4.0, "mmol/L"), ranges=ranges))
    assert one.critical is not None
    assert (one.critical.low, one.critical.high) == expected


def test_an_impossible_number_is_marked() -> None:
    (one,) = _place(_result("2823-3", Quantity(410, "mmol/L")))
    assert one.implausible


def test_priors_are_earlier_newest_first_and_in_the_same_unit() -> None:
    placed = _place(
        _result("2160-0", Quantity(1.0, "mg/dL"), effective=NOON - timedelta(days=2), id="a"),
        _result("14682-9", Quantity(176.8, "umol/L"), effective=NOON - timedelta(days=1), id="b"),
        _result("2160-0", Quantity(3.0, "mg/dL"), effective=NOON, id="c"),
    )
    newest = placed[2]
    assert [prior.observation for prior in newest.priors] == ["Observation/b", "Observation/a"]
    assert [prior.number for prior in newest.priors] == pytest.approx([2.0, 1.0], rel=0.001)
    assert [one.newest for one in placed] == [False, False, True]


def test_a_bound_is_not_a_prior_and_a_range_has_none() -> None:
    placed = _place(
        _result("2823-3", Quantity(4.0, "mmol/L", "<"), effective=NOON - timedelta(days=1), id="a"),
        _result("2823-3", Quantity(5.0, "mmol/L"), id="b"),
        _result("2823-3", Span(4, 5, "mmol/L"), effective=NOON + timedelta(days=1), id="c"),
    )
    assert placed[1].priors == ()
    assert placed[2].priors == ()


def test_a_long_series_stays_linear_and_bounded() -> None:
    placed = _place(
        *(
            _result("2823-3", Quantity(4.0, "mmol/L"), effective=NOON + timedelta(hours=n), id=str(n))
            for n in range(500)
        )
    )
    assert max(len(one.priors) for one in placed) <= 8
    assert sum(one.newest for one in placed) == 1


def test_age_at_the_result() -> None:
    assert age_years(date(2024, 2, 28), NOON) == pytest.approx(2 / 365.2425)
    assert age_years(date(2025, 1, 1), NOON) is None
    assert age_years(None, NOON) is None
    assert age_years(date(1980, 1, 1), None) is None


def test_the_interval_for_the_patients_sex_and_age_is_used() -> None:
    woman, man = (
        _place(_result("718-7", Quantity(13.0, "g/dL")), patient=Patient(sex=sex, birth_date=date(1980, 1, 1)))[0]
        for sex in ("female", "male")
    )
    assert woman.interval is not None
    assert man.interval is not None
    assert (woman.interval.low or 0) < (man.interval.low or 0)


@pytest.mark.parametrize(
    ("loinc", "unit", "text", "limits"),
    [
        # By the unit: single cells in a microlitre have no decimals.
        ("6690-2", "/mm3", "4,000-11,000", (4000, 11000)),
        (None, "cells/uL", "4.000-11.000", (4000, 11000)),
        # By what is usual for the test.
        ("777-3", "10*6/L", "150,000-400,000", (150000, 400000)),
        ("2823-3", "mmol/L", "3,500-5,100", (3.5, 5.1)),
        ("2823-3", "mmol/L", "3.500-5.100", (3.5, 5.1)),
        # By nothing: a comma may be either, a point is nearly everywhere the decimal one.
        (None, "mg/L", "4,000-11,000", None),
        (None, "mg/L", "1.500-1.800", (1.5, 1.8)),
        (None, "mg/L", "150.000-400.000", None),
    ],
)
def test_thousands_in_an_interval(loinc: str | None, unit: str, text: str, limits: tuple[float, float] | None) -> None:
    (placed,) = _place(_result(loinc, Quantity(5.0, unit), ranges=(ReferenceRange(text=text),), name="Any"))
    found = placed.interval
    own = found if found is not None and found.source == "lab" else None
    assert (None if own is None else (own.low, own.high)) == limits


@pytest.mark.parametrize(("unit", "number"), [("/uL", 7800), ("10*9/L", 7.8)])
def test_thousands_of_cells_in_a_string(unit: str, number: float) -> None:
    sent = Quantity(7.8, None, None, "7.800", None, from_text=True)
    (placed,) = _place(_result("6690-2", sent, ranges=(ReferenceRange(text=f"4.000-10.000 {unit}"),)))
    assert placed.number == number
    assert isinstance(placed.result.value, Quantity)
    assert placed.result.value.number == number
    assert placed.canonical == pytest.approx(7.8)


def test_a_bare_name_in_a_small_unit_is_of_blood_where_its_interval_is() -> None:
    def found(low: float, high: float, specimen: str | None = None) -> PanelResult:
        sent = _result(None, Quantity(3200, "/mm3"), ranges=(_range(low, high, "/mm3"),), name="WBC")
        return _place(replace(sent, specimen=specimen))[0]

    assert found(4000, 11000).analyte is catalog.load().analytes["leucocytes"]
    assert found(0, 5).analyte is None
    assert found(4000, 11000, "Unknown").analyte is None


def test_zero_to_zero_is_no_interval_for_what_everyone_has() -> None:
    (potassium,) = _place(_result("2823-3", Quantity(4.0, "mmol/L"), ranges=(_range(0, 0, "mmol/L"),)))
    (blasts,) = _place(_result("26446-5", Quantity(4.0, "%"), ranges=(_range(0, 0, "%"),)))
    assert potassium.interval is not None
    assert potassium.interval.source == "usual"
    assert blasts.interval is not None
    assert blasts.interval.source == "lab"


@pytest.mark.parametrize(
    ("number", "low", "high", "inside"),
    [
        (3.5, 3.5, 5.1, True),
        (5.1, 3.5, 5.1, True),
        (5.2, 3.5, 5.1, False),
        (3.4, 3.5, 5.1, False),
        (-3, None, 5.1, True),
        (9, 3.5, None, True),
        (4, None, None, False),
        (None, 3.5, 5.1, False),
    ],
)
def test_whether_a_number_lies_in_its_interval(
    number: float | None, low: float | None, high: float | None, inside: bool
) -> None:
    (placed,) = _place(_result("2823-3", Quantity(4, "mmol/L")))
    one = replace(placed, number=number, interval=Interval(low, high, "mmol/L", "lab"))
    assert one.inside == inside
    if number in (low, high) and number is not None:
        apart = Interval(low, high, "mmol/L", "lab", low_inclusive=False, high_inclusive=False)
        assert not replace(one, interval=apart).inside
