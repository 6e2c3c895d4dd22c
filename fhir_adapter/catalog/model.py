"""What the catalog knows of an analyte. Numbers are in the analyte's canonical unit, ages in years."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fhir_adapter.catalog.choose import ADULT_AGE, choose_interval
from fhir_adapter.catalog.delta import DeltaLimit
from fhir_adapter.catalog.recognise import LOINC_SYSTEMS, NPU, by_name, by_reading, contradicts, fits, measured_in
from fhir_adapter.catalog.specimens import specimen_group, vessel
from fhir_adapter.model import Coding, Sex

Said = Literal["normal", "abnormal", "descriptive"]
"""What an answer in words says."""


@dataclass(frozen=True, slots=True)
class UsualInterval:
    """A usual interval for a group of people. ``sex`` None: both. Ages: ``age_min`` <= age < ``age_max``;
    ``pregnant`` True: only in pregnancy, ``trimester`` 1 to 3: only in that one. ``fasting`` True: for fasting samples, which
    serves where the state isn't known, too; False: for samples known to be none; None: it makes no difference."""

    low: float | None
    high: float | None
    source: str
    sex: Sex | None = None
    age_min: float = 0.0
    age_max: float = 200.0
    pregnant: bool = False
    trimester: int | None = None
    fasting: bool | None = None


@dataclass(frozen=True, slots=True)
class CriticalLimit:
    """Below ``low`` or above ``high``: the laboratory would phone."""

    low: float | None
    high: float | None
    source: str
    age_min: float = 0.0
    age_max: float = 200.0


@dataclass(frozen=True, slots=True)
class Linear:
    """A conversion that needs more than a unit: canonical = ``factor`` x number + ``offset`` (HbA1c % to mmol/mol)."""

    unit: str
    factor: float
    offset: float
    source: str


@dataclass(frozen=True, slots=True)
class Analyte:
    """One analyte in one specimen."""

    id: str
    names: Mapping[str, str]
    specimen: str
    loinc: tuple[str, ...]
    unit: str | None
    aliases: tuple[str, ...] = ()
    molar_mass: float | None = None
    """g/mol, only where converting between mass and substance is meaningful."""
    valence: int | None = None
    """Charge number, for mEq/L."""
    conversions: tuple[Linear, ...] = ()
    intervals: tuple[UsualInterval, ...] = ()
    critical: tuple[CriticalLimit, ...] = ()
    implausible_low: float | None = None
    implausible_high: float | None = None
    delta: tuple[DeltaLimit, ...] = ()
    """How far a result may move from the one before it; where there is none,
    :data:`fhir_adapter.catalog.delta.DEFAULT_PERCENT` counts."""
    abnormal_answers: frozenset[str] = field(default_factory=frozenset)
    """Answers that are findings, folded by :func:`fhir_adapter.folding.fold`; fold what you look up here."""
    normal_answers: frozenset[str] = field(default_factory=frozenset)
    """Folded likewise. Where neither set decides: :func:`fhir_adapter.catalog.answers.classify`."""
    neither_answers: frozenset[str] = field(default_factory=frozenset)
    """Folded likewise: answers that are neither normal nor findings by themselves ("few" bacteria in urine)."""
    when_present: Said = "abnormal"
    """What a positive answer says: immunity is normal where it is sought, a pregnancy neither."""
    when_absent: Said = "normal"
    """What a negative answer says."""
    qualitative_source: str | None = None
    unlisted_abnormal: bool = False
    """An answer that nothing else knows is a finding: a culture or a smear names what it found."""
    by_fasting: bool = False
    """Whether any interval depends on fasting."""
    descriptive: bool = False
    """Neither normal nor abnormal (specimen type, blood group): never judged, but by answers that it lists."""

    @property
    def judges_answers(self) -> bool:
        """Whether its answers have a meaning of their own."""
        listed = self.abnormal_answers or self.normal_answers or self.neither_answers
        return bool(listed) or self.when_present != "abnormal" or self.when_absent != "normal"

    def name(self, language: str = "en") -> str:
        """Display name; English where the language has none."""
        return self.names.get(language) or self.names["en"]

    def interval_for(
        self,
        *,
        sex: Sex | None,
        age_years: float | None,
        pregnant: bool | None,
        trimester: int | None = None,
        fasting: bool | None = None,
    ) -> UsualInterval | None:
        """The most specific usual interval that fits, or None. An unknown sex takes the interval for both, else the
        union (widest) of the two sexes'; an unknown age takes the adult one; pregnancy only where it is known, a trimester's own
        where that is, else the one of all trimesters. A sample not known to be fasting or not takes the fasting interval."""
        return choose_interval(
            self.intervals, sex=sex, age_years=age_years, pregnant=pregnant, trimester=trimester, fasting=fasting
        )

    def critical_for(self, *, age_years: float | None) -> CriticalLimit | None:
        """The critical limit for that age (adult where unknown), or None."""
        age = ADULT_AGE if age_years is None else age_years
        fitting = [limit for limit in self.critical if limit.age_min <= age < limit.age_max]
        return min(fitting, key=lambda limit: limit.age_max - limit.age_min, default=None)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All analytes, with what is needed to recognise them."""

    version: str
    analytes: Mapping[str, Analyte]
    by_loinc: Mapping[str, Analyte]
    by_name: Mapping[str, Analyte]

    def find(
        self, codings: tuple[Coding, ...], name: str | None, *, unit: str | None = None, specimen: str | None = None
    ) -> Analyte | None:
        """LOINC first; without a known one, the name (code.text, displays) against names and aliases, folded for case,
        accents and punctuation, and only where the specimen does not contradict. None if unknown.

        One exception, for laboratories that send the code of the count with a percentage (or the other way round), or of
        another test ("Hemoglobin" in g/dL under the code of carboxyhaemoglobin, a share): where the unit isn't the coded
        test's, the name decides, if it names an analyte in that unit.

        A code of LOINC's without its system counts last, and only with a unit of its analyte, or for a test that has none: the
        digits alone may be another system's.

        ``by_name`` also holds names that mean an analyte only in one specimen ("urine|glucose") or only in one kind
        of unit ("basophils@%"): see :mod:`fhir_adapter.catalog.recognise`.
        """
        coded = unnamed = None
        for coding in codings:
            if coding.code is not None and coding.system in LOINC_SYSTEMS:
                coded = self.by_loinc.get(coding.code)
                if coded is not None and fits(coded, unit) and not contradicts(coded, unit):
                    return coded
            elif coding.code is not None and not coding.system:
                bare = self.by_loinc.get(coding.code)
                if bare is None:
                    continue
                if not unit:
                    unnamed = unnamed or (bare if bare.unit is None else None)
                elif measured_in(bare, unit, specimen_group(specimen) or specimen_group(name)):
                    unnamed = bare
        group = specimen_group(specimen)
        texts = [coding.code for coding in codings if coding.code and NPU.match(coding.code)]
        texts += [text for text in (name, *(coding.display for coding in codings)) if text]
        for recognise in (by_name, by_reading) if coded is None else (by_name,):
            for text in texts:
                if (found := recognise(self.by_name, text, unit, group)) is not None:
                    if coded is None:
                        return self._drawn(found, specimen)
                    return found if fits(found, unit) and not contradicts(found, unit) else coded
        return coded or unnamed

    def _drawn(self, found: Analyte, specimen: str | None) -> Analyte:
        """A blood gas by the vessel that the specimen names: an arterial interval would call each venous pO2 low."""
        where = vessel(specimen)
        return found if where is None else self.analytes.get(f"{found.id}-{where}", found)
