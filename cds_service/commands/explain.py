"""`labcue explain`: the way of one bundle."""

from __future__ import annotations

import itertools
from typing import Literal

import orjson

from cds_service import bundles, explanation
from cds_service.build import build_pipeline
from cds_service.commands.common import complain
from cds_service.commands.explain_text import print_text
from cds_service.config import Settings
from cds_service.show import console
from fhir_adapter.errors import LabCueError

SHOWN, INCOMPLETE = 0, 3


def run(settings: Settings, path: str, form: Literal["text", "json"], language: str | None) -> int:
    """Shows the one bundle that ``path`` names; returns the exit status.

    Raises:
        ConfigError, CatalogError, EngineError: what is set doesn't hold.
    """
    found = list(itertools.islice(bundles.read_all([path], max_bytes=settings.max_bundle_bytes), 2))
    if not found:
        complain(f"{path}: There is no bundle.")
        return INCOMPLETE
    if len(found) > 1:
        complain(f"{path}: There are several bundles; name one as FILE:LINE.")
        return INCOMPLETE
    source = found[0]
    if source.data is None:
        complain(f"{path}: {source.fault}")
        return INCOMPLETE
    pipeline = build_pipeline(settings)
    try:
        shown = explanation.explain(pipeline, source.data, language)
    except LabCueError as error:
        complain(f"{source.name}: {error} [{error.code}]", error.violations)
        return INCOMPLETE
    if form == "json":
        print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        print_text(console(), shown)
    return SHOWN
