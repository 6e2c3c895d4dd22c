"""What a terminal shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.show import BAR, bar


@pytest.mark.parametrize(
    ("position", "shown"),
    [
        (None, ""),
        (0.0, "···[──●──]···"),
        (-0.99, "···[●────]···"),
        (1.3, "···[─────]●··"),
        (-1.3, "··●[─────]···"),
        (50.0, "···[─────]··▶"),
        (-50.0, "◀··[─────]···"),
    ],
)
def test_the_bar_shows_where_the_value_lies(position: float | None, shown: str) -> None:
    assert bar(position) == shown


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_the_bar_never_lies_about_inside_and_outside(position: float) -> None:
    shown = bar(position)
    assert len(shown) == BAR
    mark = next(index for index, cell in enumerate(shown) if cell in "●◀▶")
    if abs(position) < 1:
        assert shown.index("[") < mark < shown.index("]")
    elif position > 1:
        assert mark > shown.index("]")
    elif position < -1:
        assert mark < shown.index("[")
