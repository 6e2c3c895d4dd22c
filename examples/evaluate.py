"""Sends one bundle to a running service: `labcue serve &` then `python examples/evaluate.py examples/bundles/02-hyperkalaemia-aki.json`."""

from __future__ import annotations

import sys
from pathlib import Path

from cds_service.client import LabCueClient
from fhir_adapter.errors import LabCueError


def main() -> int:
    """Prints the cards and the flags that aren't normal."""
    with LabCueClient("127.0.0.1:50051", timeout=2.0) as client:
        try:
            response = client.evaluate(Path(sys.argv[1]).read_bytes(), language="en")
        except LabCueError as error:
            print(error.code, error, *error.violations, sep="\n  ", file=sys.stderr)
            return 1
    for card in response.cards:
        print(f"[{card.indicator}] {card.summary}")
    for flag in response.extension.evaluation.flags:
        if flag.abnormal:
            print(f"  {flag.code:2} {flag.display}: {flag.value} {flag.unit} ({flag.source}; {flag.basis[0].text})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
