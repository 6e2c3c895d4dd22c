"""Agreement with the laboratory's own flag, on real results."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from evaluation.agreement import Tally, compare
from fhir_adapter import catalog
from training.mimic_iv import Truth, render


def _truth(abnormal: bool) -> Truth:
    return Truth("1", "2", "Test", abnormal, True, True, "3")


def test_every_row_is_in_a_denominator() -> None:
    tally = Tally()
    for ours, theirs in ((True, True), (True, False), (False, True), (False, False), (None, True)):
        tally.add(_truth(theirs), ours, None if ours is not None else "no-interval")
    found = tally.summary()
    assert (found["rows"], found["answered"]) == (5, 4)
    assert found["agreement"] == 0.5
    assert found["agreement_strict"] == pytest.approx(0.4)
    assert (found["precision"], found["recall"]) == (0.5, 0.5)


def test_nothing_measured_is_not_zero() -> None:
    assert Tally().summary()["agreement"] is None


def _agreement(shared_data: Path, patients: int | None) -> dict[str, object]:
    labels = shared_data / "mimic-iii-demo/D_LABITEMS.csv.gz"
    rendered = islice(render(shared_data / "mimic-iv-demo", labels), patients)
    pipeline = Pipeline(Settings(engine="none", max_bundle_bytes=64 * 1024 * 1024), catalog.load())
    return compare(rendered, pipeline)["interval, value"].summary()


def test_a_few_patients_agree(shared_data: Path) -> None:
    found = _agreement(shared_data, 8)
    assert isinstance(found["agreement_strict"], float)
    assert found["agreement_strict"] >= 0.99


@pytest.mark.slow
def test_all_patients_agree(shared_data: Path) -> None:
    found = _agreement(shared_data, None)
    assert isinstance(found["agreement_strict"], float)
    assert isinstance(found["recall"], float)
    assert found["agreement_strict"] >= 0.995
    assert found["recall"] >= 0.999
