"""How threads take turns in a server: on Python's lock, and on the processor."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

TURN_S = 0.0005
"""Longest turn of a thread that computes while another waits for Python's lock; Python's own 5 ms is a third of a whole request.

The doors' thread has to win the lock several times for each call, to answer it or to refuse it. With turns of 5 ms it fell behind at twice
the capacity: calls waited unread until their deadlines had passed, and none was refused.
"""
BACK = 5
"""Steps of niceness by which a thread that computes stands behind the doors' thread. Past the capacity every core is taken, and the system
shares them among threads alike: without this the doors answered and refused a second late."""


def take_short_turns() -> None:
    """To be called once, when a server starts."""
    sys.setswitchinterval(TURN_S)


def step_back() -> None:
    """The calling thread computes behind the doors' from now on. Only Linux has a niceness of threads; elsewhere nothing happens."""
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it: then threads share alike
            behind = min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + BACK)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), behind)
