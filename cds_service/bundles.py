"""Finding and reading bundles for the command line: files, NDJSON, gzip, folders, standard input."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

SUFFIXES = (".json", ".ndjson", ".jsonl", ".json.gz", ".ndjson.gz")
MAX_LINE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """One bundle as bytes and where it stands ("panel.ndjson:3"); ``data`` None where it couldn't be read."""

    name: str
    data: bytes | None
    fault: str | None = None


def read_all(paths: Iterable[str]) -> Iterator[Source]:
    """Every bundle of ``paths``, in order: folders sorted and recursive, "-" for standard input. Read as it goes."""
    for path in paths:
        if path == "-":
            yield from _stream("stdin", sys.stdin.buffer, lines=None)
            continue
        place = Path(path)
        if place.is_dir():
            files = sorted(file for file in place.rglob("*") if file.is_file() and file.name.endswith(SUFFIXES))
            if not files:
                yield Source(path, None, "the folder holds no .json or .ndjson file")
            for file in files:
                yield from _file(file)
        else:
            yield from _file(place)


def _file(path: Path) -> Iterator[Source]:
    name = str(path)
    bare = name.removesuffix(".gz")
    try:
        with gzip.open(path) if name.endswith(".gz") else path.open("rb") as stream:
            yield from _stream(name, cast(BinaryIO, stream), lines=bare.endswith((".ndjson", ".jsonl")))
    except FileNotFoundError:
        yield Source(name, None, "there is no such file")
    except (OSError, EOFError) as error:
        yield Source(name, None, f"can't be read ({type(error).__name__})")


def _stream(name: str, stream: BinaryIO, lines: bool | None) -> Iterator[Source]:
    """``lines`` None: NDJSON if the first line is a whole JSON document and more follows."""
    if lines is False:
        yield Source(name, stream.read())
        return
    first = stream.readline(MAX_LINE)
    if lines is None:
        second = stream.readline(MAX_LINE)
        if not _whole(first) or not second.strip():
            yield Source(name, first + second + stream.read())
            return
        start = [first, second]
    else:
        start = [first]
    for number, line in enumerate(_chain(start, stream), start=1):
        if line.strip():
            yield Source(f"{name}:{number}", line.rstrip(b"\r\n"))


def _chain(start: list[bytes], stream: BinaryIO) -> Iterator[bytes]:
    yield from start
    yield from stream


def _whole(line: bytes) -> bool:
    import msgspec

    try:
        msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return False
    return True
