"""The catalog: its data holds, what comes is recognised, the interval that fits is chosen."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from fhir_adapter.catalog import Analyte, Catalog, load
from fhir_adapter.catalog.build import loinc_valid
from fhir_adapter.catalog.loader import build
from fhir_adapter.catalog.recognise import specimen_group
from fhir_adapter.errors import CatalogError
from fhir_adapter.model import Coding
from fhir_adapter.units import factor, normalize_unit

LOINC = "http://loinc.org"
CATALOG = load()
ANALYTES = sorted(CATALOG.analytes.values(), key=lambda analyte: analyte.id)


@pytest.fixture
def catalog() -> Catalog:
    return CATALOG


def test_is_read_once() -> None:
    assert load() is CATALOG
    assert len(ANALYTES) > 250
    assert len(CATALOG.version) == 12


@pytest.mark.parametrize("analyte", ANALYTES, ids=lambda analyte: analyte.id)
def test_each_analyte_holds(analyte: Analyte) -> None:
    assert analyte.names["en"]
    assert analyte.names["fr"]
    assert all(loinc_valid(code) and CATALOG.by_loinc[code] is analyte for code in analyte.loinc)
    if analyte.unit is not None:
        assert normalize_unit(analyte.unit) == analyte.unit
    for one in (*analyte.intervals, *analyte.critical):
        assert len(one.source) > 20
        assert analyte.implausible_low is None or one.low is None or analyte.implausible_low < one.low
        assert analyte.implausible_high is None or one.high is None or one.high < analyte.implausible_high
    for conversion in analyte.conversions:
        assert conversion.source
        assert normalize_unit(conversion.unit) == conversion.unit
        assert factor(conversion.unit, analyte.unit) is None, "a plain conversion needs no entry"
    for age in (0.01, 0.5, 5.0, 16.0, 30.0, 70.0):
        limit = analyte.critical_for(age_years=age)
        for sex in ("female", "male"):
            usual = analyte.interval_for(sex=sex, age_years=age, pregnant=None)  # type: ignore[arg-type]
            if limit is None or usual is None:
                continue
            assert limit.low is None or usual.low is None or limit.low <= usual.low
            assert limit.high is None or usual.high is None or limit.high >= usual.high


def test_names_lead_back(catalog: Catalog) -> None:
    for analyte in ANALYTES:
        for alias in analyte.aliases:
            assert catalog.find((), alias) is analyte, alias


def test_age_bands_of_one_group_do_not_overlap() -> None:
    for analyte in ANALYTES:
        groups: dict[tuple[object, ...], list[tuple[float, float]]] = {}
        for one in analyte.intervals:
            groups.setdefault((one.sex, one.pregnant, one.trimester, one.fasting is False), []).append(
                (one.age_min, one.age_max)
            )
        for bands in groups.values():
            bands.sort()
            assert all(before[1] <= after[0] for before, after in pairwise(bands)), analyte.id


@pytest.mark.parametrize(
    ("name", "unit", "specimen", "expected"),
    [
        ("Potassium", "mmol/L", None, "potassium"),
        ("POTASSIUM", "mEq/L", "Blood", "potassium"),
        ("Kaliémie", "mmol/L", None, "potassium"),
        ("kaliemie", None, None, "potassium"),
        ("Potassium", "mEq/L", "Urine", "urine-potassium"),
        ("Potassium", None, None, None),
        ("Glucose", "mg/dL", "Serum", "glucose"),
        ("Glucose", "mg/dL", "Urine", "urine-glucose"),
        ("Glucose, urine", "mg/dL", None, "urine-glucose"),
        ("Glucose, urine", "mg/dL", "Blood", None),
        ("Glucose", "mg/dL", "CSF", "csf-glucose"),
        ("Glucose", "mg/dL", "Liquide céphalo-rachidien", "csf-glucose"),
        ("Glucose", "mg/dL", "Pleural fluid", None),
        ("Neutrophils", "%", "Blood", "neutrophils-percent"),
        ("Neutrophils", "K/uL", "Blood", "neutrophils"),
        ("Neutrophils", "10*9/L", None, "neutrophils"),
        ("Neutrophils", None, None, None),
        ("RBC", "/hpf", "Urine", "urine-erythrocytes"),
        ("RBC", "m/uL", "Blood", "erythrocytes"),
        ("RBC", "/hpf", None, None),
        ("pH", "units", None, None),
        ("pH", "units", "Urine", "urine-ph"),
        ("pH", "units", "Arterial blood", "ph"),
        ("Albumin", "mg/L", None, None),
        ("Albumine", "g/L", None, "albumin"),
        ("H", None, "Blood", "haemolysis-index"),
        ("H", None, None, None),
        ("Hémoglobine", "g/dL", None, "haemoglobin"),
        ("Hémoglobine A1c", "%", None, "hba1c"),
        ("25-OH Vitamin D", "ng/mL", "Blood", "vitamin-d"),
        ("Frobnicase", "U/L", "Blood", None),
        ("", None, None, None),
    ],
)
def test_recognises_names(
    catalog: Catalog, name: str, unit: str | None, specimen: str | None, expected: str | None
) -> None:
    found = catalog.find((), name, unit=unit, specimen=specimen)
    assert (found.id if found else None) == expected


def test_loinc_goes_before_the_name(catalog: Catalog) -> None:
    potassium = catalog.find((Coding("urn:x", "K"), Coding(LOINC, "2823-3")), "Sodium", unit="mmol/L", specimen="Blood")
    assert potassium is catalog.analytes["potassium"]
    assert catalog.find((Coding("urn:x", "2823-3"),), None) is None
    assert catalog.find((Coding("urn:x", "1", "Kaliémie"),), None) is catalog.analytes["potassium"]
    assert catalog.find((Coding(LOINC, "5895-7"),), "INR(PT)") is catalog.analytes["inr"]


def test_a_code_of_the_wrong_kind_yields_to_the_name(catalog: Catalog) -> None:
    count = (Coding(LOINC, "731-0"),)
    assert catalog.find(count, "Lymphocytes", unit="%", specimen="Blood") is catalog.analytes["lymphocytes-percent"]
    assert catalog.find(count, "Lymphocytes", unit="K/uL", specimen="Blood") is catalog.analytes["lymphocytes"]
    assert catalog.find(count, None, unit="%") is catalog.analytes["lymphocytes"]
    capacity = (Coding(LOINC, "2500-7"),)
    assert catalog.find(capacity, "Transferrin", unit="mg/dL") is catalog.analytes["transferrin"]
    assert catalog.find(capacity, "Transferrin", unit="ug/dL") is catalog.analytes["tibc"]


def test_intervals_by_sex_age_and_pregnancy(catalog: Catalog) -> None:
    haemoglobin = catalog.analytes["haemoglobin"]

    def limits(sex: str | None, age: float | None, pregnant: bool | None = None) -> tuple[float | None, float | None]:
        found = haemoglobin.interval_for(sex=sex, age_years=age, pregnant=pregnant)  # type: ignore[arg-type]
        assert found is not None
        return found.low, found.high

    assert limits("female", 30.0) == (12.0, 16.0)
    assert limits("male", 30.0) == (13.5, 17.5)
    assert limits(None, 30.0) == (12.0, 17.5)
    assert limits(None, None) == (12.0, 17.5)
    assert limits("male", None) == (13.5, 17.5)
    assert limits("female", 30.0, True) == (10.5, None)
    assert limits("female", None, True) == (10.5, None)
    assert limits("female", 30.0, False) == (12.0, 16.0)
    assert limits("male", 30.0, True) == (13.5, 17.5)
    assert limits("male", 0.01) == (14.0, 22.0)
    assert limits(None, 3.0) == (11.0, 14.0)


def test_no_interval_where_none_is_known(catalog: Catalog) -> None:
    assert catalog.analytes["homocysteine"].interval_for(sex="male", age_years=5.0, pregnant=None) is None
    assert catalog.analytes["psa"].interval_for(sex="female", age_years=60.0, pregnant=None) is None
    assert catalog.analytes["psa"].interval_for(sex=None, age_years=60.0, pregnant=None) is None
    assert catalog.analytes["sodium"].critical_for(age_years=None) is not None


def test_critical_limits_by_age(catalog: Catalog) -> None:
    potassium = catalog.analytes["potassium"]
    adult, newborn, unknown = (potassium.critical_for(age_years=age) for age in (40.0, 0.02, None))
    assert adult is not None
    assert newborn is not None
    assert (adult.low, adult.high) == (2.8, 6.2)
    assert newborn.high == 7.8
    assert unknown == adult


@pytest.mark.parametrize(
    ("id", "unit", "expected"),
    [
        ("pth", "pmol/L", 0.106),
        ("corticotropin", "pmol/L", 0.22),
        ("c-peptide", "nmol/L", 0.331),
        ("bnp", "pmol/L", 0.289),
        ("nt-probnp", "pmol/L", 0.118),
    ],
)
def test_peptides_are_read_in_si_units(catalog: Catalog, id: str, unit: str, expected: float) -> None:
    """Factors as the tables of conversion print them: a PTH that isn't converted meets no pattern."""
    found = catalog.analytes[id]
    assert factor(found.unit, unit, molar_mass=found.molar_mass) == pytest.approx(expected, rel=0.01)


def test_hba1c_between_its_two_units(catalog: Catalog) -> None:
    (conversion,) = catalog.analytes["hba1c"].conversions
    assert 48 * conversion.factor + conversion.offset == pytest.approx(6.5, abs=0.05)


@pytest.mark.parametrize(
    ("analyte", "sex", "age", "pregnant", "low", "high"),
    [
        ("sodium", None, 0.01, None, 133, 146),
        ("neutrophils", "female", 0.003, None, 5.0, 28.0),
        ("lymphocytes", "male", 1.5, None, 4.0, 10.5),
        ("lymphocytes", "male", 40, None, 1.32, 3.57),
        ("leucocytes", "female", 15, None, 4.5, 13.0),
        ("ferritin", "male", 5, None, 14, 79),
        ("ferritin", "male", 17, None, 11, 172),
        ("urea", "female", 12, None, 2.6, 6.8),
        ("alt", "male", 8, None, None, 30),
        ("triglycerides", "female", 8, None, None, 99),
        ("osmolality", "female", 30, True, 275, 289),
        ("osmolality", "female", 30, None, 275, 295),
        ("free-t4", "female", 30, True, 0.5, 1.2),
    ],
)  # fmt: skip
def test_children_and_pregnancy_have_their_own(
    catalog: Catalog, analyte: str, sex: str | None, age: float, pregnant: bool | None, low: float | None, high: float
) -> None:
    found = catalog.analytes[analyte].interval_for(sex=sex, age_years=age, pregnant=pregnant)  # type: ignore[arg-type]
    assert found is not None
    assert (found.low, found.high) == (low, high)


SOURCES = 's = "A citation that is long enough"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("usual = [{ low = 2, high = 1, source = 's' }]", "low is not below high"),
        ("usual = [{ low = 1, high = 2 }]", "a number has no source"),
        ("usual = [{ low = 1, high = 2, source = 'x' }]", "source x is not in sources.toml"),
        ("usual = [{ source = 's' }]", "an interval without limits"),
        ("loinc = ['2823-4']", "2823-4 is not a LOINC code"),
        ("source = 's'\nusual = [{ low = 3, high = 5 }]\ncritical = [{ low = 4, source = 's' }]", "critical low is above usual low"),
        ("source = 's'\nusual = [{ low = 3, high = 5 }]\nimplausible = [3, 9]", "implausible low is not below the limits"),
        ("descriptive = true\nusual = [{ low = 3, high = 5, source = 's' }]", "descriptive, yet it has limits or answers"),
        ("normal = ['clear']", "answers without a source"),
        ("neither = ['few']", "answers without a source"),
        ("when_present = 'normal'", "answers without a source"),
        ("when_absent = 'perhaps'", "when_present and when_absent are normal, abnormal or descriptive"),
        ("answers_source = 's'\nnormal = ['few']\nneither = ['Few']", "an answer is both normal and abnormal"),
        ("colour = 'blue'", "unknown key colour"),
    ],
)  # fmt: skip
def test_faults_are_named(text: str, fault: str) -> None:
    table = f"[a]\nen = 'A'\nfr = 'A'\nspecimen = 'blood'\nunit = 'mmol/L'\n{text}\n"
    with pytest.raises(CatalogError) as caught:
        build({"sources.toml": SOURCES, "x.toml": table})
    assert fault in [violation.description for violation in caught.value.violations]
    assert all(violation.path == "x.toml:a" for violation in caught.value.violations)


def test_ambiguous_names_and_codes_are_faults() -> None:
    table = "[{0}]\nen = 'Alpha {0}'\nfr = 'Alpha {0}'\nspecimen = 'blood'\naliases = ['Beta']\nloinc = ['2823-3']\n"
    with pytest.raises(CatalogError) as caught:
        build({"sources.toml": "", "x.toml": table.format("a") + table.format("b")})
    assert {violation.description for violation in caught.value.violations} == {
        "name 'beta' is also in a",
        "2823-3 is also in a",
    }


def test_broken_toml_is_a_fault() -> None:
    with pytest.raises(CatalogError):
        build({"x.toml": "[a"})


@pytest.mark.parametrize(
    ("text", "group"),
    [("Blood", "blood"), ("Serum or Plasma", "blood"), ("sang veineux", "blood"), ("Urine sediment", "urine"), ("LCR", "csf"), ("Bone Marrow", "marrow"), ("119364003", "blood"), ("moon rock", None), (None, None)],
)  # fmt: skip
def test_specimen_groups(text: str | None, group: str | None) -> None:
    assert specimen_group(text) == group


def _mimic_items(shared_data: Path) -> list[tuple[int, dict[str, str], str]]:
    folder = shared_data / "mimic-iv-demo" / "hosp"
    if not folder.is_dir():
        pytest.skip("MIMIC-IV demo is not here")
    with gzip.open(folder / "d_labitems.csv.gz", "rt", encoding="utf-8") as lines:
        items = {row["itemid"]: row for row in csv.DictReader(lines)}
    counts: Counter[str] = Counter()
    unit_of: dict[str, Counter[str]] = {}
    with gzip.open(folder / "labevents.csv.gz", "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            counts[row["itemid"]] += 1
            unit_of.setdefault(row["itemid"], Counter())[row["valueuom"].strip()] += 1
    return [(count, items[item], unit_of[item].most_common(1)[0][0]) for item, count in counts.most_common()]


def test_covers_what_a_hospital_measures(shared_data: Path, catalog: Catalog) -> None:
    """The 60 most frequent items by name alone, each in a unit that the catalog can convert; nearly all of the rest."""
    items = _mimic_items(shared_data)
    missing: list[str] = []
    known = 0
    for rank, (count, item, unit) in enumerate(items):
        found = catalog.find((), item["label"], unit=unit or None, specimen=item["fluid"])
        known += count if found else 0
        if rank >= 60:
            continue
        if found is None:
            missing.append(item["label"])
        elif found.intervals and unit:
            conversions = {conversion.unit for conversion in found.conversions}
            assert (
                factor(unit, found.unit, molar_mass=found.molar_mass, valence=found.valence) is not None
                or normalize_unit(unit) in conversions
            ), (item["label"], unit)
    assert missing == []
    assert known / sum(count for count, _, _ in items) > 0.98


WIDER_THERE = {"ck", "ammonia", "nt-probnp", "csf-erythrocytes"}
"""Where that hospital's interval is much wider than the cited one: see docs/clinical-sources.md."""


def test_usual_intervals_overlap_those_of_a_hospital(shared_data: Path, catalog: Catalog) -> None:
    """Most of what one hospital calls normal is normal here: a typing error in a number would show."""
    folder = shared_data / "mimic-iv-demo" / "hosp"
    if not folder.is_dir():
        pytest.skip("MIMIC-IV demo is not here")
    with gzip.open(folder / "d_labitems.csv.gz", "rt", encoding="utf-8") as lines:
        items = {row["itemid"]: row for row in csv.DictReader(lines)}
    seen: dict[str, tuple[Analyte, float, float]] = {}
    with gzip.open(folder / "labevents.csv.gz", "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            low, high, unit = row["ref_range_lower"], row["ref_range_upper"], row["valueuom"]
            if row["itemid"] in seen or not low or not high or float(low) >= float(high) or not unit:
                continue
            item = items[row["itemid"]]
            analyte = catalog.find((), item["label"], unit=unit, specimen=item["fluid"])
            if analyte is None or not analyte.intervals:
                continue
            ratio = factor(unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)
            if ratio is not None:
                seen[row["itemid"]] = (analyte, float(low) * ratio, float(high) * ratio)
    assert len(seen) > 70
    far: list[str] = []
    for analyte, low_number, high_number in seen.values():
        usual = analyte.interval_for(sex=None, age_years=None, pregnant=None)
        if usual is None:
            continue
        middle = (low_number + high_number) / 2
        if (usual.low is not None and middle < usual.low) or (usual.high is not None and middle > usual.high):
            far.append(analyte.id)
    assert set(far) <= WIDER_THERE, far


@pytest.mark.parametrize(
    ("id", "age", "low", "high"),
    [
        ("crp", 0.02, None, 6.1),
        ("crp", 5, None, 5),
        ("magnesium", 0.01, 1.46, 2.43),
        ("magnesium", 8, 1.58, 2.67),
        ("bicarbonate", 1, 16, 29),
        ("bicarbonate", 14, 20, 32),
        ("inr", 0.02, None, 1.35),
        ("inr", 4, None, 1.14),
        ("aptt", 0.02, None, 59.8),
        ("aptt", 17, None, 46.1),
        ("fibrinogen", 0.02, 162, 462),
        ("fibrinogen", 13, 212, 433),
        ("antithrombin", 0.02, 39, None),
        ("antithrombin", 7, 90, None),
        ("d-dimer", 0.01, None, 2740),
        ("platelets", 14, 150, 410),
        ("platelets", 9, 170, 450),
        ("ph", 0.01, 7.27, 7.47),
        ("pco2", 1, 27, 41),
        ("pco2", 3, 35, 45),
        ("igg", 3, 424, 1135),
        ("ige", 5, None, 307),
        ("haptoglobin", 5, 7, 163),
        ("csf-protein", 0.02, None, 132),
        ("cd4", 1.5, 1300, 3400),
    ],
)
def test_children_have_their_own(catalog: Catalog, id: str, age: float, low: float | None, high: float | None) -> None:
    found = catalog.analytes[id].interval_for(sex="female", age_years=age, pregnant=None)
    assert found is not None
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize(
    ("code", "id"),
    [
        ("2744-1", "ph"),
        ("2745-8", "ph-capillary"),
        ("2746-6", "ph-venous"),
        ("2019-8", "pco2"),
        ("2020-6", "pco2-capillary"),
        ("2021-4", "pco2-venous"),
        ("2703-7", "po2-arterial"),
        ("2704-5", "po2-capillary"),
        ("2705-2", "po2-venous"),
        ("1960-4", "bicarbonate-arterial"),
        ("1961-2", "bicarbonate-capillary"),
        ("1925-7", "base-excess"),
        ("1926-5", "base-excess-capillary"),
        ("2518-9", "lactate-arterial"),
        ("19239-3", "lactate-capillary"),
    ],
)
def test_arterial_capillary_and_venous_gases_stand_apart(catalog: Catalog, code: str, id: str) -> None:
    assert catalog.by_loinc[code].id == id


def test_capillary_oxygen_has_an_interval_for_newborns_alone(catalog: Catalog) -> None:
    oxygen = catalog.analytes["po2-capillary"]
    assert oxygen.interval_for(sex="male", age_years=0.01, pregnant=None) is not None
    assert oxygen.interval_for(sex="male", age_years=40, pregnant=None) is None
    assert oxygen.critical == ()


def test_a_code_that_its_unit_contradicts_yields_to_a_name_that_has_that_unit() -> None:
    carboxyhaemoglobin = (Coding("http://loinc.org", "20563-3", "Carboxyhemoglobin/Hemoglobin.total in Blood"),)
    known = load()
    for unit, id in (("g/dL", "haemoglobin"), ("%", "carboxyhaemoglobin"), (None, "carboxyhaemoglobin")):
        found = known.find(carboxyhaemoglobin, "Hemoglobin", unit=unit)
        assert found is not None
        assert found.id == id
    found = known.find(carboxyhaemoglobin, "CO-Hb", unit="g/dL")
    assert found is not None
    assert found.id == "carboxyhaemoglobin"


def test_a_bare_code_of_a_test_in_words_counts_without_its_system() -> None:
    found = load().find((Coding(None, "600-7"),), None)
    assert found is not None
    assert found.id == "blood-culture"
    assert load().find((Coding(None, "2823-3"),), None) is None
    assert load().find((Coding("urn:local", "600-7"),), None) is None
