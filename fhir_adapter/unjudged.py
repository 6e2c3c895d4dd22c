"""What was not judged has a name all the same, and a value that is absent often a reason."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from fhir_adapter import elements, wire
from fhir_adapter.catalog import Catalog
from fhir_adapter.model import NotAssessed
from fhir_adapter.site.model import Site

ABSENT_CODES = frozenset(
    {
        "unknown",
        "asked-unknown",
        "temp-unknown",
        "not-asked",
        "asked-declined",
        "masked",
        "not-applicable",
        "unsupported",
        "as-text",
        "error",
        "not-a-number",
        "negative-infinity",
        "positive-infinity",
        "not-performed",
        "not-permitted",
    }
)
"""http://terminology.hl7.org/CodeSystem/data-absent-reason, R4 to R6."""
MAX_WORDS = 200
NO_RESULTS = frozenset({"group", "not-laboratory"})
"""Not of one analyte: none is looked for."""


def why_absent(concept: wire.CodeableConcept | None) -> str | None:
    """Why the laboratory says that there is no value: in its own words, else one of ABSENT_CODES, else what the coding says."""
    if concept is None:
        return None
    if concept.text and concept.text.strip():
        return concept.text.strip()[:MAX_WORDS]
    known = (coding.code for coding in concept.coding or () if coding.code in ABSENT_CODES)
    return next(known, None) or (elements.words(concept) or "").strip()[:MAX_WORDS] or None


def recognised(entries: Sequence[NotAssessed], catalog: Catalog, site: Site | None) -> tuple[NotAssessed, ...]:
    """The same, each with its analyte where the catalog or the site knows it."""
    return tuple(entry if entry.code in NO_RESULTS else _recognised(entry, catalog, site) for entry in entries)


def _recognised(entry: NotAssessed, catalog: Catalog, site: Site | None) -> NotAssessed:
    if not entry.codings and not entry.name:
        return entry
    analyte = catalog.find(entry.codings, entry.name)
    if analyte is None and site is not None and (own := site.analyte_of(entry.codings, entry.name)) is not None:
        analyte = catalog.analytes.get(own)
    return entry if analyte is None else replace(entry, analyte=analyte)
