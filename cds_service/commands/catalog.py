"""`labcue catalog show | search`: the catalog, for people and as JSON."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from cds_service.clinical.delta import limit_text, window_text
from cds_service.commands.common import complain
from cds_service.show import console as terminal
from fhir_adapter import catalog as catalogs
from fhir_adapter.catalog import Analyte, Catalog, CriticalLimit, UsualInterval
from fhir_adapter.catalog.delta import DeltaLimit
from fhir_adapter.folding import fold
from fhir_adapter.intervals import show as shown
from fhir_adapter.site import Site, SiteCritical, SiteDelta, SiteInterval, read_site

NEAR = 0.72
"""How alike (0 to 1) a name must be to count as a near spelling."""
Json = dict[str, Any]


def show(what: str, form: str, site_file: Path | None) -> int:
    """Prints one analyte; 1 where none goes by that name.

    Raises:
        ConfigError: the site's file doesn't hold.
    """
    catalog = catalogs.load()
    site = read_site(site_file) if site_file is not None else None
    analyte = find(catalog, what)
    if analyte is None:
        near = [one.id for one in ranked(catalog, what)[:5]]
        complain(f"Nothing in the catalog goes by {what!r}." + (f" Did you mean {', '.join(near)}?" if near else ""))
        return 1
    if form == "json":
        print(orjson.dumps(as_json(catalog, analyte, site), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(terminal(), catalog, analyte, site)
    return 0


def search(text: str, form: str, most: int) -> int:
    """Prints the analytes that a text may mean, the nearest first; 1 where there are none."""
    catalog = catalogs.load()
    found = ranked(catalog, text)[:most]
    if form == "json":
        rows = [
            {"id": one.id, "names": dict(one.names), "specimen": one.specimen, "loinc": one.loinc, "unit": one.unit}
            for one in found
        ]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return 0 if found else 1
    if not found:
        complain(f"Nothing in the catalog is like {text!r}.")
        return 1
    table = _table("id", "English", "français", "specimen", "unit", "LOINC")
    for one in found:
        table.add_row(one.id, one.name("en"), one.name("fr"), one.specimen, one.unit or "", _some(one.loinc, 4))
    terminal().print(table)
    return 0


def find(catalog: Catalog, what: str) -> Analyte | None:
    """By id, LOINC code, or exactly by a name or alias; a name that needs its specimen means the one in blood."""
    if what in catalog.analytes:
        return catalog.analytes[what]
    if what in catalog.by_loinc:
        return catalog.by_loinc[what]
    folded = fold(what)
    return catalog.by_name.get(folded) or catalog.by_name.get(f"blood|{folded}")


def ranked(catalog: Catalog, text: str) -> list[Analyte]:
    """Analytes by how near their codes, names and aliases come to ``text``."""
    wanted = fold(text)
    scores: dict[str, float] = {}
    for name, analyte in (*catalog.by_name.items(), *((code, one) for code, one in catalog.by_loinc.items())):
        name = name.split("|")[-1].split("@")[0]
        scores[analyte.id] = max(
            scores.get(analyte.id, 0.0), _likeness(wanted, name if name in catalog.by_loinc else fold(name))
        )
    for analyte in catalog.analytes.values():
        scores[analyte.id] = max(scores.get(analyte.id, 0.0), _likeness(wanted, fold(analyte.id)))
    return [
        catalog.analytes[id]
        for id, score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
        if score >= NEAR
    ]


def _likeness(wanted: str, name: str) -> float:
    if not wanted:
        return 0.0
    if wanted == name:
        return 2.0
    if name.startswith(wanted):
        return 1.5
    if f" {wanted}" in name:
        return 1.2
    if len(wanted) >= 3 and wanted in name:
        return 1.0
    matcher = difflib.SequenceMatcher(None, wanted, name)
    if matcher.real_quick_ratio() < NEAR or matcher.quick_ratio() < NEAR:
        return 0.0
    return matcher.ratio() * 0.99


def as_json(catalog: Catalog, analyte: Analyte, site: Site | None) -> Json:
    """One analyte with all that is known of it."""
    return {
        "id": analyte.id,
        "names": dict(analyte.names),
        "specimen": analyte.specimen,
        "loinc": analyte.loinc,
        "aliases": analyte.aliases,
        "unit": analyte.unit,
        "molarMass": analyte.molar_mass,
        "valence": analyte.valence,
        "conversions": [
            {"unit": one.unit, "factor": one.factor, "offset": one.offset, "source": one.source}
            for one in analyte.conversions
        ],
        "intervals": [
            {"who": who(one), "low": one.low, "high": one.high, "source": one.source} for one in analyte.intervals
        ],
        "critical": [
            {"who": who(one), "low": one.low, "high": one.high, "source": one.source} for one in analyte.critical
        ],
        "implausible": {"below": analyte.implausible_low, "above": analyte.implausible_high},
        "delta": [_delta_row(one) for one in analyte.delta],
        "answers": {
            "normal": sorted(analyte.normal_answers),
            "abnormal": sorted(analyte.abnormal_answers),
            "neither": sorted(analyte.neither_answers),
            "whenPresent": analyte.when_present,
            "whenAbsent": analyte.when_absent,
            "source": analyte.qualitative_source,
        },
        "descriptive": analyte.descriptive,
        "site": None if site is None else [_site_row(one) for one in _of_site(analyte, site)],
        "catalogVersion": catalog.version,
        "siteVersion": None if site is None else site.version,
    }


def _delta_row(one: DeltaLimit) -> Json:
    """As in the catalog, shares in per cent; what it doesn't limit is left out."""
    shares = {"risePercent": one.rise_share, "fallPercent": one.fall_share}
    numbers = {"rise": one.rise, "fall": one.fall, "cvi": one.cvi, "cva": one.cva, "hours": one.hours}
    numbers |= {name: None if share is None else round(100 * share, 2) for name, share in shares.items()}
    return {
        "means": one.means,
        **{name: value for name, value in numbers.items() if value is not None},
        "source": one.source,
    }


def _site_row(one: SiteInterval | SiteCritical | SiteDelta) -> Json:
    import msgspec

    kind = {SiteCritical: "critical", SiteDelta: "delta"}.get(type(one), "interval")
    return {
        "kind": kind,
        **{name: value for name, value in msgspec.to_builtins(one).items() if value not in (None, [], ())},
    }


def _of_site(analyte: Analyte, site: Site) -> list[SiteInterval | SiteCritical | SiteDelta]:
    names = [f"analyte {analyte.id}", *(f"loinc {code}" for code in analyte.loinc)]
    names += [test for test, alias in site.aliases.items() if alias.analyte == analyte.id]
    intervals = [one for (test, _), group in site.intervals.items() if test in names for one in group]
    critical = [one for test in names for one in site.critical.get(test, ())]
    return [*intervals, *critical, *(one for test in names for one in site.deltas.get(test, ()))]


def who(one: UsualInterval | CriticalLimit) -> str:
    """Whom a limit is for: "female, 15-18 years", "pregnant", "adults"."""
    parts: list[str] = []
    if isinstance(one, UsualInterval):
        if one.pregnant:
            return "pregnant" if one.trimester is None else f"pregnant, trimester {one.trimester}"
        if one.sex is not None:
            parts.append(one.sex)
    parts.append(_ages(one.age_min, one.age_max))
    if isinstance(one, UsualInterval) and one.fasting is not None:
        parts.append("fasting" if one.fasting else "not fasting")
    return ", ".join(parts)


def _ages(start: float, end: float) -> str:
    if start <= 0 and end >= 200:
        return "all ages"
    if end >= 200:
        return f"from {_age(start)}"
    return f"up to {_age(end)}" if start <= 0 else f"{_age(start)} to {_age(end)}"


def _age(years: float) -> str:
    if years >= 2 or years == int(years):
        return f"{years:g} years"
    days = years * 365.2425
    return f"{days:.0f} days" if days < 61 else f"{years * 12:.0f} months"


def _print(out: Console, catalog: Catalog, analyte: Analyte, site: Site | None) -> None:
    out.print(f"{analyte.name('en')} · {analyte.name('fr')}   ({analyte.id}, {analyte.specimen})", style="bold")
    rows = _table("", "")
    rows.show_header = False
    rows.add_row("LOINC", ", ".join(analyte.loinc) or "none")
    rows.add_row("names", ", ".join(dict.fromkeys(analyte.aliases)) or "none")
    rows.add_row("unit", _unit(analyte))
    if analyte.implausible_low is not None or analyte.implausible_high is not None:
        rows.add_row(
            "implausible",
            f"outside {limits_text(analyte.implausible_low, analyte.implausible_high)} (our own, generous)",
        )
    if analyte.descriptive:
        rows.add_row("judged", "answers only" if analyte.judges_answers else "never: descriptive")
    if analyte.judges_answers:
        rows.add_row("answers", _answers(analyte))
    out.print(rows)
    table = _table("limits", "for", analyte.unit or "", "source")
    for one in sorted(analyte.intervals, key=lambda one: (one.age_min, one.pregnant, one.sex or "")):
        table.add_row("usual", who(one), limits_text(one.low, one.high), one.source)
    for limit in sorted(analyte.critical, key=lambda limit: limit.age_min):
        table.add_row("critical", who(limit), _outside(limit.low, limit.high), limit.source)
    for delta in analyte.delta:
        table.add_row(f"delta: {delta.means}", f"within {window_text(delta.hours)}", delta_text(delta), delta.source)
    if table.row_count:
        out.print(table)
    else:
        out.print("No usual interval: judged by the laboratory's own alone.")
    if site is not None:
        own = _table(f"{site.label}", "for", "limits", "unit", "results")
        for entry in _of_site(analyte, site):
            if isinstance(entry, SiteDelta):
                step, _ = entry.read(site.label)
                window = f"within {window_text(step.hours)}"
                own.add_row(f"delta: {step.means}: {entry.test}", window, delta_text(step), entry.unit, "")
                continue
            kind = "critical" if isinstance(entry, SiteCritical) else "interval"
            count = f"{entry.count} of {entry.seen}" if isinstance(entry, SiteInterval) and entry.seen else ""
            own.add_row(
                f"{kind}: {entry.test}", _conditions(entry), limits_text(entry.low, entry.high), entry.unit, count
            )
        out.print(own)
    out.print(f"catalog {catalog.version}", style="dim")


def _answers(analyte: Analyte) -> str:
    listed = {
        "normal": analyte.normal_answers,
        "abnormal": analyte.abnormal_answers,
        "neither": analyte.neither_answers,
    }
    parts = [f"{meaning}: {', '.join(sorted(answers))}" for meaning, answers in listed.items() if answers]
    if (analyte.when_present, analyte.when_absent) != ("abnormal", "normal"):
        parts.append(f"positive is {analyte.when_present}, negative {analyte.when_absent}")
    return "; ".join(parts)


def _conditions(one: SiteInterval | SiteCritical) -> str:
    parts = [] if one.age_from is None and one.age_to is None else [_ages(one.age_from or 0, one.age_to or 200)]
    if isinstance(one, SiteInterval):
        parts = ([] if one.sex == "both" else [one.sex]) + parts
        parts += [
            f"{word} {value}"
            for word, value in (("from", one.since), ("until", one.until), ("in", one.specimen), ("by", one.method))
            if value
        ]
        if one.companions:
            parts.append("with " + " or ".join(one.companions[:2]))
    return ", ".join(parts) or "all"


def _unit(analyte: Analyte) -> str:
    if analyte.unit is None:
        return "none"
    parts = [analyte.unit]
    if analyte.molar_mass is not None:
        parts.append(f"molar mass {analyte.molar_mass:g} g/mol")
    if analyte.valence is not None:
        parts.append(f"charge {analyte.valence}")
    parts += [
        f"= {one.factor:g} x {one.unit}" + (f" + {one.offset:g}" if one.offset else "") for one in analyte.conversions
    ]
    return "; ".join(parts)


def delta_text(limit: DeltaLimit) -> str:
    """What a change must reach, in the canonical unit: "+0.3", "-50 %", "+13 % or -11 %"."""
    ways = [f"{sign}{text}" for sign, up in (("+", True), ("-", False)) if (text := limit_text(limit, up, 1.0, ""))]
    if len(ways) == 2 and ways[0][1:] == ways[1][1:]:
        return f"±{ways[0][1:]}"
    return " or ".join(ways)


def limits_text(low: float | None, high: float | None) -> str:
    return shown(None if low is None else f"{low:g}", None if high is None else f"{high:g}")


def _outside(low: float | None, high: float | None) -> str:
    return " or ".join(f"{sign} {limit:g}" for sign, limit in (("<", low), (">", high)) if limit is not None)


def _some(codes: tuple[str, ...], most: int) -> str:
    return ", ".join(codes[:most]) + (" …" if len(codes) > most else "")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
