"""Which LOINC codes of the catalog stand in public data, too: what nobody else uses may be a slip.

    python -m evaluation.codes DATA > docs/loinc-codes.md

A code that stands in none of the sets has the right form and check digit, no more.
"""

from __future__ import annotations

import argparse
import gzip
import re
from collections.abc import Iterable
from pathlib import Path

from fhir_adapter import catalog as catalogs
from fhir_adapter.catalog import Catalog

SETS = {
    "L": ("LHNCBC flowsheet", "reference-ranges-lhncbc/*.json"),
    "M": ("MIMIC-III D_LABITEMS", "mimic-iii-demo/D_LABITEMS.csv.gz"),
    "R": ("HL7 R4 examples", "fhir-r4-examples/*.json"),
    "V": ("HL7 validator cases", "fhir-validator-cases/*.json"),
    "S": ("Synthea", "synthea-r4/*.gz"),
    "A": ("AU FHIR test data", "au-fhir-test-data/**/*.json"),
    "U": ("US Core examples", "us-core-examples/*.json"),
}
_CODE = re.compile(r'"(\d{1,5}-\d)"')


def seen(data: Path) -> dict[str, str]:
    """For each LOINC-like code in the data sets the letters of the sets that have it."""
    found: dict[str, str] = {}
    for letter, (_, pattern) in SETS.items():
        codes: set[str] = set()
        for file in sorted(data.glob(pattern)):
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            codes.update(_CODE.findall(content.decode("utf-8", "replace")))
        for code in codes:
            found[code] = found.get(code, "") + letter
    return found


def page(catalog: Catalog, found: dict[str, str]) -> str:
    """The Markdown page: each analyte with its codes and where each of them stands."""
    codes = set(catalog.by_loinc)
    backed = len(codes & set(found))
    lines = [
        "# LOINC codes of the catalog",
        "",
        f"Written by `python -m evaluation.codes`. {backed} of {len(codes)} codes stand in a public data set, too; the others have the right form and",
        "check digit and were entered from knowledge of LOINC: look them up before you rely on one. Letters:",
        ", ".join(f"{letter} {name}" for letter, (name, _) in SETS.items()) + ".",
        "",
        "| analyte | in a data set | by form alone |",
        "| --- | --- | --- |",
    ]
    for analyte in sorted(catalog.analytes.values(), key=lambda one: one.id):
        if analyte.loinc:
            lines.append(
                f"| {analyte.id} | {_list(analyte.loinc, found)} | {_list(analyte.loinc, found, backed=False)} |"
            )
    return "\n".join(lines) + "\n"


def _list(codes: Iterable[str], found: dict[str, str], backed: bool = True) -> str:
    return ", ".join(f"{code} {found[code]}" if backed else code for code in codes if (code in found) == backed)


def main(arguments: list[str] | None = None) -> int:
    """Prints the page."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.codes", description="Where the catalog's LOINC codes stand."
    )
    parser.add_argument("data", type=Path, help="folder that holds the data sets")
    given = parser.parse_args(arguments)
    print(page(catalogs.load(), seen(given.data)), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
