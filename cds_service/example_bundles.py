"""The example bundles that ship with LabCue: in a checkout under examples/bundles, in a wheel beside this file."""

from __future__ import annotations

from pathlib import Path

PACKAGED = Path(__file__).resolve().parent / "examples"
CHECKOUT = Path(__file__).resolve().parents[1] / "examples" / "bundles"


def examples() -> list[Path]:
    """The files, in order of their names."""
    folder = PACKAGED if PACKAGED.is_dir() else CHECKOUT
    return sorted(folder.glob("*.json"))
