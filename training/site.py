"""Learns a site's own reference intervals from its bundles.

python -m training.site BUNDLES… --out site.toml
LABCUE_SITE=site.toml labcue check …
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cds_service.bundles import read_all
from fhir_adapter import catalog as catalogs
from fhir_adapter.errors import LabCueError
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from fhir_adapter.site import Learner, write_site


def main(arguments: list[str] | None = None) -> int:
    """The command line; exit status 2 where nothing could be learnt or written."""
    parser = argparse.ArgumentParser(
        prog="python -m training.site",
        description="Learn a site's own reference intervals from bundles whose results carried them.",
        epilog="Example: python -m training.site last-year.ndjson --name 'St Mary' --out site.toml",
    )
    parser.add_argument("bundles", nargs="+", metavar="PATH", help="a .json bundle, an .ndjson file or a folder")
    parser.add_argument("--name", default="site", help="what answers call the site (default: site)")
    parser.add_argument("--out", type=Path, required=True, help="the TOML file to write")
    given = parser.parse_args(arguments)
    catalog, learner, read_in, left_out = catalogs.load(), Learner(), 0, 0
    for source in read_all(given.bundles):
        try:
            if source.data is None:
                raise LabCueError(source.fault)
            learner.add(normalize(read(source.data), catalog))
            read_in += 1
        except LabCueError as error:
            left_out += 1
            print(f"{source.name}: {error}", file=sys.stderr)
    site = learner.site(given.name)
    if not site.intervals:
        print("error: no test carried the same interval often enough to learn it", file=sys.stderr)
        return 2
    try:
        write_site(site, given.out)
    except OSError as error:
        print(f"error: {given.out}: {error.strerror}", file=sys.stderr)
        return 2
    print(
        f"{len(site.intervals)} intervals from {read_in} bundles ({left_out} left out) → {given.out}", file=sys.stderr
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
