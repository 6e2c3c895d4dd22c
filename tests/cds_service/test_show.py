"""What a terminal shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.show import BAR, bar, console, render
from labcue.v1 import cds_pb2


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


def _gas() -> cds_pb2.EvaluateResponse:
    """Three components of one Observation, of which two are abnormal."""
    response = cds_pb2.EvaluateResponse()
    evaluation = response.extension.evaluation
    evaluation.language = "en"
    for index, (name, code) in enumerate([("pH", "L"), ("pCO2", "H"), ("pO2", "N")]):
        flag = evaluation.flags.add(
            observation="Observation/gas", path=f"c[{index}]", display=name, code=code, value="7", source="rule"
        )
        flag.abnormal, flag.critical = code != "N", False
        flag.basis.add(kind="interval", interval="1-2", interval_source="lab")
        flag.basis.add(kind="delta", text="Changed.", citation="Book 1999." if index else "")
    card = response.cards.add(indicator="warning", summary="pH 7: low, and 1 more abnormal")
    card.extension.subject.observations.extend(["Observation/gas"] * 2)
    card.extension.subject.paths.extend(["c[0]", "c[1]"])
    return response


def _text(response: cds_pb2.EvaluateResponse, width: int = 100, **how: int) -> str:
    shown = console(colour=False)
    shown.width = width
    with shown.capture() as capture:
        shown.print(render(response, title="a", **how))  # type: ignore[arg-type]
    return capture.get()


@pytest.mark.parametrize("with_paths", [True, False])
def test_components_of_one_observation_stay_apart(with_paths: bool) -> None:
    response = _gas()
    if not with_paths:
        del response.cards[0].extension.subject.paths[:]
    shown = _text(response)
    assert shown.count("pCO2") == 1
    assert shown.count("pH ") == 2  # the summary, and its row
    assert "pO2" not in shown


def test_a_basis_stands_with_its_source() -> None:
    shown = _text(_gas())
    assert "1-2 (lab)" in shown
    assert "Changed. [1]" in shown
    assert "[1] Book 1999" in shown


def test_what_is_left_out_is_counted() -> None:
    assert "…and 1 more." in _text(_gas(), max_rows=1)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_width_loses_a_value(width: int) -> None:
    response = _gas()
    response.extension.evaluation.flags[0].value = "No growth after five days of incubation"
    response.extension.evaluation.flags[0].position = -3
    shown = " ".join(_text(response, width).replace("│", " ").split())
    assert "No growth after five days of incubation" in shown


def test_text_from_a_bundle_cannot_steer_the_terminal() -> None:
    response = _gas()
    flag = response.extension.evaluation.flags[0]
    flag.display, flag.value, flag.unit = "[red]\x1b[2Jname", ":smile:\x07", "\u202eg/L"
    response.cards[0].summary = "\x1b]0;title\x07 [link=x]"
    shown = _text(response)
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert "[red]" in shown
    assert ":smile:" in shown
    assert "[link=x]" in shown


def test_clear_is_said_only_where_everything_was_assessed() -> None:
    response = cds_pb2.EvaluateResponse()
    evaluation = response.extension.evaluation
    evaluation.language = "en"
    assert "everything assessed" in _text(response)
    evaluation.not_assessed.add(path="x", code="superseded", reason="A corrected version of this result stands there.")
    shown = _text(response)
    assert "everything assessed" not in shown
    assert "1 × A corrected version" in shown


@pytest.mark.parametrize(("language", "said"), [("en", "rules alone"), ("fr", "règles seules")])
def test_a_degraded_answer_says_so_in_its_language(language: str, said: str) -> None:
    response = _gas()
    response.extension.evaluation.language = language
    response.extension.evaluation.degraded = "model not loaded"
    assert said in _text(response)


@pytest.mark.parametrize(
    ("low", "high", "shown"), [(False, True, "─────────]●··"), (True, False, "··●[─────────")], ids=["high", "low"]
)
def test_an_open_side_has_no_bracket(low: bool, high: bool, shown: str) -> None:
    assert bar(1.2 if high else -1.2, low=low, high=high) == shown
