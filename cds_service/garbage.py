"""The garbage collector, set for a server."""

from __future__ import annotations

import gc

YOUNG = 50_000
"""New objects, less those that went, after which the young are searched; Python's own 700 is a small part of one request."""


def spare_what_stays() -> None:
    """To be called once all is loaded: what is there now stays until the end, and is never searched again. What a request
    makes goes by itself when nothing refers to it any more; the search is for the few cycles, and may come seldom.

    Without it a call with 200 results spent a quarter of its time in searching modules, tables and the model's weights.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)


def let_go_of_what_was_replaced() -> None:
    """To be called once something large that was there at the start has been replaced, as an adapter is: what stays is searched
    again, so that the old one goes."""
    gc.unfreeze()
    gc.collect()
