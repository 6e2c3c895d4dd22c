"""How threads take turns in a server."""

from __future__ import annotations

import sys

TURN_S = 0.0005
"""Longest turn of a thread that computes while another waits for Python's lock; Python's own 5 ms is a third of a whole request.

The doors' thread has to win the lock several times for each call, to answer it or to refuse it. With turns of 5 ms it fell behind at twice
the capacity: calls waited unread until their deadlines had passed, and none was refused.
"""


def take_short_turns() -> None:
    """To be called once, when a server starts."""
    sys.setswitchinterval(TURN_S)
