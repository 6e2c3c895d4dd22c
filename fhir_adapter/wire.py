"""The elements of FHIR that matter here, as typed msgspec structs: R4, R4B and R5 alike.

What isn't named here is skipped without being built. Numbers stay raw, so that the laboratory's own digits
survive ("4.10") and a number out of range can be told from a wrong type. ``component`` and ``contained`` stay raw so
that a fault in one of them leaves the rest readable.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct, field

EMPTY = Raw()
NULL = (b"", b"null")


class Coding(Struct, gc=False):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(Struct, gc=False):
    coding: list[Coding] | None = None
    text: str | None = None


Concepts = list[CodeableConcept] | CodeableConcept | None
"""A list, or the single object that DSTU2 and STU3 had in its place."""


class Quantity(Struct, gc=False):
    value: Raw = EMPTY
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Range(Struct, gc=False):
    low: Quantity | None = None
    high: Quantity | None = None


class Ratio(Struct, gc=False):
    numerator: Quantity | None = None
    denominator: Quantity | None = None


class Identifier(Struct, gc=False):
    system: str | None = None
    value: str | None = None


class Reference(Struct, gc=False):
    reference: str | None = None
    type: str | None = None
    identifier: Identifier | None = None
    display: str | None = None


class Annotation(Struct, gc=False):
    text: str | None = None


class Period(Struct, gc=False):
    start: str | None = None
    end: str | None = None


class Timing(Struct, gc=False):
    event: list[str | None] | None = None


class Meta(Struct, gc=False):
    versionId: str | None = None
    lastUpdated: str | None = None


class RangeElement(Struct, gc=False):
    """``Observation.referenceRange``; ``normalValue`` is R5's, ``meaning`` DSTU2's."""

    low: Quantity | None = None
    high: Quantity | None = None
    text: str | None = None
    type: CodeableConcept | None = None
    meaning: CodeableConcept | None = None
    appliesTo: Concepts = None
    age: Range | None = None
    normalValue: CodeableConcept | None = None
    modifierExtension: Raw = EMPTY


class Judged(Struct, gc=False, kw_only=True):
    """What Observation and Observation.component share. What laboratories repeat stays raw: see
    :mod:`fhir_adapter.repeated`."""

    code: Raw = EMPTY
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueString: str | None = None
    valueInteger: Raw = EMPTY
    valueBoolean: bool | None = None
    valueRatio: Ratio | None = None
    valueRange: Range | None = None
    valueSampledData: Raw = EMPTY
    valueTime: Raw = EMPTY
    valueDateTime: Raw = EMPTY
    valuePeriod: Raw = EMPTY
    valueAttachment: Raw = EMPTY
    valueReference: Raw = EMPTY
    valueDecimal: Raw = EMPTY
    valueCode: Raw = EMPTY
    valueCoding: Raw = EMPTY
    valueDate: Raw = EMPTY
    valueInstant: Raw = EMPTY
    dataAbsentReason: CodeableConcept | None = None
    interpretation: Raw = EMPTY
    referenceRange: Raw = EMPTY
    modifierExtension: Raw = EMPTY


class Component(Judged, gc=False, kw_only=True):
    pass


class Observation(Judged, gc=False, kw_only=True):
    resourceType: str | None = None
    id: str | None = None
    meta: Meta | None = None
    implicitRules: Raw = EMPTY
    contained: list[Raw] | None = None
    status: str | None = None
    category: Raw = EMPTY
    subject: Reference | None = None
    focus: list[Reference] | None = None
    effectiveDateTime: str | None = None
    effectiveInstant: str | None = None
    effectivePeriod: Period | None = None
    effectiveTiming: Timing | None = None
    issued: str | None = None
    note: list[Annotation] | None = None
    comments: str | None = None
    comment: str | None = None
    method: CodeableConcept | None = None
    specimen: Reference | None = None
    hasMember: list[Reference] | None = None
    component: list[Raw] | None = None


class Patient(Struct, gc=False):
    id: str | None = None
    identifier: list[Identifier] | None = None
    gender: str | None = None
    birthDate: str | None = None
    birthDateMore: Raw = field(default=EMPTY, name="_birthDate")
    """Read only where a newborn's hour of birth is looked for."""
    modifierExtension: Raw = EMPTY


class Extension(Struct, gc=False):
    url: str | None = None
    valueDateTime: str | None = None


class Extended(Struct, gc=False):
    extension: list[Extension] | None = None


class Condition(Struct, gc=False):
    code: CodeableConcept | None = None
    clinicalStatus: CodeableConcept | str | None = None
    verificationStatus: CodeableConcept | str | None = None
    abatementDateTime: str | None = None
    onsetDateTime: str | None = None
    subject: Reference | None = None


class Collection(Struct, gc=False):
    fastingStatusCodeableConcept: CodeableConcept | None = None
    fastingStatusDuration: Quantity | None = None


class Specimen(Struct, gc=False):
    type: CodeableConcept | None = None
    collection: Collection | None = None


class Header(Struct, gc=False):
    """What every resource tells of itself."""

    resourceType: str | None = None
    id: str | None = None
    contained: list[Raw] | None = None


class TypeOnly(Struct, gc=False):
    """The header where something else in it can't be read."""

    resourceType: str | None = None


class IdOnly(Struct, gc=False):
    id: str | None = None


class ComponentOnly(Struct, gc=False):
    component: list[Raw] | None = None


class ContainedOnly(Struct, gc=False):
    contained: list[Raw] | None = None


class Search(Struct, gc=False):
    mode: str | None = None


class Entry(Struct, gc=False):
    fullUrl: str | None = None
    resource: Raw = EMPTY
    search: Search | None = None
    modifierExtension: Raw = EMPTY


class Bundle(Struct, gc=False):
    resourceType: str | None = None
    type: str | None = None
    entry: list[Entry] | None = None
    implicitRules: Raw = EMPTY


class LooseBundle(Struct, gc=False):
    """A Bundle one of whose entries can't be read as an Entry."""

    entry: list[Raw] | None = None
    implicitRules: Raw = EMPTY


class LooseEntry(Struct, gc=False):
    """An entry whose other elements can't be read."""

    resource: Raw = EMPTY


header = msgspec.json.Decoder(Header).decode
type_only = msgspec.json.Decoder(TypeOnly).decode
id_only = msgspec.json.Decoder(IdOnly).decode
component_only = msgspec.json.Decoder(ComponentOnly).decode
contained_only = msgspec.json.Decoder(ContainedOnly).decode
observation = msgspec.json.Decoder(Observation).decode
component = msgspec.json.Decoder(Component).decode
concept = msgspec.json.Decoder(CodeableConcept | None).decode
concepts = msgspec.json.Decoder(Concepts).decode
ranges = msgspec.json.Decoder(list[RangeElement] | RangeElement | None).decode
patient = msgspec.json.Decoder(Patient).decode
extended = msgspec.json.Decoder(Extended).decode
condition = msgspec.json.Decoder(Condition).decode
specimen = msgspec.json.Decoder(Specimen).decode
bundle = msgspec.json.Decoder(Bundle).decode
loose_bundle = msgspec.json.Decoder(LooseBundle).decode
entry = msgspec.json.Decoder(Entry).decode
loose_entry = msgspec.json.Decoder(LooseEntry).decode

FAULTS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder can raise on input that is wrong."""


def present(raw: Raw) -> bool:
    """Whether an element was sent (null counts as not sent)."""
    return bytes(raw) not in NULL


def filled(raw: Raw) -> bool:
    """Whether an element that must not be ignored was sent (null and an empty list count as not sent)."""
    return raw is not EMPTY and bytes(raw) not in NULL and bytes(raw)[1:-1].strip() != b""
