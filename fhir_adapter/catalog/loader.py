"""Reads and validates the catalog's TOML files."""

from __future__ import annotations

from fhir_adapter.catalog.model import Catalog


def load() -> Catalog:
    """The shipped catalog, read once and cached.

    Raises:
        CatalogError: with one Violation per fault.
    """
    raise NotImplementedError
