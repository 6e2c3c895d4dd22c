"""docs/conformance.md names each of its 26 points, and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
FOLDERS = [ROOT / "tests" / "cds_service" / name for name in ("hooks", "trust")]


def named(text: str) -> list[tuple[str, str]]:
    """(module, test) of what stands there as ``module: `test`, `test```."""
    found = []
    for module, tests in re.findall(r"(\w+): ((?:`test_\w+`(?:, )?)+)", text):
        found += [(module, test) for test in re.findall(r"`(test_\w+)`", tests)]
    return found


def is_there(module: str, test: str) -> bool:
    files = [folder / f"test_{module}.py" for folder in FOLDERS]
    return any(f"def {test}(" in file.read_text(encoding="utf-8") for file in files if file.is_file())


def test_each_point_has_tests() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [int(line.split("|")[1]) for line in rows] == list(range(1, 27))
    assert all(named(line.split("|")[3]) for line in rows)


def test_each_test_is_there() -> None:
    assert [one for one in named(PAGE) if not is_there(*one)] == []
    assert len(named(PAGE)) == len(re.findall(r"`test_\w+`", PAGE))
