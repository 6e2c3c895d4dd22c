"""Reads and validates the catalog's TOML files: one per discipline, ``sources.toml`` for the citations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import rtoml

from fhir_adapter.catalog.build import Builder
from fhir_adapter.catalog.model import Catalog
from fhir_adapter.errors import CatalogError, Violation

NOT_ANALYTES = frozenset({"sources.toml", "answers.toml", "names.toml"})


@cache
def load() -> Catalog:
    """The shipped catalog, read once and cached.

    Raises:
        CatalogError: with one Violation per fault.
    """
    folder = resources.files("fhir_adapter.catalog")
    texts = {
        entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml")
    }
    return build(texts)


def build(texts: Mapping[str, str]) -> Catalog:
    """A catalog from the texts of its files, by file name.

    Raises:
        CatalogError: with one Violation per fault.
    """
    files: dict[str, dict[str, Any]] = {}
    for name, text in sorted(texts.items()):
        try:
            files[name] = rtoml.loads(text)  # ten times as fast as tomllib: a start waits for this
        except rtoml.TomlParsingError as error:
            raise CatalogError(violations=(Violation(name, str(error)),)) from error
    builder = Builder(files.get("sources.toml", {}))
    for name, content in files.items():
        if name not in NOT_ANALYTES:
            for key, entry in content.items():
                builder.add(name, key, entry)
    for language, content in files.get("names.toml", {}).items():
        builder.translate(f"names.toml:{language}", content)
    if builder.faults:
        raise CatalogError(violations=tuple(builder.faults))
    digest = hashlib.sha256("".join(texts[name] for name in sorted(texts)).encode()).hexdigest()
    return Catalog(
        version=digest[:12],
        analytes=MappingProxyType(builder.analytes),
        by_loinc=MappingProxyType(builder.by_loinc),
        by_name=MappingProxyType(builder.by_name),
    )
