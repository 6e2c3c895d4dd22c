"""A newborn's bilirubin, by the hour."""

from __future__ import annotations

import pytest

from tests.cds_service.clinical.panels import found


@pytest.mark.parametrize(
    ("micromol", "hours", "code"),
    [
        (199, 24, "N"),
        (201, 24, "H"),
        (299, 24, "H"),
        (301, 24, "HH"),
        (349, 120, "N"),
        (451, 120, "HH"),
        (349, 340, None),
    ],
)
def test_a_newborns_bilirubin_is_judged_by_the_hour(micromol: float, hours: float, code: str | None) -> None:
    assert found(f"bilirubin-total={micromol}[umol/L]", born_hours=hours).results[0].code == code


@pytest.mark.parametrize(("micromol", "code"), [(133, "N"), (134, None), (216, None), (217, "H")])
def test_by_the_date_alone_only_what_holds_at_every_hour_is_said(micromol: float, code: str | None) -> None:
    """Born on the day before, seen at 8: between 8 and 32 hours old."""
    assert found(f"bilirubin-total={micromol}[umol/L]", age=1 / 365.2425).results[0].code == code


@pytest.mark.parametrize(("mg", "code"), [(17.9, "H"), (18.0, "H"), (18.1, "HH"), (20.0, "HH")])
def test_a_newborns_bilirubin_past_nices_hours_is_held_to_the_critical_limit(mg: float, code: str) -> None:
    assert found(f"bilirubin-total={mg}", born_hours=20 * 24).results[0].code == code
