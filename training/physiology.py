"""What the simulator knows of bodies (``physiology.toml``): which tests are ordered together, which vary together, and what moves them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".toml")
_READ: dict[str, Any] = tomllib.loads(FILE.read_text(encoding="utf-8"))

ORDERS: dict[str, tuple[str, ...]] = {name: tuple(tests) for name, tests in _READ["orders"].items()}
"""Tests that are ordered together."""

FACTORS: dict[str, dict[str, float]] = _READ["factors"]
"""Healthy variation that tests share: loadings, at most 1 in sum of squares."""

STATES: dict[str, dict[str, float]] = _READ["states"]
"""How far a disease of severity 1 moves a test, in half widths."""

NORMAL_ANSWERS: tuple[str, ...] = tuple(_READ["answers"]["normal"])
ABNORMAL_ANSWERS: tuple[str, ...] = tuple(_READ["answers"]["abnormal"])
"""Answers in words, with the ways in which they are written and miswritten."""
