"""Patterns over whole panels: the limits at which each begins, and what keeps it from being told."""

from __future__ import annotations

import pytest

from cds_service import words
from cds_service.clinical.analytes import IDS, UNITS
from cds_service.clinical.assess import assess
from cds_service.domain import Findings
from fhir_adapter import catalog
from fhir_adapter.model import Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation
from tests.cds_service.clinical.panels import series


def _found(*observations: Json) -> tuple[Panel, Findings]:
    panel = normalize(read(bundle(*observations)), catalog.load())
    return panel, assess(panel)


def _patterns(*observations: Json) -> set[str]:
    found = _found(*observations)[1].patterns
    for pattern in found:
        assert pattern.citation
        assert pattern.indices
        for language in words.LANGUAGES:
            assert words.say(language, pattern.title)
            assert words.say(language, pattern.said)
    return {pattern.id for pattern in found}


@pytest.mark.parametrize(
    ("values", "hours", "found"),
    [
        ((1.0, 1.3), 24, True),
        ((1.0, 1.29), 24, False),
        ((1.0, 1.3), 49, False),
        ((1.0, 1.5), 100, True),
        ((1.0, 1.49), 100, False),
        ((1.0, 1.6), 200, False),
    ],
)
def test_kdigo_creatinine_limits(values: tuple[float, ...], hours: int, found: bool) -> None:
    assert ("aki" in _patterns(*series(*values, hours=hours))) == found


@pytest.mark.parametrize(("potassium", "creatinine", "found"), [(6.0, 2.0, True), (5.9, 2.0, False), (6.0, 1.0, False)])
def test_hyperkalaemia_with_raised_creatinine(potassium: float, creatinine: float, found: bool) -> None:
    panel = (
        observation("k", "2823-3", potassium, "mmol/L", 3.5, 5.1),
        observation("c", "2160-0", creatinine, "mg/dL", 0.6, 1.2),
    )
    assert ("hyperkalaemia-kidney" in _patterns(*panel)) == found


def test_a_haemolysed_potassium_is_not_called_kidney_failure() -> None:
    note = [{"text": "hemolyzed"}]
    panel = (
        observation("k", "2823-3", 6.6, "mmol/L", 3.5, 5.1, note=note),
        observation("c", "2160-0", 2.0, "mg/dL", 0.6, 1.2),
    )
    assert "hyperkalaemia-kidney" not in _patterns(*panel)
    assert "haemolysed-potassium" in _patterns(*panel)


@pytest.mark.parametrize(
    ("glucose", "bicarbonate", "chloride", "found"),
    [(200, 17.9, 105, True), (199, 17.9, 105, False), (200, 18, 105, False), (200, 17, 111, False)],
)
def test_ketoacidosis_limits(glucose: float, bicarbonate: float, chloride: float, found: bool) -> None:
    panel = (
        observation("g", "2345-7", glucose, "mg/dL", 70, 99),
        observation("b", "1963-8", bicarbonate, "mmol/L", 22, 29),
        observation("n", "2951-2", 140, "mmol/L", 135, 145),
        observation("c", "2075-0", chloride, "mmol/L", 98, 107),
    )
    assert ("ketoacidosis" in _patterns(*panel)) == found


def test_ketones_speak_before_the_gap() -> None:
    def strip(text: str) -> Json:
        made = observation("u", "5797-6", 0, "", effectiveDateTime="2024-03-01T08:00:00Z")
        return {name: value for name, value in made.items() if name != "valueQuantity"} | {
            "valueString": text,
            "referenceRange": [{"text": "Negative"}],
        }

    acid = (
        observation("g", "2345-7", 480, "mg/dL", 70, 99),
        observation("b", "1963-8", 9, "mmol/L", 22, 29),
    )
    gap = (observation("n", "2951-2", 140, "mmol/L", 135, 145), observation("c", "2075-0", 100, "mmol/L", 98, 107))
    assert "ketoacidosis" in _patterns(*acid, strip("4+"))
    assert "ketoacidosis" not in _patterns(*acid, *gap, strip("NEGATIVE"))
    assert "ketoacidosis" not in _patterns(*acid)


@pytest.mark.parametrize(
    ("strip", "gap", "found"),
    [("2+", False, True), ("1+", False, False), ("trace", False, False), ("1+", True, True), ("small", True, True)],
)
def test_few_ketones_need_the_gap_too(strip: str, gap: bool, found: bool) -> None:
    ketones = observation("u", "5797-6", 0, "", referenceRange=[{"text": "Negative"}], valueString=strip)
    del ketones["valueQuantity"]
    panel = [
        observation("g", "2345-7", 480, "mg/dL", 70, 99),
        observation("b", "1963-8", 9, "mmol/L", 22, 29),
        ketones,
    ]
    if gap:
        panel += [
            observation("n", "2951-2", 140, "mmol/L", 135, 145),
            observation("c", "2075-0", 100, "mmol/L", 98, 107),
        ]
    assert ("ketoacidosis" in _patterns(*panel)) == found


@pytest.mark.parametrize(("ketones", "found"), [(40, True), (39, False)])
def test_ketones_as_a_number(ketones: float, found: bool) -> None:
    panel = (
        observation("g", "2345-7", 480, "mg/dL", 70, 99),
        observation("b", "1963-8", 9, "mmol/L", 22, 29),
        observation("u", "5797-6", ketones, "mg/dL", 0, 4),
    )
    assert ("ketoacidosis" in _patterns(*panel)) == found


@pytest.mark.parametrize(
    ("id", "pair", "hours"),
    [
        ("ketoacidosis", ("2345-7", "1963-8"), 24),
        ("hyperkalaemia-kidney", ("2823-3", "2160-0"), 48),
        ("microcytic-anaemia", ("718-7", "787-2"), 48),
        ("pancytopenia", ("718-7", "777-3"), 48),
        ("hys-law", ("1742-6", "1975-2"), 48),
        ("cholestatic", ("1742-6", "6768-6"), 48),
    ],
)
def test_results_that_lie_days_apart_make_no_pattern(id: str, pair: tuple[str, str], hours: int) -> None:
    """The second of the pair moves away from the first: still a pattern at the window, none a minute later."""
    made = {
        "2345-7": (480, "mg/dL", 70, 99),
        "1963-8": (9, "mmol/L", 22, 29),
        "33037-3": (25, "mmol/L", 8, 16),
        "2823-3": (6.5, "mmol/L", 3.5, 5.1),
        "2160-0": (3.0, "mg/dL", 0.6, 1.2),
        "718-7": (8.0, "g/dL", 12, 16),
        "787-2": (70, "fL", 80, 100),
        "6690-2": (2.0, "10*3/uL", 4, 11),
        "777-3": (90, "10*3/uL", 150, 400),
        "1742-6": (60 if id == "cholestatic" else 200, "U/L", 7, 40),
        "6768-6": (300 if id == "cholestatic" else 100, "U/L", 40, 120),
        "1975-2": (1.0 if id == "cholestatic" else 4.0, "mg/dL", 0.2, 1.2),
    }

    def panel(moved: str) -> list[Json]:
        return [
            observation(
                f"o{loinc}", loinc, *rest, effectiveDateTime=moved if loinc == pair[1] else "2024-03-05T08:00:00Z"
            )
            for loinc, rest in made.items()
        ]

    day = 5 - hours // 24
    assert id in _patterns(*panel(f"2024-03-{day:02}T08:00:00Z"))
    assert id not in _patterns(*panel(f"2024-03-{day:02}T07:59:00Z"))


@pytest.mark.parametrize(("count", "found"), [(0.49, True), (0.5, False)])
def test_severe_neutropenia(count: float, found: bool) -> None:
    assert ("severe-neutropenia" in _patterns(observation("n", "751-8", count, "10*3/uL", 1.8, 7.7))) == found


@pytest.mark.parametrize(
    ("alt", "alp", "bilirubin", "found"),
    [
        (120, 100, 2.41, "hys-law"),
        (120, 100, 2.4, "mixed-liver"),
        (119, 40, 2.5, "hepatocellular"),
        (120, 240, 2.5, "cholestatic"),
        (400, 100, 1.0, "hepatocellular"),
        (60, 300, 1.0, "cholestatic"),
        (200, 150, 1.0, "mixed-liver"),
        (40, 100, 1.0, None),
    ],
)
def test_liver_by_its_ratio(alt: float, alp: float, bilirubin: float, found: str | None) -> None:
    panel = (
        observation("a", "1742-6", alt, "U/L", 7, 40),
        observation("p", "6768-6", alp, "U/L", 40, 120),
        observation("b", "1975-2", bilirubin, "mg/dL", 0.2, 1.2),
    )
    liver = {"hys-law", "hepatocellular", "cholestatic", "mixed-liver"}
    assert _patterns(*panel) & liver == ({found} if found else set())


@pytest.mark.parametrize(("ast", "found"), [(120, True), (119, False)])
def test_hys_law_by_ast_where_alt_is_lower(ast: float, found: bool) -> None:
    panel = (
        observation("a", "1742-6", 50, "U/L", 7, 40),
        observation("s", "1920-8", ast, "U/L", 7, 40),
        observation("p", "6768-6", 100, "U/L", 40, 120),
        observation("b", "1975-2", 3.0, "mg/dL", 0.2, 1.2),
    )
    assert ("hys-law" in _patterns(*panel)) == found


def test_anaemia_and_pancytopenia() -> None:
    blood = [
        observation("h", "718-7", 8.0, "g/dL", 12, 16),
        observation("m", "787-2", 70, "fL", 80, 100),
        observation("w", "6690-2", 2.0, "10*3/uL", 4, 11),
        observation("p", "777-3", 90, "10*3/uL", 150, 400),
    ]
    assert _patterns(*blood) >= {"microcytic-anaemia", "pancytopenia"}
    assert "pancytopenia" not in _patterns(*blood[:3])
    iron = observation("f", "2276-4", 14.9, "ng/mL", 15, 150)
    assert "iron-deficiency-anaemia" in _patterns(*blood, iron)
    enough = observation("f", "2276-4", 15, "ng/mL", 15, 150)
    assert "iron-deficiency-anaemia" not in _patterns(*blood, enough)


def test_the_patterns_analytes_stand_in_the_catalog_with_their_units() -> None:
    known = catalog.load().analytes
    assert {id: known[id].unit for id in UNITS if id in known} == UNITS
    assert set(known) >= IDS
