"""Writes the example bundles. Everybody in them is invented.

    python examples/make_bundles.py            # rewrites examples/bundles/*.json

The JSON is committed; `made` is where it is edited: people, wording and shapes.
"""

from __future__ import annotations

import json
from pathlib import Path

from made import people, shapes, wording

FOLDER = Path(__file__).parent / "bundles"
EXAMPLES = people.EXAMPLES | wording.EXAMPLES | shapes.EXAMPLES


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, make in EXAMPLES.items():
        indent = None if name.startswith("30") else 1
        separators = (",", ":") if indent is None else None
        text = json.dumps(make(), ensure_ascii=False, indent=indent, separators=separators)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
