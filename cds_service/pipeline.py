"""The way of one request, top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from cds_service import cards, policy
from cds_service.clinical.assess import assess
from cds_service.config import Settings
from cds_service.domain import Card, Held, Thresholds, Verdict
from cds_service.garbage import let_go_of_what_was_replaced
from cds_service.inference.engine import Engine, SlotScores
from cds_service.inference.engines import Change, Engines
from cds_service.inference.panel import PanelScores, score_panel
from cds_service.notes.write import NO_NOTE, Note, note_for, writer_of
from fhir_adapter.catalog import Catalog
from fhir_adapter.errors import Cancelled, DeadlineTooShort, EngineError, LabCueError
from fhir_adapter.model import Intake, Panel
from fhir_adapter.normalize import normalize
from fhir_adapter.prompt import Prompt, chunks
from fhir_adapter.read import Limits, read
from fhir_adapter.site import Site

log = logging.getLogger(__name__)

KEPT_RESULTS = 40
"""Most results in a prompt that is kept where there is no model to say how many it takes."""
STEPS = ("read", "normalize", "assess", "score", "decide", "note", "compose")


class Observe(Protocol):
    """Opens a span around a step; telemetry passes one in."""

    def __call__(self, step: str) -> AbstractContextManager[object]: ...


@dataclass(frozen=True, slots=True)
class Work:
    """What a caller brings along: its deadline (``time.monotonic``), whether it is gone, who watches the steps, which results, by
    FHIRPath, the cards are about (the others are their background), and which adapter it wants (None: the one of the settings)."""

    deadline: float | None = None
    cancelled: Callable[[], bool] = lambda: False
    observe: Observe = lambda step: nullcontext()
    news: Callable[[str], bool] | None = None
    adapter: str | None = None
    away: Callable[[], AbstractContextManager[object]] = nullcontext
    """Held while the evaluation only waits for the model: others may compute meanwhile."""

    def check(self) -> None:
        """Raises Cancelled or DeadlineTooShort where going on is useless."""
        if self.cancelled():
            raise Cancelled
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise DeadlineTooShort

    def model_deadline(self, reserve_s: float) -> float | None:
        """Until when the model may take: ``reserve_s`` before the deadline, so that the rules can still answer; of a short time
        left at most half is kept back."""
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        return self.deadline - min(reserve_s, left / 2)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer to one bundle. ``timings`` maps each of STEPS and "total" to milliseconds. ``prompts``: in how many the model
    saw the panel, 0 where it took no part; with more than one it didn't see all results together."""

    verdict: Verdict
    cards: tuple[Card, ...]
    language: str
    observations: int
    catalog_version: str
    patient: str | None = None
    """The reference of the patient, where the input names one: never to be printed or stored as it is."""
    timings: Mapping[str, float] = field(default_factory=dict)
    prompts: int = 0
    note: Note = NO_NOTE
    panel: Panel | None = None
    """What was judged."""
    kept_prompts: tuple[Prompt, ...] = ()
    """What the model was, or would have been, shown; with ``keep_prompts`` only."""
    held_back: tuple[Held, ...] = ()
    """Cards that don't go out; the flags of all of them do."""
    audit_id: str = ""
    """Under which the answer is remembered; empty where it isn't."""


@dataclass(frozen=True, slots=True)
class Trace:
    """An Evaluation with everything between, for `labcue explain`."""

    intake: Intake
    panel: Panel
    prompt: str | None
    """What the model was shown; None where it gave no scores."""
    scores: tuple[SlotScores, ...] | None
    thresholds: Thresholds
    """P(abnormal) at and above which the model flags, by ground."""
    evaluation: Evaluation


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Settings, catalog and engine, ready to judge. Safe to use from several threads.

    ``degraded`` is why there is no engine although one is wanted; None with ``engine=none``.
    """

    settings: Settings
    catalog: Catalog
    engine: Engine | None = None
    degraded: str | None = None
    site: Site | None = None
    adapters: Engines = field(default_factory=Engines)

    @property
    def healthy(self) -> bool:
        """False where the model died or hangs: rules still answer, but another replica may do better."""
        return bool(getattr(self.engine, "healthy", True))

    def close(self) -> None:
        """Ends the model's thread, where there is one. Nothing can be evaluated afterwards."""
        close = getattr(self.engine, "close", None)
        if close is not None:
            close()

    def reload(self) -> list[Change]:
        """Reads the adapters' folders again; requests go on meanwhile."""
        changes = self.adapters.reload()
        if any(change.outcome == "loaded" for change in changes):
            let_go_of_what_was_replaced()
        return changes

    @property
    def knowledge(self) -> str:
        """The version of the catalog and, where a site's file is in force, its name and version: an answer names both."""
        return self.catalog.version if self.site is None else f"{self.catalog.version} + {self.site.label}"

    def evaluate(self, bundle: bytes, *, language: str | None = None, work: Work | None = None) -> Evaluation:
        """Judges one bundle.

        Raises:
            InvalidInput: the bundle can't be read, or there is no such adapter.
            DeadlineTooShort, Cancelled: from ``work``.
        """
        return self.trace(bundle, language=language, work=work).evaluation

    def trace(self, bundle: bytes, *, language: str | None = None, work: Work | None = None) -> Trace:
        """As :meth:`evaluate`, keeping what lies between."""
        clock = _Clock(work or Work())
        limits = Limits(
            max_bytes=self.settings.max_bundle_bytes,
            max_observations=self.settings.max_observations,
            max_depth=self.settings.max_depth,
        )
        with clock.step("read"):
            intake = read(bundle, limits=limits, validation=self.settings.validation)
        return self._judge(intake, clock, language)

    def trace_intake(self, intake: Intake, *, language: str | None = None) -> Trace:
        """As :meth:`trace` for what was read already: evaluation judges the same results with parts withheld."""
        return self._judge(intake, _Clock(Work()), language)

    def _judge(self, intake: Intake, clock: _Clock, language: str | None) -> Trace:
        said = choose_language(language, self.settings.language)
        engine = self._engine(clock.work.adapter)
        with clock.step("normalize"):
            panel = normalize(intake, self.catalog, self.site)
        with clock.step("assess"):
            found = assess(panel)
        with clock.step("score"):
            scored, degraded = self._score(engine, panel, clock.work)
        with clock.step("decide"):
            verdict = policy.decide(
                panel,
                found,
                scored.scores if scored is not None else None,
                thresholds=self._thresholds(engine),
                model=engine.info if engine is not None and scored is not None else None,
                degraded=degraded,
            )
        with clock.step("note"):
            note = self._note(engine, verdict, said, clock.work)
        with clock.step("compose"):
            composed = cards.compose(verdict, language=said, news=clock.work.news, note=note.text)
        evaluation = Evaluation(
            verdict=verdict,
            cards=composed,
            language=said,
            observations=intake.observations,
            catalog_version=self.knowledge,
            patient=intake.patient.reference,
            timings=clock.finish(),
            panel=panel,
            kept_prompts=self._kept(scored, panel),
            prompts=len(scored.prompts) if scored is not None and verdict.model is not None else 0,
            note=note,
        )
        return Trace(
            intake,
            panel,
            "\n".join(prompt.text for prompt in scored.prompts) if scored is not None and scored.prompts else None,
            scored.scores if scored is not None else None,
            self.thresholds,
            evaluation,
        )

    def _kept(self, scored: PanelScores | None, panel: Panel) -> tuple[Prompt, ...]:
        if not self.settings.keep_prompts:
            return ()
        return tuple(scored.prompts if scored is not None else chunks(panel, KEPT_RESULTS))

    @property
    def thresholds(self) -> Thresholds:
        """The setting's one threshold, else the model's."""
        return self._thresholds(self.engine)

    def _thresholds(self, engine: Engine | None) -> Thresholds:
        own = engine.thresholds if engine is not None else Thresholds()
        return own if self.settings.threshold is None else own.at(self.settings.threshold)

    def _engine(self, adapter: str | None) -> Engine | None:
        """The engine for a request; it keeps to it, whatever is swapped meanwhile."""
        name = adapter or self.settings.adapter
        return self.adapters.get(name) if name else self.engine

    def _note(self, engine: Engine | None, verdict: Verdict, language: str, work: Work) -> Note:
        if self.settings.note == "off":
            return NO_NOTE
        return note_for(
            verdict,
            writer_of(engine),
            self.catalog.analytes.values(),
            language,
            max_tokens=self.settings.note_tokens,
            deadline=work.model_deadline(self.settings.answer_reserve_s),
            cancelled=work.cancelled,
        )

    def _score(self, engine: Engine | None, panel: Panel, work: Work) -> tuple[PanelScores | None, str | None]:
        """The model's scores, or why there are none: a model that fails or is late degrades the answer, it never ends it."""
        if engine is None:
            return None, self.degraded
        until = work.model_deadline(self.settings.answer_reserve_s)
        try:
            with work.away():
                return score_panel(engine, panel, deadline=until, cancelled=work.cancelled), None
        except EngineError as error:
            return None, str(error)
        except LabCueError:  # the caller has gone, or there is no room
            raise
        except Exception as error:  # whatever a model does, the rules still answer
            log.error("engine failed: %s", type(error).__name__)
            return None, EngineError.message


def choose_language(wanted: str | None, default: str) -> str:
    """The language of the cards: the base of what was asked for ("fr-CA" is "fr") if it is there, else the default."""
    base = (wanted or default).replace("_", "-").split("-")[0].lower()
    return base if base in ("en", "fr") else default


class _Clock:
    """Times the steps, opens their spans and looks at the deadline between them."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._start = time.perf_counter()
        self._spent: dict[str, float] = {}

    def step(self, name: str) -> AbstractContextManager[object]:
        return _Step(self, name)

    def finish(self) -> Mapping[str, float]:
        self._spent["total"] = (time.perf_counter() - self._start) * 1e3
        return self._spent


class _Step(AbstractContextManager[object]):
    def __init__(self, clock: _Clock, name: str) -> None:
        self._clock, self._name = clock, name

    def __enter__(self) -> object:
        self._clock.work.check()
        self._span = self._clock.work.observe(self._name)
        self._span.__enter__()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *exc: object) -> bool | None:
        self._clock._spent[self._name] = (time.perf_counter() - self._began) * 1e3
        return self._span.__exit__(*exc)  # type: ignore[arg-type]
