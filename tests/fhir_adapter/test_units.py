"""Units: spellings, factors against ucumvert and UCUM's functional tests, round trips, refusals."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_adapter import units
from fhir_adapter.catalog import load
from fhir_adapter.unit_algebra import measure
from fhir_adapter.units import convert, factor, normalize_unit

SPELLINGS = {
    "10*3/uL": ["K/uL", "k/ul", "THOU/uL", "10^3/uL", "x10^3/µL", "10E3/uL", "x10³/μL", "K/mm3", "103/uL", "thousand/uL", "Tsd./µl", "tys/µl", "migl/mmc", "1000/µl", "x10(3)/mcL", "10³/㎕"],
    "10*9/L": ["x10E9/L", "10^9/L", "10*9/L", "G/L", "Giga/L", "x 10^9/l", "109/L", "Gpt/l", "GI/L", "bil/L", "E9/L"],
    "10*12/L": ["T/L", "Tera/L", "10^12/L", "x10E12/L", "TI/L", "tril/L", "E12/l"],
    "10*6/uL": ["m/uL", "M/uL", "10^6/uL", "million/uL", "millions/mm3", "Mio./µl", "mln/µl", "milhões/mm³"],
    "meq/L": ["mEq/L", "meq/l", "MEQ/L"],
    "[IU]/L": ["IU/L", "UI/L", "iu/l", "[IU]/L"],
    "U/L": ["U/L", "u/l", "units/L"],
    "ukat/L": ["µkat/L", "μkat/l", "ukat/L"],
    "mg/dL": ["mg/dl", "MG/DL", "mg/100mL", "mg%", "mgs/dL", "mg/dL (calc)", "㎎/㎗"],
    "g/dL": ["g/dl", "gm/dL", "G/DL", "g%"],
    "g/L": ["g/l", "g/L"],
    "umol/L": ["µmol/L", "μmol/l", "umol/L", "mcmol/L", "UMOL/L"],
    "ug/mL": ["ug/mL", "mcg/mL", "µg/ml"],
    "ng/mL": ["ng/mL", "NG/ML"],
    "m[IU]/L": ["mIU/L", "mUI/L", "m[IU]/L"],
    "u[IU]/mL": ["uIU/mL", "µUI/mL", "uiu/ml"],
    "/[HPF]": ["/hpf", "#/hpf", "/HPF", "per hpf", "cells/hpf", "/champ"],
    "/[LPF]": ["#/lpf", "/lpf"],
    "/uL": ["/uL", "#/uL", "cells/uL", "/mm3", "éléments/mm3", "{cells}/uL"],
    "mosm/kg": ["mOsm/kg", "mosmol/kg", "mOsm/kg H2O"],
    "mm[Hg]": ["mm Hg", "mmHg", "mm[Hg]", "torr"],
    "s": ["sec", "s", "seconds", "secondes", "sec.", "Sek.", "seg"],
    "[pH]": ["units", "pH", "pH units"],
    "1": ["ratio", "INR", "Ratio", "1", "{INR}"],
    "%": ["%", "% of Hgb", "percent"],
    "mL/min/{1.73_m2}": ["mL/min/1.73m2", "ml/min/1.73 m²", "mL/min/1,73m2", "mL/min/1.73.m2", "mL/min/{1.73_m2}", "mL/min/1.73m^2", "ml/min/1.73 qm", "mL/min/1.73㎡"],
    "ng/mL{FEU}": ["ng/mL FEU", "ng/mL{FEU}"],
    "mm/h": ["mm/hr", "mm/h", "mm/1h", "mm/uur", "mm/u"],
    "mg/d": ["mg/24h", "mg/24 h", "mg/day", "mg/(24.h)"],
    "fL": ["fL", "fl", "um3"],
    "U/g{Hb}": ["U/g/Hb", "U/g Hb"],
    "10*4/uL": ["10^4/μL", "×10^4/µL", "10⁴/µL", "万/μL"],
    "10*2/uL": ["×10^2/μL"],
    "10*5/uL": ["lakhs/cumm", "lakh/cmm"],
    "{mil}/uL": ["mil/mm³", "Mil/uL"],
}  # fmt: skip


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in SPELLINGS.items() for text in texts])
def test_reads_the_spelling(code: str, text: str) -> None:
    assert normalize_unit(text) == code
    assert normalize_unit(code) == code


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "N/A",
        "none",
        "+/-",
        "widgets",
        "mg/dL or so",
        "MU/L",
        "x" * 500,
        "10*999999/L",
        "((((((m))))))",
        "m99999",
    ],
)
def test_knows_what_it_does_not_know(text: str | None) -> None:
    assert normalize_unit(text) is None


@pytest.mark.parametrize(
    ("number", "one", "other", "options", "expected"),
    [
        (100.0, "mg/dL", "mmol/L", {"molar_mass": 180.156}, 5.5507),
        (88.42, "umol/L", "mg/dL", {"molar_mass": 113.12}, 1.0002),
        (4.0, "mEq/L", "mmol/L", {"valence": 1}, 4.0),
        (2.0, "mEq/L", "mmol/L", {"valence": 2}, 1.0),
        (10.0, "mg/dL", "mEq/L", {"molar_mass": 40.078, "valence": 2}, 4.990),
        (60.0, "IU/L", "µkat/L", {}, 1.0),
        (14.0, "g/dL", "g/L", {}, 140.0),
        (14.0, "g/dL", "mmol/L", {"molar_mass": 16114.5}, 8.688),
        (40.0, "mmHg", "kPa", {}, 5.3329),
        (2.5, "mIU/L", "uIU/mL", {}, 2.5),
        (0.42, "L/L", "%", {}, 42.0),
        (500.0, "ng/mL FEU", "mg/L FEU", {}, 0.5),
        (1.0, "[in_i]", "cm", {}, 2.54),
        (3.0, "/100 WBC", "%", {}, 3.0),
        (0.2, "Ratio", "mg/g", {}, 200.0),
    ],
)  # fmt: skip
def test_converts(number: float, one: str, other: str, options: dict[str, float], expected: float) -> None:
    assert convert(number, one, other, **options) == pytest.approx(expected, rel=1e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "options"),
    [
        ("mg/dL", "mmol/L", {}),
        ("mEq/L", "mmol/L", {}),
        ("mmol/mol", "%", {"molar_mass": 16114.5}),
        ("IU/L", "mg/dL", {"molar_mass": 100.0}),
        ("U/L", "mmol/L", {"molar_mass": 100.0}),
        ("U/L", "umol/min/L", {}),
        ("ng/mL FEU", "ng/mL", {}),
        ("ng/mL FEU", "ng/mL DDU", {}),
        ("mL/min", "mL/min/1.73m2", {}),
        ("mOsm/kg", "mmol/kg", {}),
        ("/hpf", "/lpf", {}),
        ("/hpf", "/uL", {}),
        ("GPL", "MPL", {}),
        ("[pH]", "1", {}),
        ("s", "mg/dL", {}),
        ("[degF]", "Cel", {}),
        ("copies/mL", "/mL", {}),
        ("log10 copies/mL", "copies/mL", {}),
        ("widgets", "mg/dL", {}),
        ("", "mg/dL", {}),
        ("mg/dL", "mmol/L", {"molar_mass": 0.0}),
        ("[iU]", "[arb'U]", {}),
        ("mol/(L.[in_i])", "eq/(L.[in_i])", {}),
    ],
)
def test_never_guesses(one: str, other: str, options: dict[str, float]) -> None:
    assert factor(one, other, **options) is None  # type: ignore[arg-type]
    assert factor(other, one, **options) is None  # type: ignore[arg-type]


def test_the_same_text_needs_no_knowledge() -> None:
    assert factor("furlongs", "furlongs") == 1.0


PLAIN = ["g/dL", "g/L", "mg/dL", "ug/mL", "ng/L", "pg/mL", "mmol/L", "umol/L", "nmol/L", "pmol/dL", "U/L", "kU/L", "ukat/L", "10*3/uL",
         "10*9/L", "/uL", "10*12/L", "L/L", "%", "mm[Hg]", "kPa", "s", "min", "mL/min", "mm/h", "fL", "pg", "mg/g", "mosm/kg", "meq/L"]  # fmt: skip


@pytest.mark.parametrize("code", PLAIN)
def test_built_in_factors_agree_with_ucumvert(code: str) -> None:
    checked = 0
    for other in PLAIN:
        ours = factor(code, other)
        if ours is None:
            continue
        theirs = (units._parsed(code) / units._parsed(other)).to_base_units()
        assert theirs.dimensionless, (code, other)
        assert ours == pytest.approx(float(theirs.magnitude), rel=1e-5), (
            code,
            other,
        )  # pint rounds mmHg otherwise than UCUM
        checked += 1
    assert checked >= 1


@given(
    st.sampled_from(list(itertools.permutations(PLAIN, 2))),
    st.floats(1e-6, 1e6),
    st.floats(1.0, 20000.0),
    st.integers(1, 3),
)
def test_there_and_back(pair: tuple[str, str], number: float, molar_mass: float, valence: int) -> None:
    there = convert(number, *pair, molar_mass=molar_mass, valence=valence)
    back = factor(pair[1], pair[0], molar_mass=molar_mass, valence=valence)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert there * back == pytest.approx(number, rel=1e-9)


@given(st.text(max_size=60))
def test_any_text_is_answered_and_answers_are_stable(text: str) -> None:
    code = normalize_unit(text)
    assert code is None or normalize_unit(code) == code


@given(st.sampled_from(sorted(SPELLINGS)), st.sampled_from(sorted(SPELLINGS)))
def test_spellings_do_not_change_the_factor(one: str, other: str) -> None:
    expected = factor(one, other, molar_mass=100.0, valence=2)
    for first, second in itertools.product(SPELLINGS[one][:3], SPELLINGS[other][:3]):
        assert factor(first, second, molar_mass=100.0, valence=2) == expected


def test_typical_units_import_nothing_slow() -> None:
    script = (
        "import sys; from fhir_adapter.units import factor;"
        "assert factor('K/uL', '10*9/L') == 1 and factor('mg/dL', 'mmol/L', molar_mass=180.156);"
        "assert 'pint' not in sys.modules and 'ucumvert' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


EXCEPTIONS = tomllib.loads((Path(__file__).parent / "ucum_exceptions.toml").read_text(encoding="utf-8"))


def _cases(shared_data: Path, group: str) -> list[dict[str, str]]:
    file = shared_data / "ucum" / "UcumFunctionalTests.xml"
    if not file.is_file():
        pytest.skip("UCUM's functional tests are not here")
    found = ElementTree.parse(file).getroot().find(group)
    assert found is not None
    return [dict(case.attrib) for case in found]


def test_ucum_functional_conversions(shared_data: Path) -> None:
    cases = _cases(shared_data, "conversion")
    assert len(cases) > 25
    for case in cases:
        outcome = float(case["outcome"])
        digits = len(case["outcome"].lower().split("e")[0].replace(".", "").strip("0")) or 1
        found = convert(float(case["value"]), case["srcUnit"], case["dstUnit"])
        right = found is not None and math.isclose(found, outcome, rel_tol=max(10.0 ** (1 - digits), 1e-6))
        assert right == (case["id"] not in EXCEPTIONS["conversion"]), (case, found)


def test_ucum_functional_validity(shared_data: Path) -> None:
    wrong = {
        case["id"]: case["unit"]
        for case in _cases(shared_data, "validation")
        if (normalize_unit(case["unit"]) is not None) != (case["valid"] == "true")
    }
    assert set(wrong) == set(EXCEPTIONS["validity"]), wrong


NOT_UNITS = {"", "+/-", "N/A"}


def test_every_unit_of_mimic_is_known(shared_data: Path) -> None:
    file = shared_data / "mimic-iv-demo" / "hosp" / "labevents.csv.gz"
    if not file.is_file():
        pytest.skip("MIMIC-IV demo is not here")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        found = {row["valueuom"].strip() for row in csv.DictReader(lines)} - NOT_UNITS
    assert len(found) > 30
    unknown = {text for text in found if normalize_unit(text) is None}
    assert not unknown


def test_nhanes_columns_in_two_units_agree(shared_data: Path) -> None:
    """The survey gives these analytes in US and in SI units, row by row: one converts into the other within what both columns were rounded to
    and the survey's own factor (it takes 88.4 for creatinine and 0.01129 for triglycerides)."""
    file = shared_data / "nhanes-2017-2018" / "labs.csv.gz"
    if not file.is_file():
        pytest.skip("NHANES is not here")
    analytes = load().analytes
    columns = [
        ("LBXSAL", "g/dL", "LBDSALSI", "g/L", "albumin"),
        ("LBXSBU", "mg/dL", "LBDSBUSI", "mmol/L", "urea-nitrogen"),
        ("LBXSCR", "mg/dL", "LBDSCRSI", "umol/L", "creatinine"),
        ("LBXSGB", "g/dL", "LBDSGBSI", "g/L", "globulin"),
        ("LBXSGL", "mg/dL", "LBDSGLSI", "mmol/L", "glucose"),
        ("LBXSIR", "ug/dL", "LBDSIRSI", "umol/L", "iron"),
        ("LBXSPH", "mg/dL", "LBDSPHSI", "mmol/L", "phosphate"),
        ("LBXSTB", "mg/dL", "LBDSTBSI", "umol/L", "bilirubin-total"),
        ("LBXSCA", "mg/dL", "LBDSCASI", "mmol/L", "calcium"),
        ("LBXSCH", "mg/dL", "LBDSCHSI", "mmol/L", "cholesterol"),
        ("LBXSTP", "g/dL", "LBDSTPSI", "g/L", "total-protein"),
        ("LBXSTR", "mg/dL", "LBDSTRSI", "mmol/L", "triglycerides"),
        ("LBXSUA", "mg/dL", "LBDSUASI", "umol/L", "uric-acid"),
    ]
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for us, us_unit, si, si_unit, name in columns:
        ratio = factor(us_unit, si_unit, molar_mass=analytes[name].molar_mass)
        assert ratio is not None
        pairs = [(row[us], row[si]) for row in rows if row[us] and row[si]]
        assert len(pairs) > 4000, us
        for one, other in pairs:
            rounding = _step(one) * ratio / 2 + _step(other) / 2
            assert abs(float(one) * ratio - float(other)) <= rounding + 0.005 * float(other), (us, one, other)


def _step(text: str) -> float:
    """What a number as printed was rounded to; trailing zeros are lost in the survey's files, so never less than a hundredth."""
    return max(10.0 ** -len(text.partition(".")[2]), 0.01) if "." in text else 1.0


def test_measure_keeps_kinds_apart() -> None:
    substance, equivalents = measure("mmol/L"), measure("meq/L")
    assert substance is not None
    assert equivalents is not None
    assert substance.dimensions != equivalents.dimensions
