"""`labcue catalog check`: whether a site's file holds, what it changes, and what is worth a look."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cds_service.commands.catalog import limits_text
from fhir_adapter import catalog as catalogs
from fhir_adapter import units
from fhir_adapter.catalog import Analyte, Catalog
from fhir_adapter.site import BOTH, SiteCritical, SiteDelta, SiteInterval, read_site

FAR = 0.5
"""A site's limit that lies further from the usual one than this share of it is worth a look."""


def check(file: Path) -> None:
    """Checks a site's file and says what it holds and what to look at.

    Raises:
        ConfigError: it doesn't hold; every fault is a violation.
    """
    site = read_site(file)
    catalog = catalogs.load()
    entries = [one for group in site.intervals.values() for one in group]
    limits = [one for group in site.critical.values() for one in group]
    deltas = [one for group in site.deltas.values() for one in group]
    print(
        f"{file} holds: {site.label}, with {len(entries)} intervals, {len(limits)} critical limits, {len(deltas)} delta limits "
        f"and {len(site.aliases)} names."
    )
    for line in [*notes(catalog, entries, limits), *delta_notes(catalog, deltas)]:
        print(f"  look at {line}")


def notes(catalog: Catalog, entries: Iterable[SiteInterval], limits: Iterable[SiteCritical]) -> list[str]:
    """What in a site's file is allowed, yet worth a look."""
    found = []
    entries = list(entries)
    by_sex = {(one.test, one.unit) for one in entries if one.sex != BOTH}
    for one in entries:
        where = f"{one.test} [{one.unit}] {one.sex}"
        if one.others and (one.sex != BOTH or (one.test, one.unit) not in by_sex):
            found.append(
                f"{where}: {limits_text(one.low, one.high)} in {one.count} of {one.seen} results, others {', '.join(one.others[:3])}"
            )
        analyte = analyte_of(catalog, one.test)
        if analyte is None:
            if one.test.startswith(("analyte ", "loinc ")):
                found.append(f"{where}: the catalog doesn't know this test")
            continue
        factor = units.factor(one.unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence)
        if factor is None:
            if one.unit:
                found.append(
                    f"{where}: the unit can't be converted into {analyte.unit or 'any'} of the catalog's {analyte.id}"
                )
            continue
        sex = one.sex if one.sex in ("female", "male") else None
        usual = analyte.interval_for(sex=sex, age_years=one.age_from, pregnant=None)  # type: ignore[arg-type]
        for side, own, theirs in (("low", one.low, usual and usual.low), ("high", one.high, usual and usual.high)):
            if own is not None and theirs and abs(own * factor - theirs) > FAR * abs(theirs):
                found.append(f"{where}: {side} {own:g} lies far from the usual {theirs / factor:.4g}")
    for limit in limits:
        if (analyte := analyte_of(catalog, limit.test)) is None and limit.test.startswith(("analyte ", "loinc ")):
            found.append(f"{limit.test}: the catalog doesn't know this test")
    return found


def delta_notes(catalog: Catalog, deltas: Iterable[SiteDelta]) -> list[str]:
    """What in a site's delta limits is allowed, yet worth a look."""
    found = []
    for one in deltas:
        analyte = analyte_of(catalog, one.test)
        if analyte is None:
            if one.test.startswith(("analyte ", "loinc ")):
                found.append(f"delta of {one.test}: the catalog doesn't know this test")
        elif (
            one.unit
            and units.factor(one.unit, analyte.unit, molar_mass=analyte.molar_mass, valence=analyte.valence) is None
        ):
            found.append(
                f"delta of {one.test}: {one.unit} can't be converted into {analyte.unit or 'any unit'} of the catalog's {analyte.id}"
            )
    return found


def analyte_of(catalog: Catalog, test: str) -> Analyte | None:
    """The analyte that a test of a site's file names by itself; None for local codes and names."""
    kind, _, name = test.partition(" ")
    if kind == "analyte":
        return catalog.analytes.get(name)
    return catalog.by_loinc.get(name) if kind == "loinc" else None
