"""The log on stderr: plain lines or one JSON object a line. An exception shows as type and place, never as its text.

Libraries log exceptions with their messages, and those may repeat what a bundle held; so the formatter, not the caller,
decides what of an exception is written.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

Form = Literal["plain", "json"]


class PlainFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO cds_service.rpc.server: draining``."""

    def format(self, record: logging.LogRecord) -> str:
        cause = place(record)
        line = f"{_time(record)} {record.levelname} {record.name}: {_message(record)}"
        return f"{line} [{cause}]" if cause else line


class JsonFormatter(logging.Formatter):
    """One object a line: ``time``, ``level``, ``logger``, ``message`` and, after an exception, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if cause := place(record):
            entry["exception"] = cause
        return json.dumps(entry, ensure_ascii=False)


def configure(level: str, form: Form = "plain", stream: TextIO | None = None) -> logging.Handler:
    """Sends the root logger to ``stream`` (stderr), in place of what handled it; returns the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    return handler


def place(record: logging.LogRecord) -> str:
    """Type and place of a record's exception ("ValueError at read:42"); empty without one."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "unknown"
    return f"{type(error).__name__} at {where}"


def _message(record: logging.LogRecord) -> str:
    """The message on one line; arguments that are exceptions show as their types."""
    if isinstance(record.args, tuple) and any(isinstance(part, BaseException) for part in record.args):
        shown = tuple(type(part).__name__ if isinstance(part, BaseException) else part for part in record.args)
        return str(record.msg % shown).replace("\n", " ")
    return record.getMessage().replace("\n", " ")


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
