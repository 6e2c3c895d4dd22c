"""Element by element: values, ranges, interpretation, category, dates, specimen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from fhir_adapter.model import Answer, Coding, Quantity, Result, Span, Titre
from fhir_adapter.read import read
from tests.bundles import Json, bundle, observation

K = observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1)
BARE = {name: value for name, value in K.items() if name not in ("valueQuantity", "referenceRange")}
UCUM = "http://unitsofmeasure.org"
SNOMED = "http://snomed.info/sct"


def _one(change: Json, base: Json = BARE) -> Result:
    intake = read(json.dumps(base | change).encode())
    assert not intake.not_assessed, intake.not_assessed
    return intake.results[0]


def _why(change: Json, base: Json = BARE) -> str:
    intake = read(json.dumps(base | change).encode())
    assert not intake.results
    return intake.not_assessed[0].code


def _quantity(value: object, unit: str | None = None) -> Json:
    return {"value": value} | ({"unit": unit} if unit else {})


@pytest.mark.parametrize(
    ("sent", "unit", "shown"),
    [
        ({"unit": "mmol per L", "system": UCUM, "code": "mmol/L"}, "mmol/L", "mmol per L"),
        ({"unit": "K/uL", "system": "http://local", "code": "KUL"}, "K/uL", "K/uL"),
        ({"system": UCUM, "code": "mg/dL"}, "mg/dL", "mg/dL"),
        ({"code": "mg/dL"}, "mg/dL", "mg/dL"),
        ({"unit": ""}, None, None),
        ({}, None, None),
    ],
)
def test_units(sent: Json, unit: str | None, shown: str | None) -> None:
    found = _one({"valueQuantity": {"value": 1} | sent}).value
    assert found == Quantity(1, unit, None, "1", shown)


@pytest.mark.parametrize("digits", ["4.10", "0", "-0.5", "1E+2", "1e-3", "6", "100.000"])
def test_the_digits_survive(digits: str) -> None:
    data = json.dumps(BARE | {"valueQuantity": {"value": 987}}).replace("987", digits)
    found = read(data.encode()).results[0].value
    assert found == Quantity(float(digits), None, None, digits, None)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"valueInteger": 3}, Quantity(3, None, None, "3", None, from_text=True)),
        ({"valueBoolean": False}, Answer("false")),
        ({"valueString": " TRACE "}, Answer("TRACE")),
        ({"valueCodeableConcept": {"text": "Detected"}}, Answer("Detected")),
        (
            {"valueCodeableConcept": {"coding": [{"code": "x"}, {"display": "Seen"}]}},
            Answer("Seen", (Coding(None, "x"), Coding(None, None, "Seen"))),
        ),
        ({"valueRange": {"low": _quantity(1, "g"), "high": _quantity(2, "g")}}, Span(1, 2, "g", "1-2", "g")),
        ({"valueRange": {"high": _quantity(2, "g")}}, Span(None, 2, "g", "<=2", "g")),
        ({"valueRatio": {"numerator": _quantity(1), "denominator": _quantity(160)}}, Titre(1, 160, "1:160")),
        (
            {"valueRatio": {"numerator": _quantity(5, "mg"), "denominator": _quantity(1, "L")}},
            Quantity(5, "mg/L", None, "5", "mg/L"),
        ),
        (
            {"valueRatio": {"numerator": _quantity(5, "mg"), "denominator": _quantity(24, "h")}},
            Quantity(5, "mg/(24.h)", None, "5", "mg/24 h"),
        ),
        (
            {"valueRatio": {"numerator": _quantity(5, "mg"), "denominator": _quantity(1)}},
            Quantity(5, "mg", None, "5", "mg"),
        ),
    ],
)
def test_values(change: Json, value: object) -> None:
    assert _one(change).value == value


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"valueQuantity": {"value": 1, "comparator": "ad"}}, "unsupported-value"),
        ({"valueRatio": {"numerator": _quantity(5, "mg"), "denominator": _quantity(24)}}, "unsupported-value"),
        ({"valueRatio": {"numerator": _quantity(5, "mg"), "denominator": _quantity(1.5, "h")}}, "unsupported-value"),
        ({"valueRatio": {"numerator": _quantity(1), "denominator": _quantity(0)}}, "unsupported-value"),
        ({"valueRange": {"low": _quantity(1, "g"), "high": _quantity(2, "mg")}}, "unsupported-value"),
        ({"valueSampledData": {}}, "unsupported-value"),
        ({"valueTime": "10:00:00"}, "unsupported-value"),
        ({"valueDateTime": "2024"}, "unsupported-value"),
        ({"valueAttachment": {}}, "unsupported-value"),
        ({"valueReference": {}}, "unsupported-value"),
        ({"valueInteger": 1.5}, "malformed"),
        ({"valueBoolean": "true"}, "malformed"),
        ({"valueTime": "10:00:00", "valueString": "1"}, "malformed"),
        ({"valuePeriod": {}, "valueTime": "10:00:00"}, "malformed"),
        ({"valueString": "___"}, "no-value"),
        ({"valueString": "  "}, "no-value"),
        ({"valueString": "___", "note": [{"text": "5.2"}]}, "no-value"),
        ({"valueQuantity": {"unit": "g"}}, "no-value"),
        ({"valueQuantity": {"value": None}}, "no-value"),
        ({"valueCodeableConcept": {}}, "no-value"),
        ({"_valueString": {"extension": []}}, "no-value"),
        ({"dataAbsentReason": {"text": "x"}, "component": []}, "data-absent"),
        ({"valueQuantity": {"value": 10**400}}, "not-finite"),
        ({"valueQuantity": {"value": 1}, "referenceRange": [{"low": {"value": 10**400}}]}, "not-finite"),
        ({"status": "specimen-in-process", "valueInteger": 1}, "no-final-value"),
        ({"status": "cannot-be-obtained", "valueInteger": 1}, "cancelled"),
    ],
)
def test_what_has_no_value_to_judge(change: Json, code: str) -> None:
    assert _why(change) == code


@pytest.mark.parametrize("status", ["final", "amended", "corrected", "appended", "preliminary", "unknown"])
def test_statuses_that_are_judged_are_kept(status: str) -> None:
    assert _one({"status": status}, K).status == status


@pytest.mark.parametrize(("sent", "number"), [("6.9", 6.9), ("-0.5", -0.5), ("0", 0), ("140", 140)])
def test_a_number_in_quotes_is_that_number(sent: str, number: float) -> None:
    value = _one({"valueQuantity": {"value": sent, "unit": "mmol/L"}}).value
    assert value == Quantity(number, "mmol/L", None, sent, "mmol/L")


@pytest.mark.parametrize("sent", ["6,9", "1.234.567", "<5", "6.9 mmol/L", "007", "1e3", "six", ".5"])
def test_other_text_in_the_place_of_a_number_is_none(sent: str) -> None:
    assert _why({"valueQuantity": {"value": sent, "unit": "mmol/L"}}) == "malformed"


@pytest.mark.parametrize(("sent", "status"), [(None, "unknown"), ("FINAL", "final"), ("Amended", "amended")])
def test_a_status_left_out_or_in_capitals(sent: str | None, status: str) -> None:
    assert _one({"status": sent}, K).status == status


def _coded(*codes: str, **more: str) -> Json:
    return {"coding": [{"system": "urn:any", "code": code} for code in codes]} | more


@pytest.mark.parametrize(
    ("sent", "codes"),
    [
        ([_coded("H")], ("H",)),
        ([_coded("hh")], ("HH",)),
        ([_coded("H"), _coded("A"), _coded("H")], ("H", "A")),
        (_coded("L"), ("L",)),
        ([{"text": "High"}], ("H",)),
        ([{"text": "low "}], ("L",)),
        ([{"coding": [{"display": "Critical high"}]}], ("HH",)),
        ([_coded("local-7", text="abnormal")], ("A",)),
        ([_coded("local-7")], ()),
        ([{"text": "Above high normal"}], ("H",)),
        ([_coded("H*")], ("H",)),
        ([{"text": "Below lower panic limits"}], ("LL",)),
        ([{"text": "Erniedrigt"}], ("L",)),
        ([{"text": "\u2191"}], ("H",)),
        ([{"text": "CRITICALLY_LOW"}], ("LL",)),
        ([{"coding": [{"system": SNOMED, "code": "281302008"}]}], ("H",)),
        ([{"coding": [{"system": SNOMED, "code": "281300000", "display": "Below reference range"}]}], ("L",)),
        ([{"coding": [{"system": SNOMED, "code": "281301001"}]}], ("N",)),
        ([{"coding": [{"system": SNOMED, "code": "30714006"}]}], ("R",)),
        ([{"coding": [{"system": SNOMED, "code": "119364003", "display": "Serum specimen"}]}], ()),
        ([{"coding": [{"system": "urn:any", "code": "281302008"}]}], ()),
        ([], ()),
    ],
)
def test_interpretation(sent: object, codes: tuple[str, ...]) -> None:
    assert _one({"interpretation": sent}, K).interpretation == codes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"interpretation": [_coded("HX")]}, "HX"),
        ({"interpretation": [_coded("N"), _coded("B")]}, None),
        ({"interpretation": [_coded("R")]}, "R"),
        ({"interpretation": [_coded("S")]}, None),
        ({"interpretation": [_coded("I")]}, None),
        ({"interpretation": [_coded("H"), _coded("N")]}, None),
        ({"interpretation": [_coded("LL")], "valueString": "___"}, "LL"),
        ({"interpretation": [_coded("H")], "dataAbsentReason": {"text": "not done"}}, None),
        ({"interpretation": [_coded("H")], "hasMember": [{"reference": "Observation/x"}]}, None),
    ],
)
def test_a_flag_speaks_where_no_value_came(change: Json, said: str | None) -> None:
    intake = read(json.dumps(BARE | change).encode())
    assert [one.value for one in intake.results] == ([] if said is None else [Answer(said)])


def test_what_a_meter_measures_is_judged_under_vital_signs_too() -> None:
    code = {"coding": [{"system": "http://loinc.org", "code": "15074-8"}]}
    sent = {"code": code, "category": [_coded("vital-signs")], "valueQuantity": _quantity(1.6, "mmol/L")}
    assert isinstance(_one(sent).value, Quantity)
    assert _why(sent | {"code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}}) == "not-laboratory"


def test_a_string_brings_its_interval_and_its_flag() -> None:
    one = _one({"valueString": "5.1 mmol/L [2.5-7.8]"})
    assert (one.value, [found.text for found in one.ranges]) == (
        Quantity(5.1, "mmol/L", None, "5.1", "mmol/L", from_text=True),
        ["2.5-7.8"],
    )
    assert _one({"valueString": "6.2 (H)"}).interpretation == ("H",)
    assert _one({"valueString": "6.2 (H)", "interpretation": [_coded("HH")]}).interpretation == ("HH",)


@pytest.mark.parametrize(
    ("sent", "judged"),
    [
        ([_coded("laboratory")], True),
        ([_coded("vital-signs"), _coded("laboratory")], True),
        ([_coded("LAB")], True),
        ([], True),
        (_coded("laboratory"), True),
        ([_coded("vital-signs"), _coded("local")], True),
        ([{"text": "Vital Signs"}], False),
        (_coded("imaging"), False),
        ([_coded("social-history", "sdoh")], False),
        *(([_coded(code)], False) for code in ("vital-signs", "survey", "exam", "therapy", "activity", "procedure")),
    ],
)
def test_category(sent: object, judged: bool) -> None:
    intake = read(json.dumps(K | {"category": sent}).encode())
    assert [one.code for one in intake.not_assessed] == ([] if judged else ["not-laboratory"])


@pytest.mark.parametrize(
    ("sent", "at"),
    [
        ({"effectiveDateTime": "2024-03-01T08:00:00Z"}, datetime(2024, 3, 1, 8, tzinfo=UTC)),
        (
            {"effectiveDateTime": "2024-03-01T08:00:00.1234567+02:00"},
            datetime(2024, 3, 1, 8, 0, 0, 123456, timezone(timedelta(hours=2))),
        ),
        ({"effectiveDateTime": "2024-03-01T08:00:00"}, datetime(2024, 3, 1, 8, tzinfo=UTC)),
        ({"effectiveDateTime": "2024-03-01T08:59:60Z"}, datetime(2024, 3, 1, 8, 59, 59, tzinfo=UTC)),
        ({"effectiveDateTime": "2024-03"}, datetime(2024, 3, 1, tzinfo=UTC)),
        ({"effectiveDateTime": "2024"}, datetime(2024, 1, 1, tzinfo=UTC)),
        ({"effectiveDateTime": "2024-02-30"}, None),
        ({"effectiveDateTime": "0000"}, None),
        ({"effectiveDateTime": "20240301"}, None),
        ({"effectiveDateTime": "yesterday"}, None),
        ({"effectiveInstant": "2024-03-01T08:00:00Z"}, datetime(2024, 3, 1, 8, tzinfo=UTC)),
        ({"effectivePeriod": {"start": "2024", "end": "2025"}}, datetime(2025, 1, 1, tzinfo=UTC)),
        ({"effectivePeriod": {"start": "2024"}}, datetime(2024, 1, 1, tzinfo=UTC)),
        ({"effectiveTiming": {"event": ["2024", "x", "2023", None]}}, datetime(2024, 1, 1, tzinfo=UTC)),
        ({"effectiveTiming": {}}, None),
        ({}, None),
    ],
)
def test_dates_are_read_or_left_out(sent: Json, at: datetime | None) -> None:
    base = {name: value for name, value in K.items() if name != "effectiveDateTime"}
    assert _one(sent, base).effective == at
    assert _one({"issued": sent.get("effectiveDateTime", "")}, base).issued == (
        at if "effectiveDateTime" in sent else None
    )


def test_a_reference_range_in_full() -> None:
    sent = {
        "low": {"value": 3.50, "unit": "mmol/L"},
        "high": {"value": 5.1, "unit": "mmol/L"},
        "type": {"coding": [{"code": "normal"}]},
        "appliesTo": [{"coding": [{"system": "s", "code": "248152002"}]}, {"text": "women"}],
        "age": {"low": {"value": 18, "unit": "years"}, "high": {"value": 780, "system": UCUM, "code": "mo"}},
        "text": "3.5-5.1",
    }
    (found,) = _one({"referenceRange": [sent]}, K).ranges
    assert found.low == Quantity(3.5, "mmol/L", None, "3.5", "mmol/L")
    assert found.high == Quantity(5.1, "mmol/L", None, "5.1", "mmol/L")
    assert (found.text, found.type_codes) == ("3.5-5.1", ("normal",))
    assert found.applies_to == (Coding("s", "248152002"), Coding(None, None, "women"))
    assert (found.age_low, found.age_high) == (18, 65)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ({"value": 6, "code": "mo", "system": UCUM}, 0.5),
        ({"value": 365.2425, "unit": "days"}, 1),
        ({"value": 365.2425, "code": "d"}, 1),
        ({"value": 52.1775, "code": "wk"}, 1),
        ({"value": 3, "unit": "ans"}, 3),
        ({"value": 3, "unit": "yr"}, 3),
    ],
)
def test_ages_in_years(age: Json, years: float) -> None:
    (found,) = _one({"referenceRange": [{"text": "x", "age": {"low": age}}]}, K).ranges
    assert found.age_low == pytest.approx(years)
    assert found.age_high is None


@pytest.mark.parametrize("age", [{"value": 3}, {"value": 3, "unit": "moons"}])
def test_a_range_for_an_unknown_age_never_holds_for_everyone(age: Json) -> None:
    sent = [{"text": "1-2", "age": {"low": age}}, {"text": "3-4"}]
    assert [one.text for one in _one({"referenceRange": sent}, K).ranges] == ["3-4"]


def test_the_normal_value_of_r5_is_text_and_so_is_a_type_in_words() -> None:
    (found,) = _one({"referenceRange": [{"normalValue": {"text": "Negative"}, "type": {"text": "Normal"}}]}, K).ranges
    assert (found.text, found.type_codes) == ("Negative", ("normal",))


def test_specimen_and_method() -> None:
    specimen = {"resourceType": "Specimen", "id": "s", "type": {"text": "Serum"}}
    of_bundle = K | {"specimen": {"reference": "Specimen/s", "display": "tube"}}
    assert read(bundle(of_bundle, specimen)).results[0].specimen == "Serum"
    assert _one({"specimen": {"reference": "#s"}, "contained": [specimen]}, K).specimen == "Serum"
    assert _one({"specimen": {"reference": "Specimen/other", "display": "tube"}}, K).specimen == "tube"
    assert _one({"method": {"coding": [{"code": "m"}]}}, K).method == "m"


def test_notes_and_the_comments_of_older_versions() -> None:
    assert _one({"note": [{"text": "a"}, {"text": " "}], "comment": "b"}, K).comments == ("a", "b")


def test_names() -> None:
    assert _one({"code": {"text": "Kalium"}}, K).name == "Kalium"
    assert _one({"code": {"coding": [{"code": "c", "display": "Potassium"}]}}, K).name == "Potassium"
    assert _one({"code": None}, K).name is None
