"""What is judged, one record a result: the truth, the rule, the model, and what is served."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from cds_service import policy
from cds_service.bundles import read_all
from cds_service.clinical.assess import assess
from cds_service.domain import Thresholds
from cds_service.pipeline import Pipeline, Trace
from fhir_adapter.errors import LabCueError
from fhir_adapter.model import PanelResult, Quantity, Span
from training import from_bundles
from training.examples import group_of
from training.from_mimic import SOURCE as MIMIC
from training.mimic_iv import Options, encode, render
from training.split import split_of

Case = Literal["given", "site", "usual"]
CASES: tuple[Case, ...] = ("given", "site", "usual")
"""The laboratory's interval in the bundle; withheld, with the site's profile; withheld, with the usual interval alone."""

NUMBER, WORDS, BARE = "number", "words", "bare"
"""A number whose laboratory sent an interval (shown or withheld); a result in words; a number for which it never sent one, so that
its silence says little."""


@dataclass(frozen=True, slots=True)
class Record:
    """One result. ``rule``, ``model`` and ``served`` are True, False, or None where they didn't judge; ``probability`` is the model's.

    ``code`` is the laboratory's label, ``served_code`` what the service says (None: not assessed); ``critical`` where the value lies past the
    critical limit that is shown."""

    group: str
    case: str
    test: str
    kind: str
    sex: str
    age: float | None
    truth: bool
    code: str
    critical: bool
    rule: bool | None
    probability: float | None
    model: bool | None
    served: bool | None
    served_code: str | None
    why: str = ""


Said = tuple[str, bool]
"""The laboratory's label of a result, and whether it sent an interval with it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The milliseconds of one bundle's steps and how many results it held."""

    case: str
    results: int
    steps: dict[str, float]


def records_of(
    trace: Trace, truth: Mapping[int, Said], group: str, case: str, thresholds: Thresholds
) -> Iterator[Record]:
    """The records of one bundle's results that have a label."""
    panel = trace.panel
    rules = policy.decide(panel, assess(panel), None, thresholds=thresholds, model=None, degraded=None)
    by_rule = {flag.subject.result.path: flag for flag in rules.flags}
    verdict = trace.evaluation.verdict
    served = {flag.subject.result.path: flag for flag in verdict.flags}
    reasons = {entry.path: entry.code for entry in verdict.not_assessed}
    scores = {score.slot: score.abnormal for score in trace.scores or ()}
    for index, (code, carried) in truth.items():
        placed = panel.results[index]
        path = placed.result.path
        flag, rule = served.get(path), by_rule.get(path)
        p = scores.get(index)
        yield Record(
            group=group,
            case=case,
            test=placed.display,
            kind=_kind(placed, carried),
            sex=panel.patient.sex or "unknown",
            age=placed.age_years,
            truth=code != "N",
            code=code,
            critical=code != "N" and rule is not None and rule.critical,
            rule=None if rule is None else rule.abnormal,
            probability=p,
            model=None if p is None or (at := thresholds.of(placed)) is None else p >= at,
            served=None if flag is None else flag.abnormal,
            served_code=None if flag is None else flag.code,
            why="" if flag is not None else reasons.get(path, "lost"),
        )


def _kind(placed: PanelResult, carried: bool) -> str:
    if not isinstance(placed.result.value, Quantity | Span):
        return WORDS
    return NUMBER if carried else BARE


def judge_mimic(
    pipelines: dict[Case, Pipeline], source: Path, d_labitems: Path | None, split: str | None, most: int = 200
) -> Iterator[tuple[list[Record], Timing]]:
    """MIMIC-IV's patients of a split (None: all), bundles of at most ``most`` results, in each of the cases that have a pipeline."""
    for case, pipeline in pipelines.items():
        options = Options(with_intervals=case == "given", max_observations=most)
        for one in render(source, d_labitems, options):
            group = group_of(MIMIC, one.subject)
            if split is not None and split_of(group) != split:
                continue
            began = time.perf_counter()
            trace = pipeline.trace(encode(one.bundle))
            spent = (time.perf_counter() - began) * 1e3
            truth = {}
            for index, placed in enumerate(trace.panel.results):
                said = one.truth.get(placed.result.observation.rpartition("/")[2])
                if said is not None:
                    truth[index] = said.code, said.interval
            yield _both(trace, truth, group, case, pipeline, spent)


def judge_bundles(pipelines: dict[Case, Pipeline], path: Path) -> Iterator[tuple[list[Record], Timing]]:
    """FHIR bundles: the laboratory's interpretation is the truth, else its own interval. It is taken out of what is judged, and the
    interval too where it is withheld. What can't be read is named on stderr and left out."""
    for source in read_all([str(path)]):
        if source.data is None:
            print(f"left out: {source.name}: {source.fault}", file=sys.stderr)
            continue
        for case, pipeline in pipelines.items():
            try:
                trace, truth, spent = _bare(pipeline, source.data, case)
            except LabCueError as error:
                print(f"left out: {source.name}: {error} [{error.code}]", file=sys.stderr)
                break
            group = group_of("fhir", trace.panel.patient.reference or source.name)
            yield _both(trace, truth, group, case, pipeline, spent)


def _bare(pipeline: Pipeline, data: bytes, case: Case) -> tuple[Trace, dict[int, Said], float]:
    from fhir_adapter.normalize import normalize
    from fhir_adapter.read import read

    intake = read(data)
    panel = normalize(intake, pipeline.catalog)
    told = from_bundles.labels(panel)
    carried = {
        index for index, one in enumerate(panel.results) if one.interval is not None and one.interval.source == "lab"
    }
    shown = replace(
        intake,
        results=tuple(
            replace(one, interpretation=(), ranges=one.ranges if case == "given" else ()) for one in intake.results
        ),
    )
    began = time.perf_counter()
    trace = pipeline.trace_intake(shown)
    spent = (time.perf_counter() - began) * 1e3
    return trace, {index: (label, index in carried) for index, (label, _) in told.items()}, spent


def _both(
    trace: Trace, truth: Mapping[int, Said], group: str, case: str, pipeline: Pipeline, spent: float
) -> tuple[list[Record], Timing]:
    found = list(records_of(trace, truth, group, case, pipeline.thresholds))
    return found, Timing(case, len(trace.panel.results), {**trace.evaluation.timings, "total": spent})
