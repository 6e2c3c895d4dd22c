"""What counts as one bundle, and how much of it is held."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from cds_service.bundles import Source, read_all, total_bytes
from tests.bundles import PANEL

PRETTY = b'{\n  "resourceType": "Bundle",\n  "entry": [\n    {"resource": {"resourceType": "Observation"}}\n  ]\n}\n'


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes, max_bytes: int = 10_000) -> list[Source]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    return list(read_all(["-"], max_bytes=max_bytes))


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (PRETTY, ["stdin"]),
        (PRETTY[:-4], ["stdin"]),
        (PANEL, ["stdin:1"]),
        (PANEL + b"\n\n" + PANEL, ["stdin:1", "stdin:3"]),
        (b"\n" + PANEL + b"\n{", ["stdin:2", "stdin:3"]),
        (b'{"resourceType": "Bun\n' + PANEL + b"\n", ["stdin:1", "stdin:2"]),
        (b"\xef\xbb\xbf" + PANEL + b"\n" + PANEL, ["stdin:1", "stdin:2"]),
        (b"", ["stdin"]),
    ],
    ids=["pretty", "cut", "one", "blank-line", "second-bad", "first-bad", "bom", "empty"],
)
def test_standard_input_is_told_apart(monkeypatch: pytest.MonkeyPatch, data: bytes, names: list[str]) -> None:
    assert [source.name for source in _stdin(monkeypatch, data)] == names


def test_the_first_line_is_answered_before_the_next_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.left = [PANEL + b"\n"]

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            assert self.left, "read further than the first line"
            data = self.left.pop()
            buffer[: len(data)] = data
            return len(data)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Slow())))
    assert next(read_all(["-"])).data == PANEL


def test_a_long_line_is_cut_and_the_next_one_stays_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(b'"' + b"x" * 5_000_000 + b'"\n' + PANEL + b"\n")
    long, good = read_all([str(file)], max_bytes=2000)
    assert long.data is not None
    assert 2000 < len(long.data) < 2010
    assert good == Source(f"{file}:2", PANEL, consumed=len(PANEL) + 1)
    assert long.consumed + good.consumed == total_bytes([str(file)]) == file.stat().st_size


def test_a_gzip_bomb_is_not_unpacked_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json.gz"
    file.write_bytes(gzip.compress(b"{\n" + b" " * 20_000_000))
    (source,) = read_all([str(file)], max_bytes=2000)
    assert source.data is not None
    assert len(source.data) == 2001


@pytest.mark.parametrize("data", [b"not gzip", gzip.compress(PANEL)[:-20]], ids=["other", "truncated"])
def test_damaged_gzip_is_said(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.json.gz"
    file.write_bytes(data)
    (source,) = read_all([str(file)])
    assert source.data is None
    assert source.fault


def test_a_folder_is_read_in_order_and_an_empty_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("b.json", "a.jsonl", "c.txt", "a.JSON.bak"):
        (tmp_path / name).write_bytes(PANEL)
    assert [Path(source.name).name for source in read_all([str(tmp_path)])] == ["a.jsonl:1", "b.json"]
    (source,) = read_all([str(tmp_path / "empty")])
    assert source.data is None
    assert total_bytes([str(tmp_path)]) == 2 * len(PANEL)
    assert total_bytes([str(tmp_path), "-"]) is None
