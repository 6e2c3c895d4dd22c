"""Newborns."""

from __future__ import annotations

from cds_service.clinical.bilirubin import above, shown
from cds_service.clinical.patterns.spec import Hit, Rule, Spec
from cds_service.clinical.seen import Seen
from cds_service.domain import Evidence, Said


def neonatal_bilirubin(seen: Seen, spec: Spec) -> Hit | None:
    """Bilirubin above the line at that hour of age."""
    placed = seen.result("bilirubin-total")
    found = None if placed is None else above(placed, seen.panel.patient)
    if placed is None or found is None or found[0] is None:
        return None
    line, light, hours = found
    params = shown(placed, light, hours)
    near = spec.near(seen, "bilirubin-total")
    points = (Evidence(said=Said("bilirubin-exchange")),) if line == "exchange" else ()
    unsure = () if seen.panel.patient.birth_time is not None else (Evidence(said=Said("bilirubin-date-only")),)
    return Hit(near, params, speaks_for=points, speaks_against=unsure)


RULES: dict[str, Rule] = {"neonatal-bilirubin": neonatal_bilirubin}
