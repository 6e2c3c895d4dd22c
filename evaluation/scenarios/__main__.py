"""The command line: judges the vignettes, shows one, or writes them as bundles."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cds_service.config import Settings
from cds_service.inference.load import load_engine
from cds_service.pipeline import Pipeline
from evaluation import scenarios
from evaluation.scenarios.judge import Outcome, judge, table
from evaluation.scenarios.read import FOLDER, Scenario, ScenarioError, load
from evaluation.tables import table as markdown
from fhir_adapter import catalog as catalogs
from fhir_adapter.catalog import Catalog
from fhir_adapter.errors import LabCueError


def outcomes(
    found: tuple[Scenario, ...], engine: str, catalog: Catalog, model_path: Path | None = None
) -> list[Outcome]:
    """Every vignette by one engine, "none" for the rules alone.

    Raises:
        LabCueError: the engine can't be loaded.
    """
    settings = Settings(engine=engine, model_path=model_path)
    loaded, degraded = load_engine(settings)
    pipeline = Pipeline(settings, catalog, loaded, degraded)
    name = "rules alone" if loaded is None else f"{loaded.info.name} {loaded.info.version}"
    return [judge(one, pipeline, name) for one in found]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 where the rules alone fail a vignette, 2 where one can't be read."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.scenarios",
        description="Judge the vignettes against what a specialist says of them.",
        epilog=(scenarios.__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--engine", nargs="+", default=["none", "auto"], help="default: none auto")
    parser.add_argument("--model-path", type=Path, metavar="FOLDER")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the TOML files")
    parser.add_argument("--only", metavar="TEXT", help="vignettes whose name holds this")
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER", help="write the vignettes as FHIR bundles, and judge nothing"
    )
    given = parser.parse_args(arguments)
    catalog = catalogs.load()
    try:
        found = tuple(one for one in load(catalog, given.folder) if given.only is None or given.only in one.name)
        if given.write:
            given.write.mkdir(parents=True, exist_ok=True)
            for one in found:
                (given.write / f"{one.name}.json").write_bytes(one.bundle)
            print(f"{len(found)} bundles → {given.write}", file=sys.stderr)
            return 0
        judged = [one for engine in given.engine for one in outcomes(found, engine, catalog, given.model_path)]
    except (ScenarioError, LabCueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for outcome in judged:
        if not outcome.passed:
            where = f"{outcome.scenario.group}/{outcome.scenario.name}"
            print(f"{outcome.engine}: {where}: {'; '.join(outcome.faults)}")
    print(markdown(table(judged)))
    return 1 if any(not one.passed and one.engine == "rules alone" for one in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
