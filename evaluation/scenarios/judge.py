"""Holds what an engine serves against what the specialist says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.clinical.delta import step
from cds_service.domain import Flag, Verdict
from cds_service.pipeline import Pipeline
from evaluation.scenarios.read import Scenario

KINDS = {
    "must_flag": "flagged",
    "must_not_flag": "left alone",
    "must_be_critical": "called critical",
    "must_not_be_critical": "not called critical",
    "must_name": "pattern named",
    "must_not_name": "pattern not named",
    "must_not_assess": "not assessed",
    "must_tell_step": "step told",
    "must_not_tell_step": "step not told",
}
"""Kinds of expectation, as the table heads them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One vignette by one engine: how many expectations of each kind there were and were met, and in words which weren't."""

    scenario: Scenario
    engine: str
    expected: Counter[str]
    met: Counter[str]
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is as the specialist says."""
        return not self.faults


def judge(scenario: Scenario, pipeline: Pipeline, engine: str) -> Outcome:
    """Serves the vignette's bundle and compares. An analyte's newest results speak for it: all of them for "not", any for "must".
    What isn't assessed is neither flagged nor critical."""
    verdict = pipeline.evaluate(scenario.bundle).verdict
    expected: Counter[str] = Counter()
    met: Counter[str] = Counter()
    faults = []
    for kind, ids in scenario.expected.items():
        for id in ids:
            expected[kind] += 1
            if _holds(kind, id, verdict):
                met[kind] += 1
            else:
                faults.append(f"{id}: not {KINDS[kind]}" if "not_" not in kind else f"{id}: wrongly {_wrong(kind)}")
    return Outcome(scenario, engine, expected, met, tuple(faults))


def _wrong(kind: str) -> str:
    return {
        "must_not_flag": "flagged",
        "must_not_be_critical": "critical",
        "must_not_name": "named",
        "must_not_assess": "assessed",
        "must_not_tell_step": "told as a step",
    }[kind]


def _holds(kind: str, id: str, verdict: Verdict) -> bool:
    if kind in ("must_name", "must_not_name"):
        return (id in {pattern.id for pattern in verdict.patterns}) == (kind == "must_name")
    flags = [flag for flag in verdict.flags if flag.subject.newest and _is(flag, id)]
    if kind == "must_not_assess":
        return not flags
    if kind in ("must_tell_step", "must_not_tell_step"):
        return any(step(flag.basis) is not None for flag in flags) == (kind == "must_tell_step")
    if kind in ("must_flag", "must_not_flag"):
        return any(flag.abnormal for flag in flags) == (kind == "must_flag")
    return any(flag.critical for flag in flags) == (kind == "must_be_critical")


def _is(flag: Flag, id: str) -> bool:
    analyte = flag.subject.analyte
    return id == (analyte.id if analyte is not None else flag.subject.display)


def table(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """One row an engine: vignettes as expected, the hard ones, and each kind of expectation."""
    rows = []
    for engine in dict.fromkeys(one.engine for one in outcomes):
        mine = [one for one in outcomes if one.engine == engine]
        hard = [one for one in mine if one.scenario.hard]
        row = {
            "engine": engine,
            "vignettes as expected": f"{sum(one.passed for one in mine)} of {len(mine)}",
            "the hard ones": f"{sum(one.passed for one in hard)} of {len(hard)}",
        }
        for kind, title in KINDS.items():
            wanted = sum(one.expected[kind] for one in mine)
            row[title] = f"{sum(one.met[kind] for one in mine)} of {wanted}" if wanted else "–"
        rows.append(row)
    return rows
