"""Elements that laboratories send word for word again and again, decoded and understood once: which test it is, its intervals,
its category, the flag.

What is kept from one input to the next is what a laboratory says of its tests, never a value, a time or a reference to a
patient; there is room for the newest few thousand, and what is unusually long isn't kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from fhir_adapter import elements, flags, wire
from fhir_adapter.model import Coding, ReferenceRange

T = TypeVar("T")
ROOM = 4096
LONGEST = 1024
"""Bytes of an element that is kept."""


class Code(NamedTuple):
    """Which test: its codings, a name where one is sent, and the LOINC codes among the codings."""

    codings: tuple[Coding, ...] = ()
    name: str | None = None
    loinc: frozenset[str] = frozenset()


class Misread(Exception):
    """An element has another form than FHIR's; ``fault`` is the decoder's, ``element`` where it stands."""

    def __init__(self, element: str, fault: Exception) -> None:
        super().__init__(element)
        self.element, self.fault = element, fault


class Told(NamedTuple):
    """What an Observation or a component says beside its value. ``category`` is as :func:`elements.categories` gives it."""

    code: Code
    ranges: tuple[ReferenceRange, ...] | elements.Fault
    interpretation: tuple[str, ...]
    category: tuple[tuple[str, ...], bool]


def told(sent: wire.Judged) -> Told:
    """The repeated elements of one Observation or component: most come together as they came before. Raises Misread."""
    category = sent.category if isinstance(sent, wire.Observation) else wire.EMPTY
    parts = bytes(sent.code), bytes(sent.referenceRange), bytes(sent.interpretation), bytes(category)
    return _together(*parts) if max(map(len, parts)) <= LONGEST else _one_by_one(*parts)


_NO_CODE = Code()


def _one_by_one(code: bytes, ranges: bytes, interpretation: bytes, category: bytes) -> Told:
    return Told(
        _read(_code, code, ".code") if code else _NO_CODE,
        _read(_ranges, ranges, ".referenceRange") if ranges else (),
        _read(_interpretation, interpretation, ".interpretation") if interpretation else (),
        _read(_category, category, ".category") if category else ((), False),
    )


_together = lru_cache(ROOM)(_one_by_one)


def _read(understand: Callable[[bytes], T], sent: bytes, element: str) -> T:
    try:
        return understand(sent)
    except wire.FAULTS as fault:
        raise Misread(element, fault) from None


def _kept(understand: Callable[[bytes], T]) -> Callable[[bytes], T]:
    """Remembers what short elements mean."""
    remembered = lru_cache(ROOM)(understand)
    return lambda sent: remembered(sent) if len(sent) <= LONGEST else understand(sent)


@_kept
def _code(sent: bytes) -> Code:
    concept = wire.concept(sent)
    codings = elements.codings(concept)
    name = concept.text if concept is not None else None
    if not name and codings:
        name = elements.words(concept)
    loinc = frozenset(coding.code for coding in codings if coding.code and coding.system == "http://loinc.org")
    return Code(codings, name or None, loinc)


@_kept
def _ranges(sent: bytes) -> tuple[ReferenceRange, ...] | elements.Fault:
    found = wire.ranges(sent) or []
    try:
        return elements.ranges(found if isinstance(found, list) else [found])
    except elements.Fault as fault:
        return elements.Fault(fault.code, fault.element)  # without the frames that it came from


@_kept
def _interpretation(sent: bytes) -> tuple[str, ...]:
    return flags.interpretations(wire.concepts(sent))


@_kept
def _category(sent: bytes) -> tuple[tuple[str, ...], bool]:
    return elements.categories(wire.concepts(sent))
