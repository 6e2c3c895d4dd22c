"""What of a hospital's flags is taken for a lesson, and what is counted."""

from __future__ import annotations

from fhir_adapter import catalog
from fhir_adapter.model import PanelResult
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import bundle, observation
from training.from_mimic import told_of
from training.mimic_observation import Direction, Truth

CATALOG = catalog.load()


def _words(text: str) -> PanelResult:
    one = observation("u", "5802-4", 0, "", valueString=text)
    del one["valueQuantity"]
    return normalize(read(bundle(one)), CATALOG).results[0]


def _truth(*, abnormal: bool, numeric: bool = False, interval: bool = False) -> Truth:
    code: Direction = "N" if not abnormal else "H" if numeric else "A"
    return Truth("1", "2", "x", abnormal, interval, numeric, "3", code=code)


def test_an_abnormal_answer_that_was_left_unflagged_teaches_nothing_and_is_counted() -> None:
    silent, flagged = _truth(abnormal=False), _truth(abnormal=True)
    positive, negative, odd = _words("Positive"), _words("NEG"), _words("blargh")
    assert told_of(silent, positive, "train") is None
    for split in ("validation", "test"):
        assert told_of(silent, positive, split) == ("N", "flag")
    assert told_of(flagged, positive, "train") == ("A", "flag")
    assert told_of(silent, negative, "train") == ("N", "flag")
    assert told_of(silent, odd, "train") == ("N", "flag")


def test_silence_on_a_number_without_an_interval_says_nothing() -> None:
    (placed,) = normalize(read(bundle(observation("k", "2823-3", 6.9, "mmol/L"))), CATALOG).results
    for split in ("train", "test"):
        assert told_of(_truth(abnormal=False, numeric=True), placed, split) is None
        assert told_of(_truth(abnormal=False, numeric=True, interval=True), placed, split) == ("N", "flag")
        assert told_of(_truth(abnormal=True, numeric=True), placed, split) == ("H", "flag")
