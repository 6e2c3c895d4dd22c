"""Panels of NHANES 2017-2018: real people's values, judged by invented laboratories' intervals.

NHANES is a survey of the public: few are ill. Its values are real and belong together; the intervals, and so the labels, are
the simulator's (:mod:`training.simulate`), since NHANES sends none.
"""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from msgspec.structs import replace

from fhir_adapter.catalog import Catalog
from fhir_adapter.model import Coding, Intake, Patient, Quantity, ReferenceRange, Result, Sex
from fhir_adapter.normalize import normalize
from training.examples import SHUFFLED, DataError, Example, Told, group_of, make, without_history
from training.laboratories import Laboratories, Laboratory, side
from training.simulate import LOINC, NOW, as_site
from training.split import Split, split_of

SOURCE = "nhanes"
COLUMNS: dict[str, tuple[str, str]] = {
    "LBXSATSI": ("alt", "U/L"),
    "LBXSAL": ("albumin", "g/dL"),
    "LBXSAPSI": ("alp", "U/L"),
    "LBXSASSI": ("ast", "U/L"),
    "LBXSC3SI": ("bicarbonate", "mmol/L"),
    "LBXSBU": ("urea-nitrogen", "mg/dL"),
    "LBXSCLSI": ("chloride", "mmol/L"),
    "LBXSCK": ("ck", "U/L"),
    "LBXSCR": ("creatinine", "mg/dL"),
    "LBXSGB": ("globulin", "g/dL"),
    "LBXSGL": ("glucose", "mg/dL"),
    "LBXSGTSI": ("ggt", "U/L"),
    "LBXSIR": ("iron", "ug/dL"),
    "LBXSLDSI": ("ldh", "U/L"),
    "LBXSOSSI": ("osmolality", "mmol/kg"),
    "LBXSPH": ("phosphate", "mg/dL"),
    "LBXSKSI": ("potassium", "mmol/L"),
    "LBXSNASI": ("sodium", "mmol/L"),
    "LBXSTB": ("bilirubin-total", "mg/dL"),
    "LBXSCA": ("calcium", "mg/dL"),
    "LBXSCH": ("cholesterol", "mg/dL"),
    "LBXSTP": ("total-protein", "g/dL"),
    "LBXSTR": ("triglycerides", "mg/dL"),
    "LBXSUA": ("uric-acid", "mg/dL"),
    "LBXWBCSI": ("leucocytes", "10*3/uL"),
    "LBXLYPCT": ("lymphocytes-percent", "%"),
    "LBXMOPCT": ("monocytes-percent", "%"),
    "LBXNEPCT": ("neutrophils-percent", "%"),
    "LBXEOPCT": ("eosinophils-percent", "%"),
    "LBXBAPCT": ("basophils-percent", "%"),
    "LBDLYMNO": ("lymphocytes", "10*3/uL"),
    "LBDMONO": ("monocytes", "10*3/uL"),
    "LBDNENO": ("neutrophils", "10*3/uL"),
    "LBDEONO": ("eosinophils", "10*3/uL"),
    "LBDBANO": ("basophils", "10*3/uL"),
    "LBXRBCSI": ("erythrocytes", "10*6/uL"),
    "LBXHGB": ("haemoglobin", "g/dL"),
    "LBXHCT": ("haematocrit", "%"),
    "LBXMCVSI": ("mcv", "fL"),
    "LBXMCHSI": ("mch", "pg"),
    "LBXMC": ("mchc", "g/dL"),
    "LBXRDW": ("rdw", "%"),
    "LBXPLTSI": ("platelets", "10*3/uL"),
    "LBXMPSI": ("mpv", "fL"),
}
"""Column of the survey → analyte and unit (NHANES 2017-2018 laboratory codebooks, BIOPRO_J and CBC_J)."""


def examples(
    file: Path, catalog: Catalog, *, seed: int = 1, laboratories: int = 400
) -> Iterator[tuple[Split, Example]]:
    """Each person once, in an invented laboratory and one of the three cases.

    Raises:
        DataError: the file can't be read or a column is missing.
    """
    chance = random.Random(f"nhanes {seed}")
    known = Laboratories(seed, laboratories)
    try:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = [
                name for name in ("SEQN", "RIAGENDR", "RIDAGEYR", *COLUMNS) if name not in (rows.fieldnames or ())
            ]
            if missing:
                raise DataError(f"{file}: has no column {', '.join(missing)}")
            for row in rows:
                yield from _person(row, chance.choice(known.all), known, catalog, chance)
    except (OSError, EOFError, UnicodeDecodeError):
        raise DataError(f"{file}: can't be read; it must be gzipped CSV") from None


def _person(
    row: dict[str, str], where: Laboratory, known: Laboratories, catalog: Catalog, chance: random.Random
) -> Iterator[tuple[Split, Example]]:
    sex: Sex | None = {"1": "male", "2": "female"}.get(row["RIAGENDR"].split(".")[0])  # type: ignore[assignment]
    if sex is None or not row["RIDAGEYR"]:
        return
    age = float(row["RIDAGEYR"]) + 0.5
    case = chance.choices(("given", "site", "usual"), (0.2, 0.2, 0.6))[0]
    results: list[Result] = []
    told: dict[int, Told] = {}
    for column, (id, unit) in COLUMNS.items():
        analyte = catalog.analytes[id]
        limits = where.interval(analyte, sex, age)
        if not row[column] or limits is None or analyte.unit is None:
            continue
        ranges: tuple[ReferenceRange, ...] = ()
        if case != "usual":
            ends = [None if end is None else Quantity(end, analyte.unit) for end in limits]
            ranges = (ReferenceRange(low=ends[0], high=ends[1]),)
        results.append(
            Result(
                path="",
                observation="",
                codings=(Coding(LOINC, analyte.loinc[0]),),
                name=analyte.names["en"],
                value=Quantity(float(row[column]), unit),
                effective=NOW,
                ranges=ranges,
                specimen=analyte.specimen,
            )
        )
    birth = (NOW - timedelta(days=age * 365.2425)).date()
    panel = normalize(Intake(Patient("p", sex, birth), tuple(results), (), len(results)), catalog)
    for index, placed in enumerate(panel.results):
        limits = None if placed.analyte is None else where.interval(placed.analyte, sex, age)
        if limits is not None and placed.canonical is not None:
            told[index] = side(placed.canonical, *limits), "simulated"
    if case == "site":
        panel = replace(panel, results=tuple(as_site(one) for one in panel.results))
    group = group_of(SOURCE, row["SEQN"])
    order = chance if chance.random() < SHUFFLED else None
    shares = known.of_panel(panel, sex, age) if case == "usual" else None
    panel = without_history(panel)
    for example in make(panel, told, source=SOURCE, group=group, case=case, shares=shares, shuffle=order):
        yield split_of(group), example
