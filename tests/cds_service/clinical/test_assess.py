"""The rules over whole panels: what decides, what is said, what can't be judged."""

from __future__ import annotations

import pytest

from fhir_adapter.errors import BENIGN_NOT_ASSESSED
from tests.bundles import Json, observation
from tests.cds_service.clinical.panels import potassium, sent, series


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
    found = potassium(valueQuantity=_quantity(value))
    assert (found.code, found.floor) == (code, floor)
    assert found.basis[0].interval_source == "lab"


def test_a_usual_interval_is_evidence_not_a_floor() -> None:
    found = potassium(valueQuantity=_quantity(5.4), referenceRange=None)
    assert (found.code, found.floor) == ("H", False)
    assert found.basis[0].interval_source == "usual"
    assert found.basis[0].citation


def test_an_impossible_number_is_not_assessed_unless_the_lab_gives_an_interval() -> None:
    bare = potassium(valueQuantity=_quantity(410), referenceRange=None)
    assert bare.code is None
    assert bare.not_assessed is not None
    assert bare.not_assessed.code == "implausible"
    own = potassium(valueQuantity=_quantity(410))
    assert own.abnormal
    assert "implausible" in {basis.said.key for basis in own.basis}


@pytest.mark.parametrize(("own", "code"), [("N", None), ("H", "H")])
def test_an_impossible_number_is_never_normal_because_the_laboratory_codes_it_so(own: str, code: str | None) -> None:
    found = potassium(valueQuantity=_quantity(410), referenceRange=None, interpretation=_interpreted(own))
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
    found = potassium(valueQuantity=_quantity(value), interpretation=_interpreted(own))
    assert found.code == code
    assert (kind in {basis.kind for basis in found.basis}) == (kind is not None)


def test_without_an_interval_the_laboratorys_word_decides() -> None:
    unknown = {"code": {"text": "Wibble factor"}, "referenceRange": None}
    assert potassium(**unknown, interpretation=_interpreted("L")).code == "L"
    assert potassium(**unknown, interpretation=_interpreted("L")).floor
    nothing = potassium(**unknown)
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
    found = potassium(code={"text": "Some antigen"}, valueQuantity=None, valueString=text, referenceRange=ranges)
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
        found = potassium(code=named, valueQuantity=None, valueString=text, referenceRange=ranges)
        assert (found.code, found.floor) == (code, floor)


@pytest.mark.parametrize(
    ("text", "expected", "code"),
    [
        ("Immune", "Immune", "N"),
        ("Positive (immune)", "Immune", "N"),
        ("Not immune", "Immune", "A"),
        ("Negative", "Positive", "A"),
        ("Negative", None, "A"),
        ("Positive", None, "N"),
        ("Weakly positive", None, None),
    ],
)
def test_immunity_is_what_is_wanted(text: str, expected: str | None, code: str | None) -> None:
    rubella = {"coding": [{"system": "http://loinc.org", "code": "25514-1"}]}
    ranges = [{"text": expected}] if expected else None
    assert potassium(code=rubella, valueQuantity=None, valueString=text, referenceRange=ranges).code == code


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
    found = potassium(
        code={"text": "Some antibody"}, valueQuantity=None, valueString=titre, referenceRange=[{"text": limit}]
    )
    assert (found.code, found.floor) == (code, code == "A")


def test_a_titre_limit_for_some_people_only_is_not_used() -> None:
    ranges = [{"text": "< 1:80", "age": {"high": {"value": 12, "unit": "a"}}}]
    found = potassium(code={"text": "Some antibody"}, valueQuantity=None, valueString="1:160", referenceRange=ranges)
    assert found.code is None


def test_words_nobody_knows_are_not_assessed() -> None:
    found = potassium(code={"text": "Some antigen"}, valueQuantity=None, valueString="xyzzy", referenceRange=None)
    assert found.not_assessed is not None
    assert found.not_assessed.code == "unknown-answer"


def test_preliminary_is_said() -> None:
    assert "preliminary" in {basis.kind for basis in potassium(status="preliminary").basis}


def test_a_bound_gets_no_change_and_a_negative_prior_turns_no_sign() -> None:
    first, second = series(2.0, 3.0)
    second["valueQuantity"]["comparator"] = ">"
    assert not {basis.kind for basis in sent(first, second)[1].results[1].basis} & {"delta", "trend"}
    rising = series(-4.0, -2.0, loinc="11555-0", unit="mmol/L")
    (delta,) = [basis for basis in sent(*rising)[1].results[1].basis if basis.kind == "delta"]
    assert delta.said.params["percent"] == "+50 %"


def test_the_newest_gets_its_trend_and_the_older_ones_none() -> None:
    found = sent(*series(1.0, 1.3, 1.9))[1].results
    assert {basis.kind for basis in found[2].basis} >= {"delta", "trend"}
    assert not {basis.kind for basis in found[0].basis} & {"delta", "trend"}


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
        ("600-7", "Kasvua ei havaittu", None),
        ("600-7", "Insufficient volume, please repeat", None),
        ("600-7", "Fastidious rod, not further identified", "AA"),
    ],
)
def test_a_culture_names_what_it_found(loinc: str, text: str, code: str | None) -> None:
    made = observation("c", loinc, 0, "") | {"valueString": text}
    found = sent({name: value for name, value in made.items() if name != "valueQuantity"})[1].results[0]
    assert found.code == code


@pytest.mark.parametrize(
    ("text", "loinc", "code"), [("yes", None, None), ("no", None, None), ("-", None, None), ("-", "5802-4", "N")]
)
def test_what_may_answer_anything_counts_only_where_the_test_is_known(
    text: str, loinc: str | None, code: str | None
) -> None:
    named = {"coding": [{"system": "http://loinc.org", "code": loinc}]} if loinc else {"text": "Some question"}
    assert potassium(code=named, valueQuantity=None, valueString=text, referenceRange=None).code == code


@pytest.mark.parametrize("text", ["Indeterminate", "Equivocal", "Pending", "Specimen hemolyzed"])
def test_an_answer_without_a_conclusion_is_not_passed_over(text: str) -> None:
    found = potassium(code={"text": "HIV antibody"}, valueQuantity=None, valueString=text, referenceRange=None)
    assert found.not_assessed is not None
    assert found.not_assessed.code == "inconclusive"
    assert found.not_assessed.code not in BENIGN_NOT_ASSESSED


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("E. coli", "A"),
        ("Plasmodium falciparum seen", "A"),
        ("Klebsiella pneumoniae >100 000 CFU/mL", "A"),
        ("No Salmonella or Shigella", None),
        ("Morganella morganii", "A"),
        ("Staphylococcus aureus: susceptible", "N"),
        ("Candida, see report", None),
        ("Plasmodium falciparum not seen", "N"),
        ("kein MRSA nachweisbar", "N"),
        ("E. coli, ESBL negative", "A"),
        ("S. aureus, not MRSA", "A"),
        ("Salmonella, not isolated", None),
        ("Salmonella, Shigella: none isolated", None),
        ("Normal flora and Haemophilus influenzae", None),
        ("N. meningitidis", "A"),
    ],
)
def test_an_organism_in_free_words_is_a_finding(text: str, code: str | None) -> None:
    found = potassium(code={"text": "Some culture"}, valueQuantity=None, valueString=text, referenceRange=None)
    assert found.code == code


@pytest.mark.parametrize(("said", "code"), [("R", "A"), ("NS", "A"), ("S", "N"), ("I", None)])
def test_an_antibiotic_by_its_letter(said: str, code: str | None) -> None:
    letter = [{"coding": [{"code": said}]}]
    mic = {"value": 8}
    found = potassium(code={"text": "Cefoxitin"}, valueQuantity=mic, interpretation=letter, referenceRange=None)
    assert found.code == code


@pytest.mark.parametrize(("colour", "code"), [("Yellow", "N"), ("Straw.", "N"), ("Red", "A"), ("Other", None)])
def test_the_colour_of_urine(colour: str, code: str | None) -> None:
    found = potassium(code={"text": "Color, UA"}, valueQuantity=None, valueString=colour, referenceRange=None)
    assert found.code == code


def test_a_named_organism_is_not_the_models_to_clear() -> None:
    found = potassium(code={"text": "Culture"}, valueQuantity=None, valueString="Escherichia coli", referenceRange=None)
    assert (found.code, found.floor) == ("A", True)
