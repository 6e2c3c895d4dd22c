"""Rebuilds the embedded model: its dataset, the training run, its evaluation, its card; then puts it into the package.

    python -m training.embedded --data ../shared/data

Takes what the data folder has of MIMIC-IV (demo) and NHANES; on a machine without it, simulated panels alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from training import build, export_onnx, finetune
from training.config import load
from training.saving import FINAL

CONFIG = Path(__file__).parent / "configs" / "embedded.yaml"
TARGET = Path(__file__).parents[1] / "cds_service" / "inference" / "embedded"
SIMULATED = 12_000


def sources(data: Path) -> list[str]:
    """The arguments of training.build for what is there."""
    found = ["--simulate", str(SIMULATED)]
    mimic, items, nhanes = (
        data / "mimic-iv-demo",
        data / "mimic-iii-demo" / "D_LABITEMS.csv.gz",
        data / "nhanes-2017-2018" / "labs.csv.gz",
    )
    if mimic.is_dir():
        found += ["--mimic-iv", str(mimic)]
        if items.is_file():
            found += ["--d-labitems", str(items)]
    if nhanes.is_file():
        found += ["--nhanes", str(nhanes)]
    return found


def publish(final: Path, target: Path, card: str) -> None:
    """Puts a trained folder in the package, whole or not at all."""
    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(final, unfinished)
    (unfinished / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(unfinished, target)


def card(training: dict[str, Any], evaluation: dict[str, Any] | None) -> str:
    """The model card, as Markdown: use, data, how it was made, figures, limits, licences."""
    splits = training["dataset"]["splits"]["train"]
    data = "\n".join(
        f"- {source}: {one['patients']:,} patients, {one['results']:,} labelled results, {one['abnormal']:.1%} abnormal"
        for source, one in splits.items()
    )
    calibration = training["calibration"]
    validation = "\n".join(
        f"| {name} | {one['results']:,} | {one['abnormal']:.3f} | {one['precision']:.3f} | {one['recall']:.3f} |"
        for name, one in calibration["groups"].items()
    )
    thresholds = ", ".join(
        f"{'no say' if at is None else at} ({ground})" for ground, at in calibration["thresholds"].items()
    )
    inside = calibration.get("inside")
    if inside is not None:
        thresholds += f", and at least {inside} for a number inside its interval"
    return f"""# The embedded model

A MistralForCausalLM of {training["parameters"]:,} parameters with a tokenizer of its own, trained from nothing. It gives each result of a
panel a probability for each of N, L, H, A, LL, HH and AA, each in a prompt of its own, all in one pass. It writes no text.

## Use

Decision support beside the interval rules, which it can't overrule where a laboratory sent its interval. Not a medical
device: a clinician decides. Not for choosing a treatment, not without the rules, not for anything but laboratory results.

## Data (training split)

{data}

MIMIC-IV Clinical Database Demo 2.2 (PhysioNet, ODbL 1.0): one American hospital, mostly intensive care. NHANES 2017-2018 (US government work): real people's
values, but the intervals and labels are invented laboratories', two of three as some real laboratory prints them
(`training/known_limits.toml`). Simulated: invented altogether. Patients are split by a hash,
70/15/15. No patient's data is in the package.

## How

`make embedded-model` (`training/configs/embedded.yaml`), {training["seconds"]} s. Temperature {calibration["temperature"]}; thresholds
{thresholds}, fitted on the validation split: recall first. On that split at those thresholds, intervals withheld:

| source, and what it leans on | results | abnormal | precision | recall |
| --- | --- | --- | --- | --- |
{validation}

## Figures on patients that it never saw
{_measured(evaluation)}
## Limits

- One real hospital. Where laboratories are unlike those that it knows and send no interval, its probability is a guess from the usual interval.
- Children, pregnancy and rare tests are seldom in its data.
- It reads each result alone: who the patient is, the test's name, side, position and logs, words and changes; not the raw number, the unit, comments, or the other results.
- It knows habits of that one hospital (no flag on a manual differential's 0 %); a floor of rules keeps what a laboratory's own interval says.
- Weights: Apache-2.0, as the code; the figures from MIMIC-IV's demo are a produced work under ODbL.
"""


def _measured(evaluation: dict[str, Any] | None) -> str:
    if evaluation is None:
        return "\nNot measured: there was no real data beside the simulator's.\n"
    lines = [f"\n{evaluation['data']}, by `labcue evaluate`. Brackets: 95 %, bootstrap by patient.\n"]
    for kind, rows in evaluation["cases"].items():
        lines.append(f"{kind}:\n\n| case | results | abnormal | precision | recall |\n| --- | --- | --- | --- | --- |")
        lines += [
            f"| {name} | {one['results']:,} | {_three(one['prevalence'])} | {_with(one, 'precision')} | {_with(one, 'recall')} |"
            for name, one in rows.items()
        ]
        lines.append("")
    for title, rows in evaluation["tables"].items():
        if title.startswith(("By age", "By sex", "By test")):
            head = list(rows[0]) if rows else []
            lines.append(f"{title}:\n\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
            lines += [f"| {' | '.join(str(cell) for cell in row.values())} |" for row in rows]
            lines.append("")
    return "\n".join(lines)


def _three(value: float | None) -> str:
    return "–" if value is None else f"{int(value * 1000 + 1e-9) / 1000:.3f}"


def _with(one: dict[str, Any], name: str) -> str:
    limits = one.get(f"{name}_95")
    return _three(one[name]) + (f" [{_three(limits[0])}, {_three(limits[1])}]" if limits else "")


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status of the first step that fails."""
    parser = argparse.ArgumentParser(prog="python -m training.embedded", description="Rebuild the embedded model.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of MIMIC-IV demo and NHANES")
    parser.add_argument("--publish-only", action="store_true", help="evaluate and publish what was trained last")
    given = parser.parse_args(arguments)
    config = load(CONFIG)
    chosen = sources(given.data)
    if not given.publish_only:
        shutil.rmtree(config.data, ignore_errors=True)
        shutil.rmtree(config.output_dir, ignore_errors=True)
        if status := build.main(["--out", str(config.data), *chosen]):
            return status
        if status := finetune.main(["--config", str(CONFIG)]):
            return status
    final = config.output_dir / FINAL
    try:
        export_onnx.export(final)
    except export_onnx.CannotExport as error:
        print(f"not exported: {error}; torch will serve it", file=sys.stderr)
    evaluation = None
    if "--mimic-iv" in chosen:
        report = config.output_dir / "report"
        # By name: training rests on nothing of evaluation's, this command only calls it.
        judge = import_module("evaluation.flags").main
        where = [argument for argument in chosen if argument not in ("--simulate", str(SIMULATED))]
        where = where[: where.index("--nhanes")] if "--nhanes" in where else where
        if status := judge([*where, "--model-path", str(final), "--out", str(report)]):
            return int(status)
        evaluation = json.loads((report / "evaluation.json").read_text(encoding="utf-8"))
    training = json.loads((final / "training.json").read_text(encoding="utf-8"))
    publish(final, TARGET, card(training, evaluation))
    print(f"→ {TARGET}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
