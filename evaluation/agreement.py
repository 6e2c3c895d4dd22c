"""How often LabCue's verdict agrees with the laboratory's own flag, on MIMIC-IV rendered as FHIR.

    python -m evaluation.agreement --source DATA/mimic-iv-demo --d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz

The flag itself is never written into the bundles; they take the whole way of a request, rules only. Two cases are told
apart: intervals given (value against interval is arithmetic: this measures reading) and intervals withheld (the catalog's usual
ones judge). In each, rows are classed by where MIMIC keeps the result, never by what LabCue made of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console

from cds_service.config import Settings
from cds_service.domain import Flag, Verdict
from cds_service.pipeline import Pipeline
from evaluation.tables import percent, table
from evaluation.tally import Answer, Tally, together
from fhir_adapter import catalog
from training.mimic_iv import Options, Rendered, SourceError, Truth, add_source, encode, limited, render

COLUMN, COMMENT, NOTHING, NO_INTERVAL = "in its column", "only in the comment", "none at all", "no interval sent"
CLASSES = (COLUMN, COMMENT, NOTHING, NO_INTERVAL)
"""Where the result of a row that carries an interval stands; and the rows that carry no interval."""


def new_pipeline() -> Pipeline:
    """The whole way of a request without a model; large bundles allowed, since a patient is one bundle here."""
    settings = Settings(engine="none", max_bundle_bytes=64 * 1024 * 1024, max_observations=20_000)
    return Pipeline(settings, catalog.load())


def class_of(truth: Truth) -> str:
    """The class of a row, by MIMIC's columns alone."""
    if not truth.interval:
        return NO_INTERVAL
    return {"comment": COMMENT, "none": NOTHING}.get(truth.shape, COLUMN)


def compare(rendered: Iterable[Rendered], pipeline: Pipeline) -> dict[str, Tally]:
    """A tally for each of CLASSES."""
    tallies = {name: Tally() for name in CLASSES}
    for one in rendered:
        answers = answers_of(pipeline.evaluate(encode(one.bundle)).verdict)
        for id, truth in one.truth.items():
            tallies[class_of(truth)].add(truth, answers.get(id, Answer(None, "lost")))
    return tallies


def answers_of(verdict: Verdict) -> dict[str, Answer]:
    """What a verdict says of each Observation, by its id."""
    said = {_id(entry.observation): Answer(None, entry.code) for entry in verdict.not_assessed}
    for flag in verdict.flags:
        said[_id(flag.subject.result.observation)] = Answer(flag.abnormal, kind=_kind(flag))
    return said


def _id(reference: str | None) -> str:
    return (reference or "").rpartition("/")[2]


def _kind(flag: Flag) -> str:
    """What a flag rests on, in a few words; no value."""
    by = {"lab": "the laboratory's interval", "usual": "a usual interval", "site": "a site's interval"}
    zero = " of 0" if flag.subject.number == 0 else ""
    for basis in flag.basis:
        if basis.kind == "critical":
            return f"{flag.code} by a critical limit"
        if basis.kind == "interval":
            return f"{flag.code}{zero} by {by.get(basis.interval_source or '', 'an interval')}"
    return f"{flag.code} by {flag.basis[0].kind if flag.basis else 'nothing said'}"


def summary(tallies: dict[str, Tally]) -> dict[str, Any]:
    """The figures of one case: each class, all rows with an interval together, the worst tests, and what sets apart."""
    carrying = together(tally for name, tally in tallies.items() if name != NO_INTERVAL)
    return {
        "result": {name: tally.figures() for name, tally in tallies.items()},
        "all with an interval": carrying.figures(),
        "worst_tests": carrying.worst(),
        "disagreements": dict(carrying.classes.most_common()),
    }


def text_of(found: dict[str, Any]) -> str:
    """The figures for people."""
    parts = [
        f"LabCue {found['labcue']}, catalog {found['catalog']}; {found['patients']} patients of {found['source']}."
    ]
    for case in ("intervals given", "intervals withheld"):
        if case not in found:
            continue
        one = found[case]
        parts.append(f"## {case.capitalize()}")
        classes = {f"result {name}" if name != NO_INTERVAL else name: row for name, row in one["result"].items()}
        if case == "intervals withheld":
            classes.pop(NO_INTERVAL)
        classes["all that carry an interval"] = one["all with an interval"]
        parts.append(table([_line(name, row) for name, row in classes.items()]))
        if one["worst_tests"]:
            shown = ("test", "rows", "apart", "only_labcue", "only_laboratory", "not_assessed")
            parts.append("Tests with the most rows apart (of those that carry an interval):")
            parts.append(table([{name.replace("_", " "): row[name] for name in shown} for row in one["worst_tests"]]))
            parts.append("What sets them apart (last: where the result stands):")
            classed = list(one["disagreements"].items())[:20]
            parts.append(table([{"what LabCue and the laboratory said": name, "rows": rows} for name, rows in classed]))
    parts.append(
        "Strict: a row that was not assessed counts as a disagreement, and as missed where the laboratory flagged it."
    )
    return "\n\n".join(parts) + "\n"


def _line(name: str, row: dict[str, Any]) -> dict[str, object]:
    return {
        "rows that carry an interval": name,
        "rows": row["rows"],
        "flagged": percent(row["abnormal"]),
        "not assessed": row["not_assessed"],
        "agreement": percent(row["agreement"]),
        "strict": percent(row["agreement_strict"]),
        "precision": percent(row["precision"]),
        "recall": percent(row["recall"]),
        "strict recall": percent(row["recall_strict"]),
    }


def measure(
    source: Path,
    d_labitems: Path | None,
    *,
    limit: int | None = None,
    scratch: Path | None = None,
    withheld: bool = True,
) -> dict[str, Any]:
    """Both cases (or only the one with intervals given) on the same bundles.

    Raises:
        SourceError: the source can't be read.
    """
    pipeline = new_pipeline()
    found: dict[str, Any] = {
        "labcue": metadata.version("labcue"),
        "catalog": pipeline.catalog.version,
        "source": source.resolve().name,
    }
    for case, with_intervals in (("intervals given", True), ("intervals withheld", False)):
        if not with_intervals and not withheld:
            continue
        subjects: set[str] = set()
        with closing(render(source, d_labitems, Options(with_intervals=with_intervals), scratch=scratch)) as rendered:
            found[case] = summary(compare(_counted(limited(rendered, limit), subjects, case), pipeline))
        found["patients"] = len(subjects)
    return found


def _counted(rendered: Iterable[Rendered], subjects: set[str], case: str) -> Iterable[Rendered]:
    console = Console(stderr=True)
    with console.status(case) if console.is_terminal else closing(_Quiet()) as status:
        for one in rendered:
            subjects.add(one.subject)
            status.update(f"{case}: {len(subjects)} patients")
            yield one


class _Quiet:
    def update(self, text: str) -> None:
        """Nothing is shown where nobody looks."""

    def close(self) -> None:
        """Nothing is open."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 1 where the agreement falls below ``--at-least``, 2 where the source can't be read."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.agreement",
        description="How often LabCue agrees with the laboratory's own flag, on MIMIC-IV.",
        epilog="Example: python -m evaluation.agreement --source DATA/mimic-iv-demo "
        "--d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz --at-least 0.995",
    )
    add_source(parser)
    parser.add_argument("--only-given", action="store_true", help="leave out the case of withheld intervals")
    parser.add_argument(
        "--at-least",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="strict agreement to reach on results in their column, with their interval (0.995)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="what to print (default: text)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here as JSON")
    given = parser.parse_args(arguments)
    try:
        found = measure(
            given.source, given.d_labitems, limit=given.limit, scratch=given.scratch, withheld=not given.only_given
        )
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    print(text if given.format == "json" else text_of(found), end="")
    if given.json:
        given.json.write_text(text, encoding="utf-8")
    reached = found["intervals given"]["result"][COLUMN]["agreement_strict"]
    return 0 if reached is not None and reached >= given.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
