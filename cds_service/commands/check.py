"""`labcue check`: judges bundles without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from cds_service.bundles import Source, read_all
from cds_service.pipeline import Pipeline
from fhir_adapter.errors import BENIGN_NOT_ASSESSED, InternalError, LabCueError

Format = Literal["text", "json", "ndjson"]
NORMAL, ABNORMAL, CRITICAL, INCOMPLETE = 0, 1, 2, 3
_PRECEDENCE = (NORMAL, ABNORMAL, INCOMPLETE, CRITICAL)
"""A critical result never hides behind a reading problem, and what can't be read may be critical."""


@dataclass(slots=True)
class Outcome:
    """What came of one bundle: a response or an error, never both."""

    source: str
    response: Any = None
    error: dict[str, Any] | None = None

    @property
    def status(self) -> int:
        if self.response is None:
            return INCOMPLETE
        evaluation = self.response.extension.evaluation
        if any(flag.critical for flag in evaluation.flags):
            return CRITICAL
        if any(entry.code not in BENIGN_NOT_ASSESSED for entry in evaluation.not_assessed):
            return INCOMPLETE
        return ABNORMAL if any(flag.abnormal for flag in evaluation.flags) else NORMAL


def worst(one: int, other: int) -> int:
    """The exit status that counts: 2 critical, then 3 incomplete, then 1 abnormal, then 0."""
    return max(one, other, key=_PRECEDENCE.index)


def judge(pipeline: Pipeline, source: Source, language: str | None) -> Outcome:
    """One bundle; whatever is wrong with it becomes the Outcome's error, without a word of its content."""
    from cds_service.rpc.wire import to_response

    if source.data is None:
        return Outcome(
            source.name, error={"code": "unreadable", "message": source.fault or "can't be read", "source": source.name}
        )
    try:
        return Outcome(source.name, to_response(pipeline.evaluate(source.data, language=language)))
    except LabCueError as error:
        return Outcome(source.name, error=_error(error, source.name))
    except Exception as error:
        print(f"{source.name}: internal error: {type(error).__name__}", file=sys.stderr)
        return Outcome(source.name, error=_error(InternalError(), source.name))


def _error(error: LabCueError, source: str) -> dict[str, Any]:
    shown: dict[str, Any] = {"code": error.code, "message": str(error), "source": source}
    if error.violations:
        shown["violations"] = [{"path": fault.path, "description": fault.description} for fault in error.violations]
    return shown


def run(pipeline: Pipeline, paths: Sequence[str], form: Format, language: str | None) -> int:
    """Judges all of ``paths`` in order and prints; returns the exit status."""
    status = NORMAL
    outcomes = (judge(pipeline, source, language) for source in _progress(read_all(paths)))
    printer = {"text": _text, "json": _json, "ndjson": _ndjson}[form]
    count = 0
    for outcome in printer(outcomes):
        count += 1
        status = worst(status, outcome.status)
        if outcome.error is not None:
            _complain(outcome.error)
    return status if count else INCOMPLETE


def _complain(error: dict[str, Any]) -> None:
    print(f"{error['source']}: {error['message']} [{error['code']}]", file=sys.stderr)
    for fault in error.get("violations", ()):
        print(f"  {fault['path']}: {fault['description']}", file=sys.stderr)


def _progress(sources: Iterator[Source]) -> Iterator[Source]:
    """A bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield from sources
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed} bundles"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("judging", total=None)
        for source in sources:
            yield source
            progress.advance(task)


def _ndjson(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        _write(orjson.dumps(_shown(outcome)) + b"\n")
        yield outcome


def _json(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    first = True
    _write(b"[")
    for outcome in outcomes:
        key = "response" if outcome.error is None else "error"
        body = _shown(outcome) if outcome.error is None else outcome.error
        line = orjson.dumps({"source": outcome.source, key: body}, option=orjson.OPT_INDENT_2)
        _write((b"" if first else b",") + b"\n" + line)
        first = False
        yield outcome
    _write(b"\n]\n")


def _text(outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    from cds_service import show

    console = show.console()
    for outcome in outcomes:
        if outcome.error is None:
            console.print(show.render(outcome.response, title=outcome.source))
            console.print()
        yield outcome


def _shown(outcome: Outcome) -> dict[str, Any]:
    from cds_service.rpc.wire import to_json

    return {"error": outcome.error} if outcome.error is not None else to_json(outcome.response)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
