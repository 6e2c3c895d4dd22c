"""How well anybody could judge a result whose interval is withheld, by a laboratory never seen; and how near the model comes.

    python -m evaluation.bound --dataset build/embedded/dataset
    python -m evaluation.bound --dataset build/embedded/dataset --model-path build/embedded/run/final
    python -m evaluation.bound --dataset build/embedded/dataset --mimic-iv DATA/mimic-iv-demo --d-labitems DATA/D_LABITEMS.csv.gz

An invented laboratory's word on a number can't be known from the prompt; the share of all laboratories that would call it abnormal can
(:class:`training.laboratories.Laboratories`). No judge ranks results better than by that share, so its precision at each recall is the bound. Taken
from the validation split: real people's values (NHANES) under the invented laboratories' limits, and the simulator's. With ``--mimic-iv`` also the values of
a hospital's patients who weren't trained on, under limits of laboratories that weren't either: many more of those are abnormal, and further out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cds_service.inference.slots import label_ids
from cds_service.inference.weights import load_model, load_tokenizer
from fhir_adapter import catalog
from fhir_adapter.catalog import Catalog
from fhir_adapter.errors import LabCueError
from training import from_mimic
from training.build import load_manifest
from training.examples import DataError, Example, Told, make, pieces, read
from training.laboratories import Laboratories, side
from training.mimic_iv import SourceError
from training.singles import shown
from training.slots_data import LONGEST, predict

RECALLS = (0.6, 0.7, 0.8, 0.9, 0.95)
PACKAGED = Path(__file__).parents[1] / "cds_service" / "inference" / "embedded"
SICK = "mimic-iv, other limits"
STRANGERS = 2
"""Seed of laboratories that no training has seen."""
_OUTSIDE = re.compile(r"\] (?:below|above) ")


def sick(source: Path, d_labitems: Path | None, known: Catalog, *, laboratories: int = 400) -> Iterator[Example]:
    """The hospital's patients outside the training split, intervals withheld, each judged by one invented laboratory that training hasn't seen; the
    shares are those of all of them.

    Raises:
        SourceError: the data can't be read.
    """
    strangers, chance = Laboratories(STRANGERS, laboratories), random.Random(f"bound {STRANGERS}")
    for judged in from_mimic.panels(source, d_labitems, known, intervals=False):
        sex = judged.panel.patient.sex
        ages = [placed.age_years for placed in judged.panel.results if placed.age_years is not None]
        if judged.split == "train" or sex is None or not ages:
            continue
        where, age = chance.choice(strangers.all), ages[0]
        for piece, _ in pieces(judged.panel, chance):
            told: dict[int, Told] = {}
            for index, placed in enumerate(piece.results):
                if placed.analyte is None or placed.canonical is None:
                    continue
                if (limits := where.interval(placed.analyte, sex, age)) is not None:
                    told[index] = side(placed.canonical, *limits), "simulated"
            shares = strangers.of_panel(piece, sex, age)
            yield from make(piece, told, source=SICK, group=judged.group, case="usual", shares=shares)


def precision_at(scores: Sequence[float], truth: Sequence[bool], recalls: Sequence[float]) -> list[tuple[float, float]]:
    """For each recall the best precision at which at least that much is found, and the score from which on it flags."""
    import numpy as np
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(np.asarray(truth), np.asarray(scores))
    found = []
    for wanted in recalls:
        enough = np.flatnonzero(recall[:-1] >= wanted - 1e-12)
        best = int(enough[np.argmax(precision[enough])])
        found.append((float(precision[best]), float(thresholds[best])))
    return found


def measure(examples: Sequence[Example], probabilities: Sequence[float]) -> dict[str, dict[str, Any]]:
    """For each source: prevalence, the rule's precision and recall, and the curves of the bound and the model. ``probabilities``: P(abnormal)
    at every slot, in the order of the examples."""
    from sklearn.metrics import average_precision_score

    rows: dict[str, list[tuple[bool, bool, float, float]]] = {}
    slots = ((one, slot) for one in examples for slot in one.slots)
    for (one, slot), p in zip(slots, probabilities, strict=True):
        if slot.shares is not None and slot.ground == "usual":
            outside = _OUTSIDE.search(one.prompt[: slot.end].rpartition("\n")[2]) is not None
            rows.setdefault(one.source, []).append((slot.label != "N", outside, sum(slot.shares), p))
    found = {}
    for source, there in sorted(rows.items()):
        truth, rule, share, model = (list(column) for column in zip(*there, strict=True))
        right = sum(t and r for t, r in zip(truth, rule, strict=True))
        found[source] = {
            "results": len(truth),
            "abnormal": sum(truth) / len(truth),
            "rule": {"precision": right / max(1, sum(rule)), "recall": right / max(1, sum(truth))},
            "bound": {
                "average_precision": float(average_precision_score(truth, share)),
                "at": precision_at(share, truth, RECALLS),
            },
            "model": {
                "average_precision": float(average_precision_score(truth, model)),
                "at": precision_at(model, truth, RECALLS),
            },
        }
    return found


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: precision at each recall, and from which probability on."""
    lines = [
        "| source | judge | average precision | " + " | ".join(f"P at R {one:g} (from)" for one in RECALLS) + " |",
        "|" + " --- |" * (3 + len(RECALLS)),
    ]
    for source, one in found.items():
        rule = one["rule"]
        about = f"{source}, {one['results']:,} results, {one['abnormal']:.1%} abnormal"
        lines.append(f"| {about} | rule | P {rule['precision']:.3f} / R {rule['recall']:.3f} |{' – |' * len(RECALLS)}")
        for judge in ("bound", "model"):
            cells = " | ".join(f"{precision:.3f} ({at:.3f})" for precision, at in one[judge]["at"])
            lines.append(f"| | {judge} | {one[judge]['average_precision']:.3f} | {cells} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 2 where the dataset or the model doesn't hold."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.bound",
        description="The bound at a laboratory never seen, beside the model.",
        epilog=(__doc__ or "").split("\n\n")[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dataset", type=Path, required=True, help="a folder of training.build")
    parser.add_argument("--model-path", type=Path, default=PACKAGED, help="default: the model in the package")
    parser.add_argument("--mimic-iv", type=Path, help="also a hospital's patients (a folder in MIMIC-IV's layout)")
    parser.add_argument("--d-labitems", type=Path, help="MIMIC-III's D_LABITEMS, for LOINC codes")
    given = parser.parse_args(arguments)
    try:
        load_manifest(given.dataset)
        examples = [one for one in read(given.dataset / "validation.ndjson.gz") if one.case == "usual"]
        if given.mimic_iv:
            examples += sick(given.mimic_iv, given.d_labitems, catalog.load())
        examples = [one for one in examples if any(slot.shares is not None for slot in one.slots)]
        if not examples:
            raise DataError(f"{given.dataset}: holds nothing of invented laboratories with the interval withheld")
        tokenizer, model = load_tokenizer(given.model_path), load_model(given.model_path, "cpu")
        serving = json.loads((given.model_path / "labcue.json").read_text(encoding="utf-8"))
        labels = label_ids(tokenizer, serving["label_tokens"] or None)
    except (DataError, SourceError, LabCueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    examples = shown(examples, serving.get("max_results") == 1)
    logits, _, kept = predict(model, tokenizer, labels, examples, LONGEST)
    abnormal = 1 - (logits.double() / serving["temperature"]).softmax(-1)[:, 0]
    print(table(measure(kept, abnormal.tolist())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
