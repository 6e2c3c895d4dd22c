"""The analyte catalog: reviewed data (one TOML per discipline in this folder) behind frozen dataclasses.

``load()`` reads and validates it once; ``Catalog.find`` recognises a result by LOINC, then by name.
"""

from __future__ import annotations

from fhir_adapter.catalog.loader import load
from fhir_adapter.catalog.model import Analyte, Catalog, CriticalLimit, UsualInterval

__all__ = ["Analyte", "Catalog", "CriticalLimit", "UsualInterval", "load"]
