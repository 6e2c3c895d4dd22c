"""How often LabCue's verdict agrees with the laboratory's own flag, on MIMIC-IV rendered as FHIR.

    python -m evaluation.agreement --source DATA/mimic-iv-demo --d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz

The flag itself is never written into the bundles. Every row is in a denominator: what was not assessed counts against the
strict agreement and is listed by reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from fhir_adapter import catalog
from training.mimic_iv import Options, Rendered, Truth, render


@dataclass(slots=True)
class Tally:
    """Counts of one class of rows."""

    both: int = 0
    ours: int = 0
    theirs: int = 0
    neither: int = 0
    unanswered: int = 0
    not_assessed: Counter[str] = field(default_factory=Counter)
    disagreeing: Counter[str] = field(default_factory=Counter)

    def add(self, truth: Truth, abnormal: bool | None, reason: str | None) -> None:
        """One row; ``abnormal`` None where it was not assessed (``reason``)."""
        if abnormal is None:
            self.unanswered += 1
            self.not_assessed[f"{reason} ({'flagged' if truth.abnormal else 'unflagged'} by the laboratory)"] += 1
        elif abnormal and truth.abnormal:
            self.both += 1
        elif abnormal:
            self.ours += 1
            self.disagreeing[f"only LabCue: {truth.label}"] += 1
        elif truth.abnormal:
            self.theirs += 1
            self.disagreeing[f"only the laboratory: {truth.label}"] += 1
        else:
            self.neither += 1

    @property
    def answered(self) -> int:
        return self.both + self.ours + self.theirs + self.neither

    def summary(self) -> dict[str, object]:
        """Figures as fractions; None where there is nothing to measure."""
        agreed = self.both + self.neither
        return {
            "rows": self.answered + self.unanswered,
            "answered": self.answered,
            "agreement": _share(agreed, self.answered),
            "agreement_strict": _share(agreed, self.answered + self.unanswered),
            "precision": _share(self.both, self.both + self.ours),
            "recall": _share(self.both, self.both + self.theirs),
            "not_assessed": dict(self.not_assessed.most_common()),
            "disagreeing": dict(self.disagreeing.most_common(15)),
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def compare(rendered: Iterable[Rendered], pipeline: Pipeline) -> dict[str, Tally]:
    """Tallies by class: "interval, value" (a value and an interval were sent), "interval, no value", "no interval"."""
    tallies = {"interval, value": Tally(), "interval, no value": Tally(), "no interval": Tally()}
    for one in rendered:
        verdict = pipeline.evaluate(json.dumps(one.bundle).encode()).verdict
        flags = {flag.subject.result.observation.rpartition("/")[2]: flag.abnormal for flag in verdict.flags}
        missing = {(entry.observation or "").rpartition("/")[2]: entry.code for entry in verdict.not_assessed}
        for id, truth in one.truth.items():
            if not truth.interval:
                kind = "no interval"
            else:
                kind = "interval, no value" if missing.get(id) in ("data-absent", "no-value") else "interval, value"
            tallies[kind].add(truth, flags.get(id), missing.get(id))
    return tallies


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 1 where the agreement falls below ``--at-least``."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.agreement", description=__doc__.split("\n")[0] if __doc__ else ""
    )
    parser.add_argument("--source", type=Path, required=True, help="folder that holds hosp/labevents.csv[.gz]")
    parser.add_argument("--d-labitems", type=Path, help="MIMIC-III's D_LABITEMS, for LOINC codes")
    parser.add_argument(
        "--without-intervals", action="store_true", help="withhold the laboratory's intervals: usual ones only"
    )
    parser.add_argument("--limit", type=int, help="only the first so many bundles")
    parser.add_argument(
        "--at-least", type=float, default=0.0, help="agreement on results with value and interval to reach"
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args(arguments)
    pipeline = Pipeline(Settings(engine="none", max_bundle_bytes=64 * 1024 * 1024), catalog.load())
    options = Options(with_intervals=not given.without_intervals)
    bundles = _limited(render(given.source, given.d_labitems, options), given.limit)
    found = {kind: tally.summary() for kind, tally in compare(bundles, pipeline).items()}
    text = json.dumps(found, indent=2, ensure_ascii=False)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    reached = found["interval, value"]["agreement_strict"]
    return 0 if isinstance(reached, float) and reached >= given.at_least else 1


def _limited(rendered: Iterator[Rendered], limit: int | None) -> Iterator[Rendered]:
    for number, one in enumerate(rendered):
        if limit is not None and number >= limit:
            return
        yield one


if __name__ == "__main__":
    sys.exit(main())
