"""The table of delta limits in docs/clinical-sources.md: `python -m cds_service.clinical.delta_document` prints it."""

from __future__ import annotations

import tomllib
from importlib import resources

from cds_service.clinical.delta import limit_text, window_text
from fhir_adapter import catalog
from fhir_adapter.catalog.delta import DeltaLimit

HEAD = """| analyte | says | rise | fall | within | from | source |
| --- | --- | --- | --- | --- | --- | --- |
"""


def table() -> str:
    """One row a limit, by analyte; steps in the canonical unit."""
    text = resources.files("fhir_adapter.catalog").joinpath("sources.toml").read_text(encoding="utf-8")
    keys = {citation: key for key, citation in tomllib.loads(text).items()}
    return HEAD + "".join(
        _row(analyte.id, analyte.unit or "", one, keys[one.source])
        for analyte in sorted(catalog.load().analytes.values(), key=lambda one: one.id)
        for one in analyte.delta
    )


def _row(id: str, unit: str, one: DeltaLimit, source: str) -> str:
    ways = [limit_text(one, rising, 1.0, unit) or "–" for rising in (True, False)]
    made_from = "" if one.cvi is None else f"CV {one.cvi:g} % within a person, {one.cva:g} % measured"
    cells = (id, one.means, *ways, window_text(one.hours), made_from, source)
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    print(table(), end="")
