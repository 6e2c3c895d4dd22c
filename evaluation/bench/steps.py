"""The steps of the pipeline alone, in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from statistics import median

from cds_service.clinical.assess import assess
from evaluation.panels import bundle
from fhir_adapter import catalog
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from fhir_adapter.strict import uncollected

Row = dict[str, float | int | str]


def timed(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of ``work`` after one warm-up."""
    work()
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return median(spent)


def measure(sizes: tuple[int, ...], repeats: int) -> list[Row]:
    """Microseconds per result of reading, normalizing and the rules, by bundle size."""
    known = catalog.load()
    rows: list[Row] = []
    for size in sizes:
        data = bundle(size)
        intake = read(data)
        panel = normalize(intake, known)
        steps = {
            "read": lambda data=data: read(data),
            "normalize": lambda intake=intake: normalize(intake, known),
            "rules, derived values, patterns": lambda panel=panel: assess(panel),
        }
        row: Row = {"results": size}
        for name, work in steps.items():
            row[f"{name} µs/result"] = round(timed(work, repeats) / size * 1e6, 1)
        rows.append(row)
    return rows


def catalog_load_ms(repeats: int) -> float:
    """Milliseconds of reading and checking the catalog, as at each start."""

    def work() -> None:
        catalog.load.cache_clear()
        catalog.load()

    return timed(work, repeats) * 1e3


def fhir_resources(repeats: int) -> float:
    """Microseconds per Observation of fhir.resources' R4B models, for comparison."""
    from fhir.resources.R4B.observation import Observation

    entries = json.loads(bundle(20))["entry"][1:]
    resources = [json.dumps(entry["resource"]) for entry in entries]
    with uncollected():
        return (
            timed(lambda: [Observation.model_validate_json(one) for one in resources], repeats) / len(resources) * 1e6
        )
