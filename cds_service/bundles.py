"""Finding and reading bundles for the command line: files, NDJSON, gzip, folders, standard input.

Read as it goes: no more than one bundle of at most ``max_bytes`` is held, however long the input is.
"""

from __future__ import annotations

import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

SUFFIXES = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz", ".jsonl.gz")
STDIN = "-"
MAX_BYTES = 4 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_AT_LINE = re.compile(r"(?P<path>.+):(?P<line>[1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Source:
    """One bundle as bytes and where it stands ("panel.ndjson:3").

    ``data`` is None where nothing could be read, and ``fault`` says why. A bundle past the size limit is cut just past it,
    so that the reader refuses it without having it all in memory. ``consumed`` is how many bytes of the input it took.
    """

    name: str
    data: bytes | None
    fault: str | None = None
    consumed: int = 0


def read_all(paths: Iterable[str], *, max_bytes: int = MAX_BYTES) -> Iterator[Source]:
    """Every bundle of ``paths``, in order; folders sorted and recursive, "-" for standard input, "FILE:LINE" for one line.

    ``.ndjson`` and ``.jsonl`` hold a bundle a line; anything else is told apart by its content.
    """
    for path in paths:
        if path == STDIN:
            yield from _live(sys.stdin.buffer, max_bytes)
            continue
        place = Path(path)
        at_line = _AT_LINE.fullmatch(path)
        if place.is_dir():
            files = _files(place)
            if not files:
                yield Source(_name(path), None, "The folder holds no .json or .ndjson file.")
            for file in files:
                yield from _file(file, max_bytes)
        elif at_line is not None and not place.exists() and Path(at_line["path"]).is_file():
            yield _line(Path(at_line["path"]), int(at_line["line"]), max_bytes)
        else:
            yield from _file(place, max_bytes)


def total_bytes(paths: Iterable[str]) -> int | None:
    """How many bytes ``paths`` hold; None where that isn't known beforehand (standard input, pipes, gzip)."""
    total = 0
    for path in paths:
        place = Path(path)
        for file in _files(place) if place.is_dir() else [place]:
            if path == STDIN or not file.is_file() or file.suffix == ".gz":
                return None
            total += file.stat().st_size
    return total


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())


def _name(path: str) -> str:
    """The path as text that can be encoded, whatever bytes the file system holds."""
    return path.encode("utf-8", "backslashreplace").decode()


def _line(path: Path, line: int, max_bytes: int) -> Source:
    name = f"{_name(str(path))}:{line}"
    for source in _file(path, max_bytes, lines=True):
        if source.name == name or source.data is None:
            return source
    return Source(name, None, "The file has no such line, or it is empty.")


def _file(path: Path, max_bytes: int, lines: bool | None = None) -> Iterator[Source]:
    name = _name(str(path))
    if lines is None:
        lines = path.name.removesuffix(".gz").endswith((".ndjson", ".jsonl"))
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
            stream = cast("IO[bytes]", opened)
            yield from _lines(name, stream, max_bytes) if lines else _told_apart(name, stream, max_bytes)
    except FileNotFoundError:
        yield Source(name, None, "There is no such file.")
    except PermissionError:
        yield Source(name, None, "There is no permission to read the file.")
    except (OSError, EOFError, zlib.error):
        yield Source(name, None, "The file can't be read, or is damaged.")


def _lines(name: str, stream: IO[bytes], max_bytes: int, number: int = 0) -> Iterator[Source]:
    """One bundle a line; blank lines are none."""
    while line := stream.readline(max_bytes + 3):
        number += 1
        consumed = len(line)
        if not line.endswith(b"\n"):
            while rest := stream.readline(1 << 20):  # an overlong line: the rest is passed over
                consumed += len(rest)
                if rest.endswith(b"\n"):
                    break
        if line.strip(b" \t\r\n"):
            yield Source(f"{name}:{number}", line.rstrip(b"\r\n"), consumed=consumed)


def _told_apart(name: str, stream: IO[bytes], max_bytes: int) -> Iterator[Source]:
    """One JSON document, or NDJSON where a line is a whole resource (or the first line alone is past the limit)."""
    head = stream.read(max_bytes + 1)
    overlong = len(head) > max_bytes and b"\n" not in head
    if overlong or _is_lines(head):
        yield from _lines(name, _rejoined(head, stream), max_bytes)
    else:
        yield Source(name, head, consumed=len(head))


def _live(stream: IO[bytes], max_bytes: int) -> Iterator[Source]:
    """Standard input: a first line that is a whole document is answered at once, before the next one has come."""
    number, first = 0, b"\n"
    while first and not first.strip():
        first = stream.readline(max_bytes + 3)
        number += 1
    if _whole(first) is not None:
        yield Source(f"stdin:{number}", first.rstrip(b"\r\n"), consumed=len(first))
        yield from _lines("stdin", stream, max_bytes, number)
    else:
        head = b"\n" * (number - 1) + first
        yield from _told_apart("stdin", _rejoined(head, stream), max_bytes)


def _is_lines(head: bytes) -> bool:
    """Whether the beginning of an input is NDJSON: a line that is a whole resource, and other lines beside it."""
    found = [line for line in head.split(b"\n") if line.strip()]
    if len(found) < 2 or _whole(head) is not None:
        return False
    return any(
        isinstance(document := _whole(line), dict) and "resourceType" in document
        for line in found
        if not line[:1].isspace()  # those are parts of a document printed over several lines
    )


def _whole(text: bytes) -> object | None:
    """The JSON document that ``text`` is, or None."""
    import msgspec

    try:
        return cast("object", msgspec.json.decode(text.removeprefix(_BOM)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class _Rejoined(io.RawIOBase):
    """What was read of a stream, then the rest of it."""

    def __init__(self, head: bytes, stream: IO[bytes]) -> None:
        self._head, self._stream = io.BytesIO(head), stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._head.read(len(buffer)) or cast("io.BufferedReader", self._stream).read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _rejoined(head: bytes, stream: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedReader(_Rejoined(head, stream)))
