"""Full validation against FHIR R4B, by the models of ``fhir.resources``: slow (hundreds of microseconds per
Observation), so only on request. The library is imported at the first use."""

from __future__ import annotations

import gc
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from fhir_adapter.errors import InvalidResource, Violation

MAX_VIOLATIONS = 50
_SAID = {
    "missing": "A required element is missing.",
    "extra_forbidden": "FHIR defines no such element here.",
    "too_long": "There are too many of this element.",
    "too_short": "There are too few of this element.",
    "list_type": "Expected a list.",
    "enum": "Not one of the codes that FHIR allows.",
    "none_forbidden": "Expected a value, found null.",
}
_OTHER = "The value doesn't conform to the type that FHIR gives this element."
_ELEMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


def validate(data: bytes, resource_type: str) -> None:
    """Validates a Bundle, Observation or DiagnosticReport in full.

    Raises:
        InvalidResource: with a FHIRPath and a fixed sentence for each fault, never a value; at most 50 of them.
    """
    violations = _faults(data, resource_type)
    if violations:  # raised here, where no error of the models is left to be its context: see uncollected
        raise InvalidResource(violations=violations[:MAX_VIOLATIONS])


def _faults(data: bytes, resource_type: str) -> tuple[Violation, ...]:
    try:
        document = json.loads(data, object_pairs_hook=_once, parse_float=Decimal)
    except _Twice:
        return (Violation(resource_type, "An object has the same element twice."),)
    except (ValueError, RecursionError):
        return (Violation(resource_type, _OTHER),)
    with uncollected():
        from fhir.resources.R4B import get_fhir_model_class
        from pydantic import ValidationError

        try:
            get_fhir_model_class(resource_type).model_validate(document)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
        except (
            ValueError,
            TypeError,
            AssertionError,
            KeyError,
            AttributeError,
            LookupError,
            RecursionError,
            ImportError,
        ):
            # What the models raise outside pydantic's own errors (an unknown resourceType, say).
            return (Violation(resource_type, _OTHER),)
        else:
            return ()
    return tuple(dict.fromkeys(_violation(resource_type, fault) for fault in faults))


_ALONE = threading.Lock()


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection while the models validate; one thread at a time.

    A collection that meets the handler of a wrap validator counts the references of the model twice and frees what is
    still in use: the process dies later, anywhere (pydantic issue 13817, open with 2.14.3). A handler lives as long as its validation
    and as long as an error of it: let no such error leave the block.
    """
    with _ALONE:
        collecting = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collecting:
                gc.enable()


class _Twice(Exception):
    """An object has one key twice: readers differ in which of the two they take."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice
    return made


def _violation(resource_type: str, fault: Any) -> Violation:
    kind, location = str(fault["type"]), fault["loc"]
    if kind == "extra_forbidden":
        # The last step is the caller's own key: it could be anything.
        location = location[:-1]
    return Violation(_path(resource_type, location), _SAID.get(kind, _OTHER))


def _path(resource_type: str, location: tuple[int | str, ...]) -> str:
    """A FHIRPath from pydantic's location. Names of elements only: a key that is none is cut off, it could be anything."""
    path = resource_type
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _ELEMENT.match(step):
            path += f".{step}"
        else:
            break
    return path
