"""The bound at a laboratory never seen: what is drawn by the shares comes out as they say, and no judge goes past it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from evaluation import bound
from fhir_adapter import catalog
from training import simulate
from training.examples import Example

CATALOG = catalog.load()


def _withheld() -> list[Example]:
    made = simulate.examples(CATALOG, count=400, laboratories=60)
    return [one for one in made if any(slot.shares is not None for slot in one.slots)]


def test_precision_at_a_recall_is_the_best_that_still_finds_as_much() -> None:
    scores, truth = [0.9, 0.8, 0.7, 0.6, 0.5], [True, False, True, True, False]
    (some, all_of_them) = bound.precision_at(scores, truth, (0.3, 0.9))
    assert some == (1.0, 0.9)
    assert all_of_them == (0.75, 0.6)


def test_no_judge_beats_the_share_of_laboratories() -> None:
    examples = _withheld()
    chance = random.Random(5)
    slots = [slot for one in examples for slot in one.slots]
    # A judge that knows the shares, but not well.
    blurred = [(sum(slot.shares) if slot.shares else 0.0) * 0.5 + chance.random() * 0.5 for slot in slots]
    (found,) = bound.measure(examples, blurred).values()
    assert found["results"] > 500
    assert found["bound"]["average_precision"] > found["model"]["average_precision"] + 0.05
    perfect = bound.measure(examples, [sum(slot.shares) if slot.shares else 0.0 for slot in slots])["simulated"]
    assert perfect["model"] == perfect["bound"]
    # Where a share says 0.8, eight of ten are abnormal: the shares are probabilities.
    near = [slot.label != "N" for slot in slots if slot.shares and 0.7 < sum(slot.shares) < 0.9]
    assert sum(near) / len(near) == pytest.approx(0.8, abs=0.12)
    assert "| simulated, " in bound.table({"simulated": perfect})


def test_what_is_no_dataset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bound.main(["--dataset", str(tmp_path)]) == 2
    assert "dataset.json" in capsys.readouterr().err
