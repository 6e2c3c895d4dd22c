"""What the service says of a panel, before it becomes cards or protobuf.

Words are kept as a message key plus parameters (``Said``) until the language is known; the texts stand in
``cds_service/words``. Records are msgspec Structs, as in :mod:`fhir_adapter.model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from fhir_adapter.catalog.answers import as_expected, meaning_of
from fhir_adapter.model import Interval, IntervalSource, Measured, NotAssessed, PanelResult, Span

Code = Literal["N", "L", "H", "LL", "HH", "A", "AA"]
"""HL7 v3 ObservationInterpretation."""
FlagSource = Literal["rule", "model", "both"]
Indicator = Literal["info", "warning", "critical"]
BasisKind = Literal[
    "interval",
    "critical",
    "context",
    "qualitative",
    "interpretation",
    "disagreement",
    "delta",
    "trend",
    "taint",
    "preliminary",
    "pattern",
    "model",
]


FlagsListed = Literal["all", "abnormal"]
"""Which flags an answer lists; those of normal results are counted where they aren't."""
Ground = Literal["lab", "site", "usual", "none", "bound", "words", "unread"]
"""What a model's judgement of a result leans on: a number with the laboratory's own interval, the site's, a usual one or none; a bound ("> 2000") or a
range; an answer in words that are known to be normal or abnormal somewhere; or words that nobody knows."""


class Thresholds(Struct, frozen=True):
    """P(abnormal) at and above which the model flags. A usual interval tells less than a site's own, so each ground may have its own
    threshold; ``default`` serves the others. None: on that ground the model is no better than a guess and has no say. ``inside``: the
    least for a number that lies inside its interval: to call that abnormal takes more than to leave a flag that the rule gives, too."""

    default: float = 0.5
    by_ground: Mapping[str, float | None] = field(default_factory=dict)
    inside: float | None = None

    def of(self, placed: PanelResult) -> float | None:
        """The threshold for one result; None where the model has no say."""
        own = self.by_ground.get(ground_of(placed), self.default)
        return own if own is None or self.inside is None or not placed.inside else max(own, self.inside)

    def at(self, threshold: float) -> Thresholds:
        """One threshold for every ground and side, but for grounds on which the model has no say."""
        return Thresholds(threshold, {ground: None for ground, own in self.by_ground.items() if own is None})


def ground_of(placed: PanelResult) -> Ground:
    """What the model leans on for this result."""
    value = placed.result.value
    if not isinstance(value, Measured):
        return "words" if meaning_of(placed) is not None or as_expected(placed) else "unread"
    if placed.interval is None:
        return "none"
    return "bound" if isinstance(value, Span) or value.comparator is not None else placed.interval.source


class Said(Struct, frozen=True):
    """A message key of ``cds_service/words`` and its parameters."""

    key: str
    params: Mapping[str, str] = field(default_factory=dict)


class Basis(Struct, frozen=True):
    """One thing a flag rests on. ``interval`` is as printed ("3.5-5.1 mmol/L")."""

    kind: BasisKind
    said: Said
    interval: str | None = None
    interval_source: IntervalSource | None = None
    citation: str | None = None


def unjudged(placed: PanelResult, code: str) -> NotAssessed:
    """A result of the panel that can't be judged, and why."""
    result = placed.result
    return NotAssessed(result.path, code, result.observation, result.codings, placed.display, placed.analyte)


class Finding(Struct, frozen=True):
    """What the rules say of ``panel.results[index]``.

    ``code`` None means that the rules can't judge it: ``not_assessed`` then says why (the model may
    still). ``floor`` means that the model can't clear it: outside the laboratory's own interval, past a
    critical limit, or called abnormal by the laboratory.
    """

    index: int
    code: Code | None
    basis: tuple[Basis, ...] = ()
    floor: bool = False
    not_assessed: NotAssessed | None = None

    @property
    def abnormal(self) -> bool:
        return self.code is not None and self.code != "N"

    @property
    def critical(self) -> bool:
        return self.code in ("LL", "HH", "AA")


class Derived(Struct, frozen=True):
    """A value computed from several results that were taken together.

    ``value`` is in ``unit`` (the formula's own); ``text`` and ``shown_unit`` are how to print it: in the unit in which the
    laboratory reported what it comes from. ``code`` is its place in ``interval`` (as printed), None where there is none.
    ``flagged``: outside an interval that a clinician would want to see. ``reported`` is the laboratory's own result of the
    same quantity, from which ``value`` differs materially; where the two agree, nothing is derived.
    """

    id: str
    value: float
    unit: str
    text: str
    shown_unit: str
    inputs: tuple[PanelResult, ...]
    citation: str
    code: Literal["N", "L", "H"] | None = None
    interval: str | None = None
    interval_citation: str | None = None
    flagged: bool = False
    reported: PanelResult | None = None


class Evidence(Struct, frozen=True):
    """One thing that speaks for or against a pattern: a result (``index``), a derived value, or a sentence."""

    index: int | None = None
    derived: Derived | None = None
    said: Said | None = None


class Pattern(Struct, frozen=True):
    """Several results that mean more together. ``indices`` point into ``panel.results``: what it rests on, the leading
    one first. ``speaks_for`` and ``speaks_against`` are what else the panel says of it."""

    id: str
    title: Said
    said: Said
    severity: Indicator
    indices: tuple[int, ...]
    citation: str
    speaks_for: tuple[Evidence, ...] = ()
    speaks_against: tuple[Evidence, ...] = ()


class Findings(Struct, frozen=True):
    """One Finding per panel result, in order, the patterns, and what was computed."""

    results: tuple[Finding, ...]
    patterns: tuple[Pattern, ...] = ()
    derived: tuple[Derived, ...] = ()


class ModelInfo(Struct, frozen=True):
    """Which model answered."""

    name: str
    version: str
    adapter: str | None = None
    prompt_version: str = ""


class Flag(Struct, frozen=True):
    """The verdict on one result."""

    subject: PanelResult
    code: Code
    source: FlagSource
    basis: tuple[Basis, ...]
    probability: float | None = None

    @property
    def abnormal(self) -> bool:
        return self.code != "N"

    @property
    def critical(self) -> bool:
        return self.code in ("LL", "HH", "AA")

    @property
    def interval(self) -> Interval | None:
        return self.subject.interval


class Verdict(Struct, frozen=True):
    """All that is said of one panel: flags in input order, what was not assessed, patterns, derived values.
    ``flags`` indices differ from ``panel.results`` where results were not assessed; ``Pattern.indices`` and
    ``Evidence.index`` are rewritten to point into ``flags``. ``degraded`` is the reason why the model did not take part."""

    flags: tuple[Flag, ...]
    not_assessed: tuple[NotAssessed, ...]
    patterns: tuple[Pattern, ...] = ()
    degraded: str | None = None
    model: ModelInfo | None = None
    derived: tuple[Derived, ...] = ()

    def listed(self, which: FlagsListed) -> tuple[Flag, ...]:
        """The flags that an answer lists; all others are of normal results."""
        return self.flags if which == "all" else tuple(flag for flag in self.flags if flag.abnormal)


class Link(Struct, frozen=True):
    label: str
    url: str
    type: Literal["absolute", "smart"] = "absolute"


class Action(Struct, frozen=True):
    """A FHIR action that a clinician must accept. ``resource`` is FHIR R4 JSON."""

    type: Literal["create", "update", "delete"]
    description: str
    resource: Mapping[str, object] | None = None


class Suggestion(Struct, frozen=True):
    label: str
    uuid: str
    actions: tuple[Action, ...] = ()
    is_recommended: bool = False


class OverrideReason(Struct, frozen=True):
    code: str
    display: str
    system: str


class Card(Struct, frozen=True):
    """A CDS Hooks card. ``flags`` are indices into ``Verdict.flags``: what the card is about."""

    uuid: str
    summary: str
    detail: str
    indicator: Indicator
    source_label: str
    source_url: str | None = None
    suggestions: tuple[Suggestion, ...] = ()
    override_reasons: tuple[OverrideReason, ...] = ()
    links: tuple[Link, ...] = ()
    flags: tuple[int, ...] = ()
    pattern: str | None = None
    derived: tuple[Derived, ...] = ()
    """The computed values that it shows."""
    informs: tuple[Pattern, ...] = ()
    """The patterns that only inform, told here since their leading result is."""
    gathers: tuple[str, ...] = ()
    """The uuids of the cards that this one gathers."""


class Held(Struct, frozen=True):
    """A card that doesn't go out, and the uuid of the one that tells it ``instead``: an earlier one, or one that gathers."""

    card: Card
    reason: Literal["repeated", "gathered"]
    instead: str
