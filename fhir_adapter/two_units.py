"""A Quantity has two places for its unit: the code to reckon with and the words to show. Where they say different things ("mmol/mol"
beside the code "%"), neither is trusted unless the test or the laboratory's interval tells which is meant."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec.structs import replace

from fhir_adapter import units
from fhir_adapter.catalog import Analyte
from fhir_adapter.interval_text import Bounds
from fhir_adapter.model import Measured
from fhir_adapter.scale import same_unit, scale_into


def settled(measured: Measured, own: Sequence[Bounds], analyte: Analyte | None) -> str | None:
    """The unit that a number is in; one that converts to no other where nothing tells."""
    code, shown = measured.unit, measured.shown_unit
    if not code or not shown or code == shown or _agree(code, shown):
        return code
    by_code, by_words = scale_into(code, analyte), scale_into(shown, analyte)
    if by_code is not None and by_words is not None and all(map(math.isclose, by_code, by_words)):
        return code
    if (by_code is None) != (by_words is None):
        return code if by_words is None else shown
    for bound in own:
        if bound.unit and not _alike(bound, measured):
            for unit in (code, shown):
                if same_unit(bound.unit, unit):
                    return unit
    return f"{shown} | {code}"


def beside(bound: Bounds, measured: Measured, unit: str | None) -> Bounds:
    """An interval that came with the same two units as its value, or only with the same words: it is in the value's, whichever that
    is."""
    words = measured.shown_unit is not None and bound.unit == measured.shown_unit
    return replace(bound, unit=unit) if words or _alike(bound, measured) else bound


def _alike(bound: Bounds, measured: Measured) -> bool:
    return bound.shown is not None and bound.unit == measured.unit and bound.shown == measured.shown_unit


def _agree(code: str, shown: str) -> bool:
    """Whether the words are unknown, which happens ("millimole per litre"), or mean the same."""
    one, other = units.normalize_unit(code), units.normalize_unit(shown)
    if one is None or other is None or one == other:
        return True
    factor = units.factor(one, other)
    return factor is not None and math.isclose(factor, 1.0)
