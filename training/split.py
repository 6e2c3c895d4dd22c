"""The split by patient: 70 % train, 15 % validation, 15 % test, by a hash, so that no patient ever moves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal

from training.examples import DataError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TRAIN, VALIDATION = 0.70, 0.15


def split_of(group: str) -> Split:
    """Where a patient (the hash that :func:`training.examples.group_of` gives) belongs. The same for ever, whatever else is in the data."""
    share = int.from_bytes(hashlib.sha256(f"split\0{group}".encode()).digest()[:8], "big") / 2**64
    return "train" if share < TRAIN else "validation" if share < TRAIN + VALIDATION else "test"


def check_apart(groups: Iterable[tuple[Split, Iterable[str]]]) -> None:
    """Checks that no patient stands in two splits.

    Raises:
        DataError: some do.
    """
    seen: dict[str, Split] = {}
    for split, members in groups:
        for group in members:
            if seen.setdefault(group, split) != split:
                raise DataError(
                    f"a patient stands in the {seen[group]} and in the {split} split; build the dataset again"
                )
