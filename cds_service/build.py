"""From settings to a pipeline, for a service and for commands that judge without one: these need no records, keys or doors."""

from __future__ import annotations

from cds_service.config import Settings
from cds_service.inference.load import load_adapters, serving_engine
from cds_service.pipeline import Pipeline
from fhir_adapter import catalog
from fhir_adapter.site import read_site


def build_pipeline(settings: Settings) -> Pipeline:
    """Catalog and engine as set, ready to judge.

    Raises:
        ConfigError, CatalogError, EngineError: what is set can't be loaded.
    """
    engine, degraded = serving_engine(settings)
    adapters = load_adapters(settings, engine)
    site = read_site(settings.site) if settings.site else None
    return Pipeline(settings, catalog.load(), engine, degraded, site, adapters)
