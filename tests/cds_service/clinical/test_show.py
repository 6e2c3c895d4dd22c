"""Values as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.clinical.show import short, value_text, with_unit
from fhir_adapter.model import Interval, PanelResult, Quantity, Result


@pytest.mark.parametrize(
    ("digits", "read"),
    [
        ("16.771131239686177", "16.771"),
        ("0.0123456789", "0.012346"),
        ("-1.23456789", "-1.2346"),
        ("4.10", "4.10"),
        ("100.0000", "100.0000"),
        ("1234567890", "1234567890"),
        ("0.0000123456789", "0.0000123456789"),
        ("1.5e-12", "1.5e-12"),
        ("1:160", "1:160"),
        ("Positive", "Positive"),
        ("", ""),
    ],
)
def test_only_figures_that_nobody_measures_are_left_out(digits: str, read: str) -> None:
    assert short(digits) == read


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-10_000, max_value=10_000))
def test_what_is_read_is_the_number_to_five_figures(number: object) -> None:
    assert float(short(f"{number:f}")) == pytest.approx(float(f"{number:f}"), rel=6e-5, abs=1e-12)


def _placed(digits: str) -> PanelResult:
    quantity = Quantity(float(digits), "mmol/L", text=digits)
    result = Result("", "", (), "Potassium", quantity)
    return PanelResult(
        result, display="Potassium", number=float(digits), unit="mmol/L", interval=Interval(3.5, 5.1, "mmol/L", "lab")
    )


def test_the_laboratorys_digits_stay_beside_what_is_read() -> None:
    placed = _placed("4.123456789012")
    assert with_unit(placed) == "4.1235 mmol/L"
    assert value_text(placed) == "4.123456789012"
    assert with_unit(_placed("4.1")) == "4.1 mmol/L"


def test_a_number_just_over_its_limit_keeps_the_figures_that_say_so() -> None:
    assert with_unit(_placed("5.100000123")) == "5.100000123 mmol/L"
    assert with_unit(_placed("3.499999999")) == "3.499999999 mmol/L"
    assert with_unit(_placed("5.123456789")) == "5.1235 mmol/L"


@pytest.mark.parametrize(
    ("unit", "read"),
    [("pH", "4.1"), ("[pH]", "4.1"), ("1", "4.1"), ("{ratio}", "4.1"), ("mmol/L", "4.1 mmol/L"), (None, "4.1")],
)
def test_a_number_without_a_unit_to_print_stands_alone(unit: str | None, read: str) -> None:
    result = Result("", "", (), "pH", Quantity(4.1, unit, text="4.1"))
    assert with_unit(PanelResult(result, display="pH", number=4.1, unit=unit)) == read
