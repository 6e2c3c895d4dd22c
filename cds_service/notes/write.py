"""Asks the model for its note in the time that is left, and shows it only where it stands on the results."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from cds_service.domain import Verdict
from cds_service.notes.facts import facts_of, prompt_of
from cds_service.notes.grounding import check
from fhir_adapter.catalog import Analyte
from fhir_adapter.errors import EngineError, EngineLate

log = logging.getLogger(__name__)
LEAST_S = 0.2
"""With less time left no note is begun."""


@runtime_checkable
class Writes(Protocol):
    """An engine that can write; ``writes_notes`` says whether its model was made for it (its manifest does)."""

    @property
    def writes_notes(self) -> bool: ...

    def write(self, prompt: str, *, max_tokens: int, deadline: float | None, cancelled: Callable[[], bool]) -> str:
        """One paragraph that continues the prompt; empty where no sentence was finished in time.

        Raises:
            EngineError: the model failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Note:
    """``text`` is None where nothing is to be shown; ``outcome`` says why, ``faults`` what was wrong with what was written."""

    text: str | None
    outcome: Literal["off", "nothing-abnormal", "no-time", "failed", "ungrounded", "written"]
    faults: tuple[str, ...] = ()


NO_NOTE = Note(None, "off")


def writer_of(engine: object) -> Writes | None:
    """The engine, or the one behind it, if its model writes notes."""
    for one in (engine, getattr(engine, "engine", None)):
        if one is not None and isinstance(one, Writes) and one.writes_notes:
            return one
    return None


def note_for(
    verdict: Verdict,
    writer: Writes | None,
    analytes: Iterable[Analyte],
    language: str,
    *,
    max_tokens: int,
    deadline: float | None,
    cancelled: Callable[[], bool],
) -> Note:
    """A checked note on an abnormal panel that the model judged, by ``deadline`` (``time.monotonic``). Never raises for the model:
    the cards are whole without a note."""
    if writer is None or verdict.model is None:
        return NO_NOTE
    facts = facts_of(verdict, analytes, language)
    if not facts.abnormal:
        return Note(None, "nothing-abnormal")
    if deadline is not None and deadline - time.monotonic() < LEAST_S:
        return Note(None, "no-time")
    try:
        text = writer.write(prompt_of(facts, language), max_tokens=max_tokens, deadline=deadline, cancelled=cancelled)
    except EngineLate:
        return Note(None, "no-time")
    except EngineError as error:
        log.warning("no note: %s", error.code)
        return Note(None, "failed")
    if not text:
        return Note(None, "no-time")
    faults = check(text, facts, language)
    if faults:
        log.info("a note was not shown: %s", ", ".join(faults))
        return Note(None, "ungrounded", faults)
    return Note(" ".join(text.split()), "written")
