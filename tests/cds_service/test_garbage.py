"""The collector as a server sets it: what stays isn't searched, and what was replaced goes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from cds_service import garbage


class Node:
    """Refers to itself: only the collector can take it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_what_stays_is_not_searched_and_the_young_seldom() -> None:
    garbage.spare_what_stays()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold()[0] == garbage.YOUNG


def test_what_was_replaced_goes() -> None:
    old = Node()
    seen = weakref.ref(old)
    garbage.spare_what_stays()
    del old
    gc.collect()
    assert seen() is not None
    garbage.let_go_of_what_was_replaced()
    assert seen() is None
