"""How good the flags are that are served: rule alone, model alone, and both together, against the laboratory's own word.

    labcue evaluate --mimic-iv DATA/mimic-iv-demo --d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz --out report
    labcue evaluate --bundles last-month.ndjson --out report --gate

Three cases apart: the laboratory's interval given; withheld, with the site's profile; withheld, with the usual interval. Results in words
are counted apart from numbers. Writes ``evaluation.json`` and ``report.html``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cds_service.config import Settings
from cds_service.domain import Thresholds
from cds_service.inference.load import load_engine
from cds_service.pipeline import STEPS, Pipeline
from evaluation import plots
from evaluation.metrics import JUDGES, at_prevalence, band, figures, probabilistic
from evaluation.records import (
    BARE,
    CASES,
    NUMBER,
    WORDS,
    Case,
    Record,
    Timing,
    judge_bundles,
    judge_mimic,
)
from evaluation.report import page, share
from evaluation.scenarios.judge import judge
from evaluation.scenarios.judge import table as scenario_table
from evaluation.scenarios.read import load as load_scenarios
from evaluation.tables import table
from fhir_adapter import catalog as catalogs
from fhir_adapter.errors import LabCueError
from fhir_adapter.site import read_site
from training.from_mimic import learn_site
from training.mimic_tables import SourceError

PRECISION, RECALL, LATENCY_MS = 0.85, 0.90, 2000.0
"""The gate: what a release or a monthly update must not fall under."""
KINDS = {
    NUMBER: "Numbers with an interval (given, or withheld)",
    WORDS: "Results in words",
    BARE: "Numbers for which the laboratory never sent an interval: its silence says little",
}
VIGNETTES = "Vignettes: what a specialist says"
READING = (
    "“Rule alone” is the interval rule without a model: in the case “site” it is the table of this hospital's most frequent interval by test "
    "and sex. “Model alone” is its probability against its threshold. “Served” is what the service answers. What was not assessed counts as "
    "not flagged."
)


def summarise(records: Sequence[Record], timings: Sequence[Timing]) -> dict[str, Any]:
    """The figures: cases by kind of result, the model's probability, subgroups, latency."""
    cases: dict[str, dict[str, dict[str, Any]]] = {}
    for kind, title in KINDS.items():
        rows: dict[str, dict[str, Any]] = {}
        for case in CASES:
            chosen = [one for one in records if one.case == case and one.kind == kind]
            if chosen:
                rows |= {f"{case}: {name}": figures(chosen, judge) for name, judge in JUDGES.items()}
        if rows:
            cases[title] = rows
    records = [one for one in records if one.kind == NUMBER]
    whole = {
        case: {name: figures([one for one in records if one.case == case], judge) for name, judge in JUDGES.items()}
        for case in CASES
        if any(one.case == case for one in records)
    }
    return {
        "cases": cases,
        "whole": whole,
        "probability": {case: probabilistic([one for one in records if one.case == case]) for case in whole},
        "tables": _tables(records, whole, timings),
        "latency": _latency(timings),
    }


def _tables(
    records: Sequence[Record], whole: Mapping[Case, dict[str, dict[str, Any]]], timings: Sequence[Timing]
) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    found["The same recall where fewer are abnormal (precision of what is served, computed)"] = [
        {
            "case": case,
            **{
                f"{wanted:.0%} abnormal": share(
                    at_prevalence(one["precision"], one["recall"], one["prevalence"] or 0, wanted)
                )
                for wanted in (0.4, 0.2, 0.1, 0.05)
            },
        }
        for case, rows in whole.items()
        for one in [rows["served"]]
    ]
    found["The model's probability"] = [
        {
            "case": case,
            **{name: one.get(name, "–") for name in ("scored", "auroc", "auprc", "brier", "calibration_error")},
        }
        for case in whole
        for one in [probabilistic([one for one in records if one.case == case], resamples=0)]
    ]
    found["By class (served, share recalled as abnormal, and with the right side)"] = [
        _by_class(records, case, code)
        for case in whole
        for code in ("L", "H", "A")
        if any(one.code == code for one in records)
    ]
    for title, key in (("By age", lambda one: band(one.age)), ("By sex", lambda one: one.sex)):
        found[title] = [
            row for case in whole for row in _grouped([one for one in records if one.case == case], case, key)
        ]
    case = "usual" if "usual" in whole else next(iter(whole), "given")
    tests = _grouped([one for one in records if one.case == case], case, lambda one: one.test)
    found[f"By test, interval {case}: the forty with most results"] = sorted(
        tests, key=lambda row: -int(str(row["results"]))
    )[:40]
    reasons: dict[str, int] = {}
    for one in records:
        if one.served is None:
            reasons[f"{one.case}: {one.why}"] = reasons.get(f"{one.case}: {one.why}", 0) + 1
    found["Not assessed, by reason"] = [
        {"case and reason": name, "results": count} for name, count in sorted(reasons.items())
    ]
    found["Latency in milliseconds a bundle"] = [
        {"step": step, **{name: one[name] for name in ("p50", "p95", "p99", "most")}}
        for step, one in _latency(timings).items()
    ]
    return found


def _by_class(records: Sequence[Record], case: str, code: str) -> dict[str, object]:
    chosen = [one for one in records if one.case == case and one.code == code]
    flagged = [one for one in chosen if one.served]
    right = [one for one in flagged if (one.served_code or "")[:1] == code]
    return {
        "case and class": f"{case}: {code}",
        "results": len(chosen),
        "recall": share(len(flagged) / len(chosen) if chosen else None),
        "right side": share(len(right) / len(flagged) if flagged else None),
    }


def _grouped(records: Sequence[Record], case: str, key: Any) -> list[dict[str, object]]:
    groups: dict[str, list[Record]] = {}
    for one in records:
        groups.setdefault(key(one), []).append(one)
    rows: list[dict[str, object]] = []
    for name, members in sorted(groups.items()):
        served, rule, model = (
            _counts(members, judge) for judge in (JUDGES["served"], JUDGES["rule alone"], JUDGES["model alone"])
        )
        rows.append(
            {
                "group": f"{case}: {name}",
                "results": len(members),
                "abnormal": share(sum(one.truth for one in members) / len(members)),
                "served P": served[0],
                "served R": served[1],
                "rule P": rule[0],
                "rule R": rule[1],
                "model P": model[0],
                "model R": model[1],
            }
        )
    return rows


def _counts(members: Sequence[Record], judge: Any) -> tuple[str, str]:
    right = sum(bool(judge(one)) and one.truth for one in members)
    flagged = sum(bool(judge(one)) for one in members)
    abnormal = sum(one.truth for one in members)
    return share(right / flagged if flagged else None), share(right / abnormal if abnormal else None)


def _latency(timings: Sequence[Timing]) -> dict[str, dict[str, float]]:
    found = {}
    for step in (*STEPS, "total"):
        spent = sorted(one.steps[step] for one in timings if step in one.steps)
        if spent:
            found[step] = {
                name: round(spent[min(len(spent) - 1, int(part * len(spent)))], 2)
                for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("most", 1.0))
            }
    return found


def gate(found: dict[str, Any]) -> dict[str, Any]:
    """Whether what is served reaches the targets in every case, and what doesn't."""
    faults = []
    for case, rows in found["whole"].items():
        one = rows["served"]
        for name, least in (("precision", PRECISION), ("recall", RECALL)):
            if one[name] is None or one[name] <= least:
                faults.append(f"{case}: {name} {share(one[name])}")
    slow = found["latency"].get("total", {}).get("p95", 0.0)
    if slow >= LATENCY_MS:
        faults.append(f"latency: p95 {slow:g} ms")
    return {
        "passed": not faults and bool(found["whole"]),
        "faults": faults,
        "precision": PRECISION,
        "recall": RECALL,
        "latency_ms": LATENCY_MS,
    }


def pipelines(settings: Settings, given: argparse.Namespace) -> dict[Case, Pipeline]:
    """A pipeline for each case that can be judged: the site's needs a profile, learnt from MIMIC's training patients or given."""
    engine, degraded = load_engine(settings)
    if engine is not None:
        engine.warm_up()
    catalog = catalogs.load()
    whole = Pipeline(settings, catalog, engine, degraded)
    site = read_site(given.site) if given.site else None
    if site is None and given.mimic_iv:
        site = learn_site(given.mimic_iv, given.d_labitems, catalog)
    found: dict[Case, Pipeline] = {"given": whole}
    if site is not None:
        found["site"] = replace(whole, site=site)
    found["usual"] = whole
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 1 where --gate isn't passed, 2 where data or model don't hold."""
    parser = argparse.ArgumentParser(
        prog="labcue evaluate",
        description="Measure the flags that are served against the laboratory's own.",
        epilog=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mimic-iv", type=Path, metavar="FOLDER", help="MIMIC-IV: holds hosp/labevents.csv[.gz]")
    parser.add_argument("--d-labitems", type=Path, metavar="FILE", help="MIMIC-III's D_LABITEMS, for LOINC codes")
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test", "all"),
        default="test",
        help="MIMIC's patients (default test: never trained on)",
    )
    parser.add_argument(
        "--bundles", type=Path, metavar="PATH", help="FHIR bundles with interpretation or intervals as truth"
    )
    parser.add_argument(
        "--site", type=Path, metavar="FILE", help="a site's profile for the case withheld with the site's"
    )
    parser.add_argument(
        "--engine", default="auto", help="auto, none, onnx or mistral (default auto: the embedded model)"
    )
    parser.add_argument("--model-path", type=Path, metavar="FOLDER")
    parser.add_argument("--adapter-path", type=Path, metavar="FOLDER")
    parser.add_argument("--threshold", type=float, metavar="P", help="instead of the model's own")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write evaluation.json and report.html here")
    parser.add_argument(
        "--scenarios",
        action="store_true",
        help="also judge the vignettes of evaluation/scenarios, with and without the model",
    )
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target isn't reached")
    given = parser.parse_args(arguments)
    if not given.mimic_iv and not given.bundles:
        parser.error("give --mimic-iv or --bundles")
    if given.bundles and not given.bundles.exists():
        parser.error(f"--bundles {given.bundles}: there is no such file or folder")
    try:
        settings = Settings(
            engine=given.engine,
            model_path=given.model_path,
            adapter_path=given.adapter_path,
            threshold=given.threshold,
            max_bundle_bytes=64 * 1024 * 1024,
            max_observations=20_000,
        )
        judged = pipelines(settings, given)
        split = None if given.split == "all" else given.split
        sources: list[Iterator[tuple[list[Record], Timing]]] = []
        if given.mimic_iv:
            sources.append(judge_mimic(judged, given.mimic_iv, given.d_labitems, split))
        if given.bundles:
            sources.append(judge_bundles(judged, given.bundles))
        records, timings = _collected(chain(*sources))
    except (LabCueError, SourceError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not records:
        print("error: no result with a label was found; is the split right?", file=sys.stderr)
        return 2
    found = _whole(records, timings, judged["given"], given)
    for kind, rows in found["cases"].items():
        print(f"## {kind}\n")
        print(table([{"case": name, "results": one["results"], "abnormal": share(one["prevalence"]), "not assessed": one["not_assessed"], "precision": share(one["precision"]), "recall": share(one["recall"]), "critical": f"{share(one['critical_recall'])} of {one['critical']}"} for name, one in rows.items()]) + "\n")  # fmt: skip
    if given.scenarios:
        print(f"## {VIGNETTES}\n\n{table(found['tables'][VIGNETTES])}\n")
    print(f"targets {'reached' if found['gate']['passed'] else 'not reached: ' + '; '.join(found['gate']['faults'])}")
    if given.out:
        _write(given.out, found, records, timings)
        print(f"→ {given.out / 'report.html'}", file=sys.stderr)
    return 1 if given.gate and not found["gate"]["passed"] else 0


def _collected(judged: Iterator[tuple[list[Record], Timing]]) -> tuple[list[Record], list[Timing]]:
    records: list[Record] = []
    timings: list[Timing] = []
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("judging")
        for made, timing in judged:
            records += made
            timings.append(timing)
            progress.update(task, description=f"interval {timing.case}: {len(records):,} results")
    return records, timings


def _whole(
    records: Sequence[Record], timings: Sequence[Timing], pipeline: Pipeline, given: argparse.Namespace
) -> dict[str, Any]:
    engine = pipeline.engine
    name = (
        f"rules alone ({pipeline.degraded or 'by choice'})"
        if engine is None
        else f"{engine.info.name} {engine.info.version}"
    )
    data = [f"MIMIC-IV {given.mimic_iv.resolve().name}, {given.split} split"] if given.mimic_iv else []
    data += [f"bundles of {given.bundles.name}"] if given.bundles else []
    found = {
        "labcue": metadata.version("labcue"),
        "engine": name,
        "thresholds": _said(pipeline.thresholds),
        "catalog": pipeline.catalog.version,
        "data": " and ".join(data),
        "reading": READING,
        **summarise(records, timings),
    }
    if given.scenarios:
        vignettes = load_scenarios(pipeline.catalog)
        judges = {"rules alone": replace(pipeline, engine=None, degraded=None), name: pipeline}
        outcomes = [judge(one, by, title) for title, by in judges.items() for one in vignettes]
        found["tables"][VIGNETTES] = scenario_table(outcomes)
    return found | {"gate": gate(found)}


def _said(thresholds: Thresholds) -> dict[str, float | None]:
    """The thresholds by name, as the report tells them."""
    inside = {} if thresholds.inside is None else {"inside": thresholds.inside}
    return {"default": thresholds.default, **thresholds.by_ground, **inside}


def _write(out: Path, found: dict[str, Any], records: Sequence[Record], timings: Sequence[Timing]) -> None:
    records = [one for one in records if one.kind == NUMBER]
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    last = "usual"
    drawn = [("Precision and recall of rule, model, and what is served", plots.comparison(found["whole"]))]
    if any(one.probability is not None for one in records):
        drawn.append(
            (
                "Precision over recall; the dot is where the service works",
                plots.precision_recall(records),
            )
        )
        drawn.append(("Does it happen as often as the model says?", plots.reliability(records)))
    drawn += [
        (
            "The tests with the lowest recall, interval withheld (abnormal results in brackets)",
            plots.recall_by_test(records, last),
        ),
        ("The tests with the most errors, interval withheld", plots.confusion_by_test(records, last)),
        ("Time a bundle takes in this process, reading included", plots.latency(timings)),
    ]
    (out / "report.html").write_text(page(found, drawn), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
