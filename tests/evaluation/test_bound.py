"""The bound at a laboratory never seen: what is drawn by the shares comes out as they say, and no judge goes past it."""

from __future__ import annotations

import gzip
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


def _hospital(folder: Path, patients: int) -> Path:
    """MIMIC-IV's layout: a potassium each, from far under to far over any interval."""
    hosp = folder / "hosp"
    hosp.mkdir()
    (hosp / "d_labitems.csv").write_text("itemid,label,fluid,category\n50971,Potassium,Blood,Chemistry\n")
    (hosp / "patients.csv").write_text(
        "subject_id,gender,anchor_age,anchor_year\n" + "".join(f"{one},F,50,2150\n" for one in range(patients))
    )
    header = "labevent_id,subject_id,specimen_id,itemid,charttime,storetime,value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag,comments\n"
    with gzip.open(hosp / "labevents.csv.gz", "wt") as file:
        file.write(header)
        for one in range(patients):
            value = 1.5 + 6 * one / patients
            at = "2150-01-01 06:00:00,2150-01-01 07:00:00"
            file.write(f"{one},{one},{one},50971,{at},{value:.2f},{value:.2f},mEq/L,3.3,5.1,,\n")
    return folder


def test_a_hospitals_patients_are_judged_by_laboratories_not_seen_and_not_by_its_flags(tmp_path: Path) -> None:
    examples = list(bound.sick(_hospital(tmp_path, 300), None, CATALOG, laboratories=40))
    # Patients of the training split, most of them, are left out.
    assert 50 < len(examples) < 150
    assert {one.source for one in examples} == {bound.SICK}
    slots = [slot for one in examples for slot in one.slots]
    shares = [slot.shares for slot in slots if slot.shares is not None]
    assert len(shares) == len(slots)
    for slot, (low, high) in zip(slots, shares, strict=True):
        assert low == 0 or high == 0
        assert slot.origin == "simulated"
        # What every laboratory calls abnormal is; what none does isn't.
        assert slot.label != "N" or low + high < 1
        assert slot.label == "N" or low + high > 0
    assert min(map(sum, shares)) == 0
    assert max(low for low, _ in shares) == 1
    assert max(high for _, high in shares) == 1
    assert all("[3.5 to 5.1 usual]" in one.prompt for one in examples)


def test_what_is_no_dataset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bound.main(["--dataset", str(tmp_path)]) == 2
    assert "dataset.json" in capsys.readouterr().err
