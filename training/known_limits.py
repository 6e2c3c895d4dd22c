"""What different laboratories print as limits of one test (``known_limits.toml``), for the simulator."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("known_limits.toml")
Limits = tuple[float | None, float | None]
Known = Mapping[str, Mapping[str, tuple[Limits, ...]]]
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?)?-(\d+(?:\.\d+)?)?")


@cache
def known() -> Known:
    """Analyte → "male" and "female" → limits in the canonical unit, laboratory by laboratory in the same order for both.

    Raises:
        ValueError: an entry isn't written as "low-high", or the two lists differ in length.
    """
    found = {}
    for analyte, given in tomllib.loads(FILE.read_text(encoding="utf-8")).items():
        lists = given if isinstance(given, dict) else {"male": given, "female": given}
        read = {sex: tuple(_limits(analyte, text) for text in lists[sex]) for sex in ("male", "female")}
        if len(read["male"]) != len(read["female"]):
            raise ValueError(f"{FILE.name}: {analyte}: male and female differ in length")
        found[analyte] = read
    return found


def _limits(analyte: str, text: str) -> Limits:
    written = _WRITTEN.fullmatch(text)
    if written is None or text == "-":
        raise ValueError(f"{FILE.name}: {analyte}: {text!r} isn't low-high")
    low, high = (None if end is None else float(end) for end in written.groups())
    if low is not None and high is not None and low >= high:
        raise ValueError(f"{FILE.name}: {analyte}: {text!r} is upside down")
    return low, high
