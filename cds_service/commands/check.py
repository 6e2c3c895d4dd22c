"""`labcue check`: judges bundles without a server.

Streams: whatever the input's length, only a few bundles are held at a time, and answers come in the order of the input.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from cds_service.build import build_pipeline
from cds_service.bundles import Source, read_all, total_bytes
from cds_service.commands.common import complain
from cds_service.commands.progress import watched
from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.rpc.wire import to_json, to_response
from fhir_adapter.errors import BENIGN_NOT_ASSESSED, InternalError, LabCueError, Violation
from labcue.v1 import cds_pb2

Format = Literal["text", "json", "ndjson"]
NORMAL, ABNORMAL, CRITICAL, INCOMPLETE = 0, 1, 2, 3
_PRECEDENCE = (NORMAL, ABNORMAL, INCOMPLETE, CRITICAL)
"""A critical result never hides behind a reading problem, and what can't be read may be critical."""
_AHEAD = 8
"""Bundles read ahead for each job."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one bundle: ``body`` (its response; protobuf for text, else CDS Hooks JSON) or ``error``, never both."""

    source: str
    status: int
    body: bytes = b""
    error: dict[str, Any] | None = None
    consumed: int = 0


def worst(one: int, other: int) -> int:
    """The exit status that counts: 2 critical, then 3 incomplete, then 1 abnormal, then 0."""
    return max(one, other, key=_PRECEDENCE.index)


def status_of(response: cds_pb2.EvaluateResponse) -> int:
    """What a response amounts to; a critical card (a pattern's, too) is critical."""
    evaluation = response.extension.evaluation
    if any(card.indicator == "critical" for card in response.cards) or any(flag.critical for flag in evaluation.flags):
        return CRITICAL
    if any(entry.code not in BENIGN_NOT_ASSESSED for entry in evaluation.not_assessed):
        return INCOMPLETE
    return ABNORMAL if any(flag.abnormal for flag in evaluation.flags) else NORMAL


def judge(pipeline: Pipeline, source: Source, language: str | None, form: Format) -> Outcome:
    """One bundle; whatever is wrong with it becomes the Outcome's error, without a word of its content."""
    if source.data is None:
        return _failed(source, "unreadable", source.fault or "The file can't be read.")
    try:
        response = to_response(pipeline.evaluate(source.data, language=language))
        body = response.SerializeToString() if form == "text" else orjson.dumps(to_json(response))
    except LabCueError as error:
        return _failed(source, error.code, str(error), error.violations)
    except Exception as error:  # the other bundles still get their answers
        violation = Violation("$this", f"{type(error).__name__}; please report it with `labcue --version`")
        return _failed(source, InternalError.code, InternalError.message, (violation,))
    return Outcome(source.name, status_of(response), body, consumed=source.consumed)


def _failed(source: Source, code: str, message: str, violations: tuple[Violation, ...] = ()) -> Outcome:
    error: dict[str, Any] = {"code": code, "message": message, "source": source.name}
    if violations:
        error["violations"] = [{"path": fault.path, "description": fault.description} for fault in violations]
    return Outcome(source.name, INCOMPLETE, error=error, consumed=source.consumed)


def _faults(error: dict[str, Any]) -> list[Violation]:
    return [Violation(one["path"], one["description"]) for one in error.get("violations", ())]


def run(
    settings: Settings, pipeline: Pipeline, paths: Sequence[str], form: Format, language: str | None, jobs: int = 1
) -> int:
    """Judges all of ``paths`` in order and prints; returns the exit status.

    With more than one job, ``pipeline`` only says that the settings hold: each process builds its own.
    """
    sources = read_all(paths, max_bytes=settings.max_bundle_bytes)
    if jobs > 1:
        outcomes = _in_parallel(settings, sources, language, form, jobs)
    else:
        outcomes = (judge(pipeline, source, language, form) for source in sources)
    status, count = NORMAL, 0
    printer = _PRINTERS[form]
    on_one_screen = form == "text" and sys.stdout.isatty() and sys.stderr.isatty()
    for outcome in printer(watched(outcomes, total_bytes(paths))):
        count += 1
        status = worst(status, outcome.status)
        if outcome.error is not None and not on_one_screen:  # there it stands already
            complain(f"{outcome.source}: {outcome.error['message']} [{outcome.error['code']}]", _faults(outcome.error))
    return status if count else INCOMPLETE


_worker: Pipeline


def _begin(values: dict[str, Any]) -> None:
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _worker = build_pipeline(Settings(**values))


def _judge_there(source: Source, language: str | None, form: Format) -> Outcome:
    return judge(_worker, source, language, form)


def _in_parallel(
    settings: Settings, sources: Iterator[Source], language: str | None, form: Format, jobs: int
) -> Iterator[Outcome]:
    """Outcomes in the order of ``sources``, judged by ``jobs`` processes."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, _begin, (settings.model_dump(),))
    waiting: deque[Future[Outcome]] = deque()
    try:
        for source in sources:
            waiting.append(pool.submit(_judge_there, source, language, form))
            if len(waiting) >= jobs * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ndjson(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        _write((outcome.body if outcome.error is None else orjson.dumps({"error": outcome.error})) + b"\n")
        yield outcome


def _json(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    before = b"[\n"
    for outcome in outcomes:
        answer = {"error": outcome.error} if outcome.error is not None else {"response": orjson.loads(outcome.body)}
        _write(before + orjson.dumps({"source": outcome.source, **answer}, option=orjson.OPT_INDENT_2))
        before = b",\n"
        yield outcome
    _write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _text(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    from cds_service import show

    console = show.console()
    for outcome in outcomes:
        if outcome.error is None:
            response = cds_pb2.EvaluateResponse.FromString(outcome.body)
            console.print(show.render(response, title=outcome.source))
        else:
            error = outcome.error
            console.print(show.unread(error["message"], error["code"], _faults(error), title=outcome.source))
        console.print()
        yield outcome


_PRINTERS: dict[Format, Callable[[Iterator[Outcome]], Iterator[Outcome]]] = {
    "text": _text,
    "json": _json,
    "ndjson": _ndjson,
}


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
