"""Compares ways of showing results to the small model: whole panels or one result a prompt, with positions or with bare numbers.

    python -m training.compare --data build/embedded/dataset --seeds 1 2 --epochs 1 --out docs/comparison.json

Every variant trains on the same labelled results (the training split's real patients, and a sample of the others) for the same number of epochs, with the recipe of
``configs/embedded.yaml``, and is judged on the validation split's real patients with the interval withheld: a hospital's, which sent the training patients too,
and people's under the limits of laboratories never seen (``strangers``: NHANES). Thresholds are not fitted here: average
precision (the area under precision over recall) needs none, and both figures at 0.5 stand beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from training import build, finetune
from training.config import Config, load
from training.examples import DataError, Example, SlotLabel, read, write
from training.saving import FINAL, TrainingFailed
from training.singles import RESULTS, singles
from training.slots_data import LONGEST, predict
from training.split import SPLITS

CONFIG = Path(__file__).parent / "configs" / "embedded.yaml"
GROUNDS = ("site", "usual")
STRANGERS = "strangers"
COLUMNS = (*GROUNDS, STRANGERS)
JUDGED = "judged.ndjson.gz"
"""What a run is judged on, whole: the folder's validation split holds a sample of it."""
Lens = Literal["positions", "numbers"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of showing a panel. ``lens``: what the tokenizer lets through (:mod:`training.tokenizer`)."""

    name: str
    panels: bool
    lens: Lens


VARIANTS = (
    Variant("whole panel, positions", True, "positions"),
    Variant("one result a prompt, positions", False, "positions"),
    Variant("whole panel, bare numbers", True, "numbers"),
    Variant("one result a prompt, bare numbers", False, "numbers"),
)


def sample(examples: Iterable[Example], share: float) -> Iterator[Example]:
    """All of the real patients with a laboratory's own flag, and a share of the others, the same each time."""
    kept = 0.0
    for example in examples:
        if example.source.startswith("mimic"):
            yield example
            continue
        kept += share
        if kept >= 1:
            kept -= 1
            yield example


def one_run(variant: Variant, config: Config, folder: Path, quiet: bool = True) -> dict[str, Any]:
    """Trains one variant; its figures on the validation split's real patients by ground."""
    from cds_service.inference.slots import label_ids
    from cds_service.inference.weights import load_model, load_tokenizer

    began = time.time()
    finetune.run(config, quiet=quiet)
    seconds = time.time() - began
    final = config.output_dir / FINAL
    tokenizer, model = load_tokenizer(final), load_model(final, "cpu")
    serving = json.loads((final / "labcue.json").read_text(encoding="utf-8"))
    judged = list(read(folder / JUDGED))
    logits, truth, kept = predict(model, tokenizer, label_ids(tokenizer, serving["label_tokens"]), judged, LONGEST)
    return {"seconds": round(seconds), **figures(kept, logits, truth, serving["temperature"])}


def figures(examples: Sequence[Example], logits: Any, truth: Any, temperature: float) -> dict[str, Any]:
    """Average precision, and precision and recall at 0.5, of numbers with the interval withheld: the hospital's by ground, and
    the strangers' beside the usual interval."""
    import numpy as np
    from sklearn.metrics import average_precision_score

    p = 1 - (logits.double() / temperature).softmax(-1)[:, 0].numpy()
    abnormal = (truth != 0).numpy()
    where = [_column(one, slot) for one in examples for slot in one.slots]
    found: dict[str, Any] = {}
    for ground in COLUMNS:
        here = np.array([column == ground for column in where])
        if not abnormal[here].any():
            continue
        flagged = p[here] >= 0.5
        right = float((flagged & abnormal[here]).sum())
        found[ground] = {
            "results": int(here.sum()),
            "average_precision": round(float(average_precision_score(abnormal[here], p[here])), 4),
            "precision": round(right / max(1, int(flagged.sum())), 4),
            "recall": round(right / int(abnormal[here].sum()), 4),
        }
    return found


def _column(example: Example, slot: SlotLabel) -> str | None:
    """Where a result counts: under the ground that its case leaves it, or under the strangers'."""
    if slot.ground != example.case:
        return None
    if example.source.startswith("mimic"):
        return slot.ground
    return STRANGERS if slot.ground == "usual" else None


def _judged_on(example: Example) -> bool:
    return example.source.startswith("mimic") or (example.source == "nhanes" and example.case == "usual")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The runs as Markdown, one line each."""
    head = "| variant | seed | seconds | " + " | ".join(f"{ground}: AP, P / R at 0.5" for ground in COLUMNS) + " |"
    lines = [head, "|" + " --- |" * (3 + len(COLUMNS))]
    for row in rows:
        cells = [
            f"{one['average_precision']:.4f}, {one['precision']:.3f} / {one['recall']:.3f}" if one else "–"
            for one in (row.get(ground) for ground in COLUMNS)
        ]
        lines.append(f"| {row['variant']} | {row['seed']} | {row['seconds']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 2 where the dataset doesn't hold."""
    parser = argparse.ArgumentParser(
        prog="python -m training.compare",
        description="Compare panels with single results, and positions with bare numbers.",
        epilog=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="a dataset of training.build")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument(
        "--share", type=float, default=0.25, help="of the examples that aren't a hospital's (default 0.25)"
    )
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--out", type=Path, help="write the figures here as JSON, after every run")
    given = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    try:
        build.load_manifest(given.data)
        base = load(given.config)
        for panels in (True, False):
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / "dataset"
                _derive(given.data, folder, panels, given.share)
                variants = [variant for variant in VARIANTS if variant.panels == panels]
                for number, (variant, seed) in enumerate(product(variants, given.seeds)):
                    rows.append(_trained(variant, seed, base, given, folder, Path(scratch) / f"run-{number}"))
                    print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
                    if given.out:
                        given.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    except (DataError, TrainingFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    return 0


def _derive(source: Path, folder: Path, panels: bool, share: float) -> None:
    """The dataset of a comparison, with a manifest, in ``folder``."""
    manifest = build.load_manifest(source)
    folder.mkdir()

    def shown(examples: Iterable[Example]) -> Iterable[Example]:
        return examples if panels else (alone for example in examples for alone in singles(example))

    for split in SPLITS:
        write(folder / f"{split}.ndjson.gz", shown(sample(read(source / f"{split}.ndjson.gz"), share)))
    write(folder / JUDGED, shown(one for one in read(source / "validation.ndjson.gz") if _judged_on(one)))
    manifest["files"] = {name: build.digest(folder / name) for name in manifest["files"]}
    (folder / build.MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def _trained(
    variant: Variant, seed: int, base: Config, given: argparse.Namespace, folder: Path, out: Path
) -> dict[str, Any]:
    # One result a prompt: as many results a step as a panel of average length brings.
    batch = max(1, base.optimiser.per_device_train_batch_size // (RESULTS if variant.panels else 1))
    steps = 10**9  # neither evaluated nor saved on the way
    config = base.model_copy(
        update={
            "data": folder,
            "one_result": False,  # the folder holds what is shown
            "output_dir": out,
            "seed": seed,
            "threads": given.threads,
            "new": base.new.model_copy(update={"lens": variant.lens}) if base.new else None,
            "optimiser": base.optimiser.model_copy(
                update={
                    "num_train_epochs": given.epochs,
                    "per_device_train_batch_size": batch,
                    "eval_steps": steps,
                    "save_steps": steps,
                }
            ),
        }
    )
    return {"variant": variant.name, "seed": seed, **one_run(variant, config, folder)}


if __name__ == "__main__":
    sys.exit(main())
