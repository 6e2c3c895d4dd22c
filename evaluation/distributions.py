"""How many healthy-age adults of NHANES lie outside each usual interval: 1 to 15 % is what an interval should do.

python -m evaluation.distributions DATA/nhanes-2017-2018/labs.csv.gz
python -m evaluation.distributions DATA/nhanes-2017-2018/labs.csv.gz --markdown     (the table of docs/clinical-sources.md)
"""

from __future__ import annotations

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluation.tables import table
from fhir_adapter import catalog as catalogs
from fhir_adapter.catalog import Catalog
from fhir_adapter.model import Sex
from fhir_adapter.units import factor
from training.from_nhanes import COLUMNS

AGES = (20.0, 60.0)
"""Healthy-age adults; people who are pregnant are left out."""
BOUNDS = (0.01, 0.15)
_FEWEST = 200
_SEXES: dict[str, Sex] = {"1": "male", "2": "female"}


@dataclass(frozen=True, slots=True)
class Share:
    """The people of one sex, and how many of them lie below and above the usual interval of their age."""

    analyte: str
    sex: Sex
    people: int
    below: int
    above: int

    @property
    def outside(self) -> float:
        """The share outside, 0 to 1."""
        return (self.below + self.above) / self.people

    @property
    def fits(self) -> bool:
        """Whether that is what a usual interval should do."""
        return BOUNDS[0] <= self.outside <= BOUNDS[1]


def shares(file: Path, catalog: Catalog) -> Iterator[Share]:
    """One Share for each analyte and sex with a usual interval and enough people.

    Raises:
        OSError: the file can't be read.
    """
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        people = [
            row
            for row in csv.DictReader(lines)
            if row["RIDAGEYR"] and AGES[0] <= float(row["RIDAGEYR"]) < AGES[1] and float(row["RIDEXPRG"] or 0) != 1
        ]
    for column, (name, unit) in COLUMNS.items():
        analyte = catalog.analytes[name]
        unit = "mosm/kg" if name == "osmolality" else unit  # the survey writes mmol/kg
        scale = factor(unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)
        for code, sex in _SEXES.items():
            count = below = above = 0
            for row in people:
                if row["RIAGENDR"] != code or not row[column] or scale is None:
                    continue
                usual = analyte.interval_for(sex=sex, age_years=float(row["RIDAGEYR"]), pregnant=None)
                if usual is None:
                    continue
                number = round(float(row[column]) * scale, 6)
                count += 1
                below += usual.low is not None and number < usual.low
                above += usual.high is not None and number > usual.high
            if count >= _FEWEST:
                yield Share(name, sex, count, below, above)


def rows(found: list[Share]) -> list[dict[str, object]]:
    """The shares as a table, those that don't fit marked."""
    return [
        {
            "analyte": one.analyte,
            "sex": one.sex,
            "people": one.people,
            "below %": f"{100 * one.below / one.people:.1f}",
            "above %": f"{100 * one.above / one.people:.1f}",
            "outside %": f"{100 * one.outside:.1f}",
            "fits": "" if one.fits else "no",
        }
        for one in found
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 2 where the file can't be read."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.distributions",
        description="The share of healthy-age adults outside each usual interval.",
    )
    parser.add_argument("file", type=Path, help="NHANES laboratory results, labs.csv.gz")
    parser.add_argument(
        "--markdown", action="store_true", help="only those that don't fit, as docs/clinical-sources.md has them"
    )
    given = parser.parse_args(arguments)
    try:
        found = list(shares(given.file, catalogs.load()))
    except OSError as error:
        print(f"error: {given.file}: {error.strerror}", file=sys.stderr)
        return 2
    print(table(rows([one for one in found if not given.markdown or not one.fits])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
