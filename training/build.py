"""Builds a dataset: examples of all sources, split by patient, with a manifest and a card.

    python -m training.build --out data/small --simulate 20000
    python -m training.build --out data/all --simulate 20000 --mimic-iv DATA/mimic-iv-demo \\
        --d-labitems DATA/mimic-iii-demo/D_LABITEMS.csv.gz --nhanes DATA/nhanes-2017-2018/labs.csv.gz

A folder with ``train.ndjson.gz``, ``validation.ndjson.gz`` and ``test.ndjson.gz`` (one example a line,
:class:`training.examples.Example`), ``dataset.json`` (digests, counts, seeds) and ``CARD.md``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fhir_adapter import catalog as catalogs
from fhir_adapter.prompt import PROMPT_VERSION
from training import from_bundles, from_feedback, from_mimic, from_mimic_iii, from_nhanes, simulate
from training.examples import DataError, Example, encode
from training.mimic_tables import SourceError
from training.split import SPLITS, Split, check_apart, split_of

MANIFEST = "dataset.json"
Row = tuple[Split, Example]


@dataclass(slots=True)
class Counts:
    """What is in one split of one source."""

    examples: int = 0
    groups: set[str] = field(default_factory=set)
    labels: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    tests: Counter[str] = field(default_factory=Counter)
    words: int = 0
    ages: Counter[str] = field(default_factory=Counter)
    sexes: Counter[str] = field(default_factory=Counter)

    def add(self, example: Example) -> None:
        """Counts one example."""
        self.examples += 1
        self.groups.add(example.group)
        self.cases[example.case] += len(example.slots)
        self.sexes[example.sex or "unknown"] += 1
        self.ages[_band(example.age)] += 1
        for slot in example.slots:
            self.labels[slot.label] += 1
            self.origins[slot.origin] += 1
            self.tests[slot.test] += 1
            self.words += not slot.numeric

    def figures(self) -> dict[str, Any]:
        """For the manifest."""
        results = self.labels.total()
        return {
            "examples": self.examples,
            "patients": len(self.groups),
            "results": results,
            "abnormal": round(1 - self.labels["N"] / results, 4) if results else None,
            "in_words": self.words,
            "labels": dict(sorted(self.labels.items())),
            "cases": dict(sorted(self.cases.items())),
            "label_origins": dict(sorted(self.origins.items())),
            "tests": len(self.tests),
            "most_frequent_tests": dict(self.tests.most_common(10)),
            "examples_by_sex": dict(sorted(self.sexes.items())),
            "examples_by_age": dict(sorted(self.ages.items())),
        }


def _band(age: float | None) -> str:
    if age is None:
        return "unknown"
    for limit, name in ((1, "0"), (18, "1-17"), (40, "18-39"), (65, "40-64"), (80, "65-79")):
        if age < limit:
            return name
    return "80+"


def build(out: Path, rows: Iterable[Row], about: dict[str, Any]) -> dict[str, Any]:
    """Writes the dataset; the folder appears under its name only when it is whole. Returns the manifest.

    Raises:
        DataError: a split is empty or has one class only, a patient stands in two splits, or the folder exists already.
    """
    if out.exists():
        raise DataError(f"{out}: exists already; remove it or name another folder")
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    counts: dict[tuple[Split, str], Counts] = {}
    with ExitStack() as opened:
        files = {}
        for split in SPLITS:
            raw = opened.enter_context((unfinished / f"{split}.ndjson.gz").open("wb"))
            # No time and no name in the header: the same data give the same digest.
            files[split] = opened.enter_context(gzip.GzipFile("", "wb", 5, raw, mtime=0))
        for split, example in rows:
            files[split].write(encode(example))
            counts.setdefault((split, example.source), Counts()).add(example)
    _check(counts)
    manifest: dict[str, Any] = {
        "prompt_version": PROMPT_VERSION,
        **about,
        "splits": {
            split: {source: counts[split, source].figures() for s, source in sorted(counts) if s == split}
            for split in SPLITS
        },
        "files": {f"{split}.ndjson.gz": digest(unfinished / f"{split}.ndjson.gz") for split in SPLITS},
    }
    (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    (unfinished / "CARD.md").write_text(card(manifest), encoding="utf-8")
    os.replace(unfinished, out)
    return manifest


def _check(counts: dict[tuple[Split, str], Counts]) -> None:
    check_apart((split, one.groups) for (split, _), one in counts.items())
    for split in SPLITS:
        labels: Counter[str] = Counter()
        for (where, _), one in counts.items():
            if where == split:
                labels += one.labels
        if not labels:
            raise DataError(f"the {split} split is empty; give more patients")
        if len(labels) == 1:
            raise DataError(f"the {split} split holds only results labelled {next(iter(labels))}; give more patients")


def digest(file: Path) -> str:
    """SHA-256 in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def card(manifest: dict[str, Any]) -> str:
    """The dataset card, as Markdown."""
    lines = [
        "# Dataset card",
        "",
        "Prompts of laboratory panels with a label for each result, made by `python -m training.build`. Patients are told apart by a hash; no",
        "date and no identifier is kept. Real and simulated patients are counted apart. A result stands once in each case in which it is shown.",
        "",
        f"Seed {manifest.get('seed')}, prompt version {manifest['prompt_version']}.",
        "",
        "| split | source | patients | examples | results | abnormal | in words | cases | label origins |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for split, sources in manifest["splits"].items():
        for source, one in sources.items():
            cases = ", ".join(f"{name} {count:,}" for name, count in one["cases"].items())
            origins = ", ".join(f"{name} {count:,}" for name, count in one["label_origins"].items())
            lines.append(
                f"| {split} | {source} | {one['patients']:,} | {one['examples']:,} | {one['results']:,} | {one['abnormal']:.1%} "
                f"| {one['in_words']:,} | {cases} | {origins} |"
            )
    lines += [
        "",
        "| split | source | sex (examples) | age (examples) | tests | most frequent |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for split, sources in manifest["splits"].items():
        for source, one in sources.items():
            shown = [
                ", ".join(f"{name} {count:,}" for name, count in one[kind].items())
                for kind in ("examples_by_sex", "examples_by_age")
            ]
            frequent = ", ".join(list(one["most_frequent_tests"])[:6])
            lines.append(f"| {split} | {source} | {shown[0]} | {shown[1]} | {one['tests']} | {frequent} |")
    return "\n".join(lines) + "\n"


def load_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a dataset, its files' digests checked.

    Raises:
        DataError: it is missing, of another prompt version, or a file differs.
    """
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        wanted: dict[str, str] = manifest["files"]
        version = manifest["prompt_version"]
    except OSError:
        raise DataError(f"{file}: can't be read; build a dataset with python -m training.build") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{file}: is not a dataset's manifest; build it again") from None
    if version != PROMPT_VERSION:
        raise DataError(
            f"{file}: holds prompts of version {version}, this code writes {PROMPT_VERSION}; build it again"
        )
    for name, expected in wanted.items():
        try:
            same = digest(folder / name) == expected
        except OSError:
            raise DataError(f"{folder / name}: can't be read; build the dataset again") from None
        if not same:
            raise DataError(f"{folder / name}: differs from its digest in {MANIFEST}; build the dataset again")
    return manifest


def rows_of(given: argparse.Namespace) -> Iterator[Row]:
    """All sources that the command line names."""
    catalog = catalogs.load()
    if given.mimic_iv:
        yield from from_mimic.examples(given.mimic_iv, given.d_labitems, catalog, seed=given.seed)
    if given.mimic_iii:
        yield from from_mimic_iii.examples(given.mimic_iii, catalog, seed=given.seed)
    if given.nhanes:
        yield from from_nhanes.examples(given.nhanes, catalog, seed=given.seed)
    for path in given.bundles or ():
        yield from from_bundles.examples(path, catalog, seed=given.seed)
    for path in given.feedback or ():
        yield from from_feedback.examples(path)
    for example in simulate.examples(catalog, count=given.simulate, seed=given.seed):
        yield split_of(example.group), example


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status: 2 where a source or the result doesn't hold."""
    parser = argparse.ArgumentParser(
        prog="python -m training.build",
        description="Build a dataset for training and calibration.",
        epilog=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to make; it must not exist")
    parser.add_argument("--simulate", type=int, default=20_000, metavar="N", help="simulated panels (default 20000)")
    parser.add_argument(
        "--mimic-iv", type=Path, metavar="FOLDER", help="MIMIC-IV, full or demo: holds hosp/labevents.csv[.gz]"
    )
    parser.add_argument("--mimic-iii", type=Path, metavar="FOLDER", help="MIMIC-III: holds LABEVENTS.csv[.gz]")
    parser.add_argument(
        "--d-labitems", type=Path, metavar="FILE", help="MIMIC-III's D_LABITEMS, for LOINC codes of MIMIC-IV"
    )
    parser.add_argument("--nhanes", type=Path, metavar="FILE", help="NHANES laboratory table, .csv.gz")
    parser.add_argument(
        "--bundles", type=Path, nargs="*", metavar="PATH", help="FHIR bundles with interpretation or intervals"
    )
    parser.add_argument(
        "--feedback", type=Path, nargs="*", metavar="FILE", help="what labcue feedback export wrote, .ndjson[.gz]"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("building")

            def told() -> Iterator[Row]:
                for number, row in enumerate(rows_of(given), start=1):
                    if number % 200 == 0:
                        progress.update(task, description=f"{row[1].source}: {number:,} examples")
                    yield row

            manifest = build(given.out, told(), {"seed": given.seed, "simulated_panels": given.simulate})
    except (DataError, SourceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {given.out}: {error.strerror}; nothing was kept under that name", file=sys.stderr)
        return 2
    total = sum(one["results"] for sources in manifest["splits"].values() for one in sources.values())
    print(f"{total:,} labelled results → {given.out}; see {given.out / 'CARD.md'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
