"""The domain: what a laboratory result is, once it has left FHIR.

Everything here is frozen, typed and free of FHIR's JSON shapes. The reader (``fhir_adapter.read``)
makes an :class:`Intake`; ``fhir_adapter.normalize`` turns that into a :class:`Panel`. Numbers are
kept in the unit that the laboratory reported; ``PanelResult.canonical`` holds the same number in
the analyte's canonical unit where the conversion is known, never guessed.

Records are msgspec Structs rather than frozen dataclasses: the same to read, and made in a tenth of the time, of which
hundreds are needed for a panel. ``msgspec.structs.replace`` makes an altered copy.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from fhir_adapter.catalog import Analyte
    from fhir_adapter.catalog.delta import DeltaLimit

Comparator = Literal["<", "<=", ">", ">="]
Sex = Literal["female", "male"]
About = Literal[
    "non-pregnant",
    "all-trimesters",
    "trimester-unknown",
    "trimester-1",
    "trimester-2",
    "trimester-3",
    "fasting-unknown",
    "not-fasting",
    "fasting-limit",
]
"""For whom or for which sample an interval holds, where that bears on the judgement: see the texts ``about-...`` of the cards."""
IntervalSource = Literal["lab", "site", "usual"]
"""Where an interval comes from: the laboratory that sent the result, the site's own table, the
catalog's usual one."""


class Coding(Struct, frozen=True):
    """A FHIR Coding: ``system`` URI, ``code`` and ``display``; any may be missing."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class Quantity(Struct, frozen=True):
    """A number with its unit as the laboratory wrote it.

    ``unit`` is what to convert by (the UCUM ``code`` where the system says UCUM, else the human
    ``unit``), ``shown_unit`` what to print. ``text`` is the number as sent ("4.10"), so that a
    card repeats the laboratory's own digits.
    """

    number: float
    unit: str | None = None
    comparator: Comparator | None = None
    text: str = ""
    shown_unit: str | None = None
    from_text: bool = False
    """True where the number stood in a string (valueString), which has no place for a unit of its own."""


class Span(Struct, frozen=True):
    """A value that is itself a range ("11-20", valueRange): the truth lies between the two.
    ``None`` on one side means open."""

    low: float | None
    high: float | None
    unit: str | None = None
    text: str = ""
    shown_unit: str | None = None
    from_text: bool = False


class Titre(Struct, frozen=True):
    """A dilution ("1:160", valueRatio): ``numerator``:``denominator``."""

    numerator: float
    denominator: float
    text: str = ""


class Answer(Struct, frozen=True):
    """A result in words or codes ("1+", "TRACE", "Detected"): ``text`` as sent, plus codings."""

    text: str
    codings: tuple[Coding, ...] = ()


Measured = Quantity | Span
"""Values that are numbers."""
Value = Measured | Titre | Answer


class ReferenceRange(Struct, frozen=True):
    """One ``Observation.referenceRange`` as sent. Ages are in years. ``type_codes`` are the codes of
    ``type`` ("normal", "critical", "treatment", ...), ``applies_to`` the codings of ``appliesTo``."""

    low: Quantity | None = None
    high: Quantity | None = None
    text: str | None = None
    type_codes: tuple[str, ...] = ()
    applies_to: tuple[Coding, ...] = ()
    age_low: float | None = None
    age_high: float | None = None


class Result(Struct, frozen=True):
    """One Observation, or one component of one, that carries a value to be judged.

    ``path`` is its FHIRPath in the input ("Bundle.entry[3].resource.component[0]");
    ``observation`` the reference an EHR knows it by ("Observation/<id>", else the entry's fullUrl,
    else the path). ``interpretation`` holds the laboratory's own codes (HL7 v3
    ObservationInterpretation or v2-0078, upper case).
    """

    path: str
    observation: str
    codings: tuple[Coding, ...]
    name: str | None
    value: Value
    status: str = "final"
    subject: str | None = None
    effective: datetime | None = None
    issued: datetime | None = None
    ranges: tuple[ReferenceRange, ...] = ()
    interpretation: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    specimen: str | None = None
    method: str | None = None
    comments: tuple[str, ...] = ()
    fasted: bool | None = None
    """As the specimen or a fasting status says; see :mod:`fhir_adapter.fasting`."""

    @property
    def loinc(self) -> str | None:
        """The first LOINC code of ``codings``, or None."""
        for coding in self.codings:
            if coding.system == "http://loinc.org" and coding.code:
                return coding.code
        return None


class NotAssessed(Struct, frozen=True):
    """What came in and was not judged, and why. ``code`` is one of
    :data:`fhir_adapter.errors.NOT_ASSESSED_CODES`; ``reason`` is a fixed sentence that never
    repeats a value of the patient's. What it is called is kept as of a Result."""

    path: str
    code: str
    observation: str | None = None
    codings: tuple[Coding, ...] = ()
    name: str | None = None
    analyte: Analyte | None = None
    absent: str | None = None
    """Why the laboratory says that there is no value: a code of data-absent-reason, or its own words."""

    def called(self, language: str = "en") -> str:
        """The catalog's name, else the one sent, else what a coding says; nothing where it has none."""
        if self.analyte is not None:
            return self.analyte.name(language)
        return self.name or next((said for one in self.codings if (said := one.display or one.code)), "")


class Patient(Struct, frozen=True):
    """Who the results are about. ``reference`` is used to hold results apart, never printed."""

    reference: str | None = None
    sex: Sex | None = None
    birth_date: date | None = None
    pregnant: bool | None = None
    height_cm: float | None = None
    """The newest body height of the bundle."""
    birth_time: datetime | None = None
    """With the hour, where the Patient says it (extension patient-birthTime): newborns are judged by the hour."""
    pregnant_since: date | None = None
    """The first day of week zero, where the bundle dates the pregnancy."""


class Intake(Struct, frozen=True):
    """What was read: results to judge, in input order, and what can't be judged."""

    patient: Patient
    results: tuple[Result, ...]
    not_assessed: tuple[NotAssessed, ...]
    observations: int
    """How many Observations (groups included) and components came in; every one of them ends in one flag
    or one not-assessed entry. Exact repeats are counted once."""
    resource_type: str = "Bundle"


class Interval(Struct, frozen=True):
    """A reference interval in the unit of the result it is used for.

    ``text`` is how to print it ("3.5-5.1", "< 200"); ``citation`` names where a usual interval
    comes from. A missing side is open.
    """

    low: float | None
    high: float | None
    unit: str | None
    source: IntervalSource
    low_inclusive: bool = True
    high_inclusive: bool = True
    text: str = ""
    citation: str | None = None
    about: tuple[About, ...] = ()


class Prior(Struct, frozen=True):
    """An earlier result of the same analyte in the same unit as the newer one. ``alike`` False: another specimen or method was
    named, so that the two show a trend, yet a step between them says nothing of the patient."""

    observation: str
    number: float
    effective: datetime
    alike: bool = True


class PanelResult(Struct, frozen=True):
    """A result with all that is needed to judge it.

    ``number`` is the value in the reported unit (None for words); ``interval`` and ``critical``
    are in that same unit. ``position`` is the signed position of the value in its interval: -1 at the low
    limit, +1 at the high one, 0 in the middle, beyond ±1 outside (one-sided intervals: +1 at a lone
    high limit and 0 at zero; -1 at a lone low limit and 0 at twice it). ``expected`` holds the answers that the
    laboratory's interval text calls normal ("negative"), lower case. ``problem`` says why no number could be compared
    (a NotAssessed code) where there is one; a result with a problem and no other evidence is not assessed.
    """

    result: Result
    analyte: Analyte | None = None
    display: str = ""
    number: float | None = None
    unit: str | None = None
    canonical: float | None = None
    interval: Interval | None = None
    critical: Interval | None = None
    position: float | None = None
    expected: tuple[str, ...] = ()
    implausible: bool = False
    age_years: float | None = None
    priors: tuple[Prior, ...] = ()
    """Newest first; only results of the same analyte, comparable unit and earlier time."""
    newest: bool = True
    """False where a newer result of the same analyte stands in the same panel."""
    problem: str | None = None
    delta: tuple[DeltaLimit, ...] = ()
    """The site's own delta limits, in place of the catalog's."""

    @property
    def inside(self) -> bool:
        """Whether the number lies in its interval, on a limit that belongs to it included."""
        number, interval = self.number, self.interval
        if number is None or interval is None or (interval.low is None and interval.high is None):
            return False
        above = interval.low is None or number > interval.low or (number == interval.low and interval.low_inclusive)
        under = interval.high is None or number < interval.high or (number == interval.high and interval.high_inclusive)
        return above and under

    @property
    def series(self) -> str | None:
        """What makes two results the same test: the analyte, else the LOINC code, else the name."""
        if self.analyte is not None:
            return self.analyte.id
        return self.result.loinc or (self.result.name.casefold() if self.result.name else None)


class Panel(Struct, frozen=True):
    """All results of one patient that came together, in input order."""

    patient: Patient
    results: tuple[PanelResult, ...]
    not_assessed: tuple[NotAssessed, ...]
    observations: int
