"""The log never writes the text of an exception, whoever logs it."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from cds_service.telemetry import logs

MARK = "Jane Roe 6.9"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


def _log_a_crash() -> None:
    try:
        raise ValueError(MARK)
    except ValueError as error:
        logging.getLogger("some.library").exception("Unexpected [%s] raised by method [%s]", error, "Evaluate")


def test_plain_lines(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("info", "plain", stream)
    logging.getLogger("cds_service").info("draining\nnow")
    logging.getLogger("cds_service").debug("not shown")
    _log_a_crash()
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO cds_service: draining now", first)
    assert "Unexpected [ValueError] raised by method [Evaluate]" in second
    assert "[ValueError at _log_a_crash:" in second
    assert MARK not in stream.getvalue()


def test_one_object_a_line(root: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("warning", "json", stream)
    _log_a_crash()
    entry = json.loads(stream.getvalue())
    assert set(entry) == {"time", "level", "logger", "message", "exception"}
    assert (entry["level"], entry["logger"]) == ("error", "some.library")
    assert entry["exception"].startswith("ValueError at _log_a_crash:")
    assert MARK not in stream.getvalue()


def test_configuring_twice_writes_once(root: logging.Logger) -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("info", "plain", first)
    logs.configure("info", "plain", second)
    logging.getLogger("cds_service").info("draining")
    assert first.getvalue() == ""
    assert second.getvalue().count("draining") == 1
