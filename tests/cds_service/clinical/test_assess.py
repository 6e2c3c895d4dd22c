"""The rules over whole panels: what decides, what is said, what can't be judged."""

from __future__ import annotations

from typing import Any

import pytest

from cds_service import words
from cds_service.clinical.analytes import IDS, UNITS
from cds_service.clinical.assess import assess
from cds_service.domain import Finding, Findings
from fhir_adapter import catalog
from fhir_adapter.errors import BENIGN_NOT_ASSESSED
from fhir_adapter.model import Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation
from tests.cds_service.clinical.panels import found


def _found(*observations: Json) -> tuple[Panel, Findings]:
    panel = normalize(read(bundle(*observations)), catalog.load())
    return panel, assess(panel)


def _one(**more: Any) -> Finding:
    made = observation("o", "2823-3", 4.0, "mmol/L", 3.5, 5.1) | more
    return _found({key: value for key, value in made.items() if value is not None})[1].results[0]


def _interpreted(code: str) -> list[Json]:
    return [
        {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation", "code": code}]}
    ]


def _quantity(value: float, unit: str = "mmol/L") -> Json:
    return {"value": value, "unit": unit}


@pytest.mark.parametrize(
    ("value", "code", "floor"),
    [(4.0, "N", False), (3.4, "L", True), (5.2, "H", True), (6.3, "HH", True), (2.7, "LL", True)],
)
def test_the_labs_interval_and_the_critical_limits(value: float, code: str, floor: bool) -> None:
    found = _one(valueQuantity=_quantity(value))
    assert (found.code, found.floor) == (code, floor)
    assert found.basis[0].interval_source == "lab"


def test_a_usual_interval_is_evidence_not_a_floor() -> None:
    found = _one(valueQuantity=_quantity(5.4), referenceRange=None)
    assert (found.code, found.floor) == ("H", False)
    assert found.basis[0].interval_source == "usual"
    assert found.basis[0].citation


def test_an_impossible_number_is_not_assessed_unless_the_lab_gives_an_interval() -> None:
    bare = _one(valueQuantity=_quantity(410), referenceRange=None)
    assert bare.code is None
    assert bare.not_assessed is not None
    assert bare.not_assessed.code == "implausible"
    own = _one(valueQuantity=_quantity(410))
    assert own.abnormal
    assert "implausible" in {basis.said.key for basis in own.basis}


@pytest.mark.parametrize(("own", "code"), [("N", None), ("H", "H")])
def test_an_impossible_number_is_never_normal_because_the_laboratory_codes_it_so(own: str, code: str | None) -> None:
    found = _one(valueQuantity=_quantity(410), referenceRange=None, interpretation=_interpreted(own))
    assert found.code == code
    if code is None:
        assert found.not_assessed is not None
        assert found.not_assessed.code == "implausible"
    else:
        assert found.floor
        assert "implausible-called" in {basis.said.key for basis in found.basis}


@pytest.mark.parametrize(
    ("value", "own", "code", "kind"),
    [
        (4.0, "H", "H", "disagreement"),
        (5.5, "N", "H", "disagreement"),
        (5.5, "HH", "HH", "interpretation"),
        (5.5, "L", "H", "disagreement"),
        (5.5, "LL", "LL", "disagreement"),
        (4.0, "HH", "HH", "disagreement"),
        (4.0, "U", "N", None),
    ],
)
def test_the_laboratorys_own_word_is_evidence(value: float, own: str, code: str, kind: str | None) -> None:
    found = _one(valueQuantity=_quantity(value), interpretation=_interpreted(own))
    assert found.code == code
    assert (kind in {basis.kind for basis in found.basis}) == (kind is not None)


def test_without_an_interval_the_laboratorys_word_decides() -> None:
    unknown = {"code": {"text": "Wibble factor"}, "referenceRange": None}
    assert _one(**unknown, interpretation=_interpreted("L")).code == "L"
    assert _one(**unknown, interpretation=_interpreted("L")).floor
    nothing = _one(**unknown)
    assert nothing.not_assessed is not None
    assert nothing.not_assessed.code == "no-interval"


@pytest.mark.parametrize(
    ("text", "expected", "code"),
    [
        ("2+", "Negative", "A"),
        ("NEGATIVE", "Negative", "N"),
        ("TRACE", "Negative", "A"),
        ("Not detected", None, "N"),
        ("POSITIVE", None, "A"),
    ],
)
def test_answers_in_words(text: str, expected: str | None, code: str) -> None:
    ranges = [{"text": expected}] if expected else None
    found = _one(code={"text": "Some antigen"}, valueQuantity=None, valueString=text, referenceRange=ranges)
    assert found.code == code


@pytest.mark.parametrize(
    ("text", "expected", "code", "floor"),
    [
        ("2+", "Negative", "A", True),
        ("Positive", None, "A", False),
        ("Trace", "Negative, trace", "N", False),
        ("2+", "Negative, trace", "A", True),
        ("Negative", "Trace", "N", False),
        ("Negative", "Positive", "A", True),
        ("Not detected", "Immune", "A", True),
        ("Positive", "Positive", "N", False),
    ],
)
def test_the_laboratorys_own_words_are_its_interval(text: str, expected: str | None, code: str, floor: bool) -> None:
    """Urine ketones (the catalog knows their answers) and an antigen that it doesn't know."""
    ranges = [{"text": expected}] if expected else None
    for named in ({"text": "Some antigen"}, {"coding": [{"system": "http://loinc.org", "code": "5797-6"}]}):
        found = _one(code=named, valueQuantity=None, valueString=text, referenceRange=ranges)
        assert (found.code, found.floor) == (code, floor)


@pytest.mark.parametrize(
    ("titre", "limit", "code"),
    [
        ("1:160", "< 1:80", "A"),
        ("1:80", "< 1:80", "A"),
        ("1:40", "< 1:80", "N"),
        ("1:80", "≤ 1:80", "N"),
        ("1:80", "1:80", "N"),
        ("1:81", "1:80", "A"),
        ("<1:40", "< 1:40", "N"),
        ("<1:80", "< 1:40", None),
        (">1:640", "< 1:40", "A"),
        ("1:160", "see comment", None),
        ("1:160", "> 1:40", None),
    ],
)
def test_titres_against_the_laboratorys_limit(titre: str, limit: str, code: str | None) -> None:
    found = _one(
        code={"text": "Some antibody"}, valueQuantity=None, valueString=titre, referenceRange=[{"text": limit}]
    )
    assert (found.code, found.floor) == (code, code == "A")


def test_a_titre_limit_for_some_people_only_is_not_used() -> None:
    ranges = [{"text": "< 1:80", "age": {"high": {"value": 12, "unit": "a"}}}]
    found = _one(code={"text": "Some antibody"}, valueQuantity=None, valueString="1:160", referenceRange=ranges)
    assert found.code is None


def test_words_nobody_knows_are_not_assessed() -> None:
    found = _one(code={"text": "Some antigen"}, valueQuantity=None, valueString="xyzzy", referenceRange=None)
    assert found.not_assessed is not None
    assert found.not_assessed.code == "unknown-answer"


def test_preliminary_is_said() -> None:
    assert "preliminary" in {basis.kind for basis in _one(status="preliminary").basis}


@pytest.mark.parametrize(
    ("note", "tainted"),
    [
        ("Specimen moderately hemolyzed.", True),
        ("Échantillon hémolysé", True),
        ("No hemolysis seen", False),
        ("Not enough sample, haemolysed", True),
        ("hemolyzed - no result", True),
        ("Hemolysis: none", False),
        ("Hémolyse absente", False),
        ("He\u0301molyse : non", False),
        ("Hemolysis index: 12", False),
        ("Hemolysis index 120", True),
        ("Hemolysis 3+", True),
        ("non-hemolysed", False),
        ("unhemolyzed", False),
        ("anémie hémolytique", False),
        ("ok", False),
    ],
)
def test_a_haemolysed_sample_taints_its_potassium(note: str, tainted: bool) -> None:
    found = _one(valueQuantity=_quantity(6.0), note=[{"text": note}])
    assert ("taint" in {basis.kind for basis in found.basis}) == tainted


def test_a_normal_potassium_on_a_haemolysed_sample_may_hide_a_low_one() -> None:
    assert "taint" in {basis.kind for basis in _one(note=[{"text": "hemolyzed"}]).basis}


@pytest.mark.parametrize(
    ("index", "tainted"),
    [
        ({"valueQuantity": {"value": 51}}, True),
        ({"valueQuantity": {"value": 50}}, False),
        ({"valueQuantity": {"value": 50, "comparator": ">"}}, True),
        ({"valueQuantity": {"value": 200, "comparator": "<"}}, False),
        ({"valueQuantity": {"value": 3}, "referenceRange": [{"high": {"value": 1}}]}, True),
        ({"valueString": "2+"}, True),
        ({"valueString": "1+"}, False),
        ({"valueString": "Grossly hemolyzed"}, True),
        ({"valueQuantity": {"value": 300}, "effectiveDateTime": "2024-03-02T08:00:00Z"}, False),
    ],
)
def test_the_samples_own_haemolysis_index_taints_what_was_taken_with_it(index: Json, tainted: bool) -> None:
    made = observation("h", "0", 0, "", code={"text": "Hemolysis index"}) | index
    if "valueString" in index:
        del made["valueQuantity"]
    potassium = observation("k", "2823-3", 6.0, "mmol/L", 3.5, 5.1)
    sodium = observation("n", "2951-2", 150, "mmol/L", 135, 145)
    found = _found(made, potassium, sodium)[1].results
    assert ("taint" in {basis.kind for basis in found[1].basis}) == tainted
    assert "taint" not in {basis.kind for basis in found[2].basis}


def test_a_bound_gets_no_change_and_a_negative_prior_turns_no_sign() -> None:
    first, second = _series(2.0, 3.0)
    second["valueQuantity"]["comparator"] = ">"
    assert not {basis.kind for basis in _found(first, second)[1].results[1].basis} & {"delta", "trend"}
    rising = _series(-4.0, -2.0, loinc="11555-0", unit="mmol/L")
    (delta,) = [basis for basis in _found(*rising)[1].results[1].basis if basis.kind == "delta"]
    assert delta.said.params["percent"] == "+50 %"


def _series(*values: float, loinc: str = "2160-0", unit: str = "mg/dL", hours: int = 24) -> list[Json]:
    from datetime import UTC, datetime, timedelta

    start = datetime(2024, 3, 1, tzinfo=UTC)
    return [
        observation(
            f"s{n}", loinc, value, unit, 0.6, 1.2, effectiveDateTime=(start + timedelta(hours=hours * n)).isoformat()
        )
        for n, value in enumerate(values)
    ]


def test_the_newest_gets_its_trend_and_the_older_ones_none() -> None:
    found = _found(*_series(1.0, 1.3, 1.9))[1].results
    assert {basis.kind for basis in found[2].basis} >= {"delta", "trend"}
    assert not {basis.kind for basis in found[0].basis} & {"delta", "trend"}


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
    assert ("aki" in _patterns(*_series(*values, hours=hours))) == found


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


@pytest.mark.parametrize(
    ("loinc", "text", "code"),
    [
        ("600-7", "Staphylococcus aureus", "AA"),
        ("600-7", "Escherichia coli, 2 of 4 bottles", "AA"),
        ("600-7", "No growth after 5 days", "N"),
        ("600-7", "Preliminary: pending", None),
        ("600-7", "See microbiology report", None),
        ("24429-3", "Plasmodium falciparum seen", "AA"),
        ("630-4", "Mixed flora", None),
    ],
)
def test_a_culture_names_what_it_found(loinc: str, text: str, code: str | None) -> None:
    made = observation("c", loinc, 0, "") | {"valueString": text}
    found = _found({name: value for name, value in made.items() if name != "valueQuantity"})[1].results[0]
    assert found.code == code


@pytest.mark.parametrize("text", ["Indeterminate", "Equivocal", "Pending", "Specimen hemolyzed"])
def test_an_answer_without_a_conclusion_is_not_passed_over(text: str) -> None:
    found = _one(code={"text": "HIV antibody"}, valueQuantity=None, valueString=text, referenceRange=None)
    assert found.not_assessed is not None
    assert found.not_assessed.code == "inconclusive"
    assert found.not_assessed.code not in BENIGN_NOT_ASSESSED


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


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("E. coli", "A"),
        ("Plasmodium falciparum seen", "A"),
        ("Klebsiella pneumoniae >100 000 CFU/mL", "A"),
        ("No Salmonella or Shigella", None),
        ("Staphylococcus aureus: susceptible", "N"),
        ("Candida, see report", None),
        ("Plasmodium falciparum not seen", "N"),
    ],
)
def test_an_organism_in_free_words_is_a_finding(text: str, code: str | None) -> None:
    found = _one(code={"text": "Some culture"}, valueQuantity=None, valueString=text, referenceRange=None)
    assert found.code == code


@pytest.mark.parametrize(
    ("panel", "keys"),
    [
        ("sodium=131#lipaemic_sample", {"lipaemic"}),
        ("sodium=131#not_lipaemic", set()),
        ("potassium=4.1#lipaemic_sample", set()),
        ("creatinine=1.1#icteric", {"icteric"}),
        ("sodium=131 lipaemia-index=3+", {"lipaemic"}),
        ("sodium=131 lipaemia-index=1+", set()),
        ("sodium=131 lipaemia-index@-1=3+", set()),
    ],
)
def test_a_lipaemic_or_icteric_sample_taints_what_it_misleads(panel: str, keys: set[str]) -> None:
    assert {one.said.key for one in found(panel).results[0].basis if one.kind == "taint"} == keys


@pytest.mark.parametrize(("mg", "code"), [(17.9, "H"), (18.0, "H"), (18.1, "HH"), (20.0, "HH")])
def test_a_newborns_bilirubin_past_nices_hours_is_held_to_the_critical_limit(mg: float, code: str) -> None:
    assert found(f"bilirubin-total={mg}", born_hours=20 * 24).results[0].code == code
