"""The command line as people run it: a real process, real files."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cds_service.cli import app
from cds_service.client import LabCueClient
from cds_service.commands.check import ABNORMAL as SOME_ABNORMAL
from cds_service.commands.check import CRITICAL, INCOMPLETE, status_of, worst
from labcue.v1 import cds_pb2
from tests.bundles import PANEL, bundle, observation

ROOT = Path(__file__).resolve().parents[3]
LABCUE = [sys.executable, "-m", "cds_service.cli"]
NORMAL = bundle(observation("na", "2951-2", 140, "mmol/L", 135, 145))
ABNORMAL = bundle(observation("cl", "2075-0", 115, "mmol/L", 98, 107))
UNKNOWN = bundle(observation("x", "2160-0", 90, ""))


def _run(*arguments: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LABCUE_")}
    # Rules alone unless a test says otherwise: loading a model takes seconds a process.
    engine = {"LABCUE_ENGINE": "none"}
    return subprocess.run(
        [*LABCUE, *arguments], input=stdin, capture_output=True, env=engine | clean | env, timeout=120
    )


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from cds_service import cli;"
        "heavy = {'torch', 'transformers', 'grpc', 'fhir', 'pint', 'opentelemetry', 'pydantic'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert b"labcue" in _run("--version").stdout


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The commands that do something, as words: ("records", "dead-letters", "list")."""
    inside = getattr(command, "commands", None)
    if inside is None:
        yield path
        return
    for name, one in inside.items():
        yield from _leaves(one, (*path, name))


@pytest.mark.parametrize("words", [*_leaves(typer.main.get_command(app))], ids=" ".join)
def test_every_command_has_help_with_examples(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "100"})
    assert shown.exit_code == 0
    assert re.search(rf"^ +labcue {' '.join(words)}", shown.output, re.MULTILINE)


@pytest.mark.parametrize("words", [*_leaves(typer.main.get_command(app))], ids=" ".join)
def test_every_example_is_a_line_that_a_shell_and_the_command_take(words: tuple[str, ...]) -> None:
    """Without being run: its syntax, its commands, its options."""
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "160"}).output
    lines = re.findall(r"^ +((?:[A-Z_]+=\S+ |cat \S+ \| )?labcue .*)", shown, re.MULTILINE)
    for line in lines:
        assert subprocess.run(["bash", "-n", "-c", line]).returncode == 0, line
        given = shlex.split(line[line.index("labcue ") :], comments=True)
        given = [*itertools.takewhile(lambda part: part not in ("|", ">", "<", "&&"), given)][1:]
        command = typer.main.get_command(app)
        while (inside := getattr(command, "commands", None)) is not None:
            command = inside[given.pop(0)]
        if words[0] == "feedback":
            assert "--records" in given, "without, there is nothing to look into"
        command.make_context("labcue", given, resilient_parsing=True)


@pytest.mark.parametrize(
    ("data", "status"),
    [(NORMAL, 0), (ABNORMAL, 1), (PANEL, 2), (UNKNOWN, 3), (b"{", 3)],
    ids=["0", "1", "2", "3", "bad"],
)
def test_the_exit_status_says_what_was_found(data: bytes, status: int) -> None:
    assert _run("check", "-", stdin=data).returncode == status
    assert _run("check", "-", "--exit-zero", stdin=data).returncode == 0


def test_ndjson_answers_line_by_line_in_order_and_goes_on_after_a_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "night.ndjson"
    file.write_bytes(b"\n".join([NORMAL, b'{"resourceType": "Bundle", Jane', PANEL, ABNORMAL]) + b"\n")
    done = _run("check", str(file), "--format", "ndjson")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    assert len(lines) == 4
    assert lines[0]["cards"] == []
    assert lines[1]["error"]["code"] == "not-json"
    assert lines[1]["error"]["source"].endswith("night.ndjson:2")
    assert lines[2]["cards"][0]["indicator"] == "critical"
    assert lines[3]["cards"][0]["indicator"] == "warning"
    assert b"night.ndjson:2" in done.stderr
    assert b"Jane" not in done.stdout + done.stderr


def test_folders_gzip_and_stdin(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.json").write_bytes(PANEL)
    (tmp_path / "b" / "c.ndjson.gz").write_bytes(gzip.compress(NORMAL + b"\n" + ABNORMAL + b"\n"))
    (tmp_path / "notes.txt").write_text("not a bundle")
    done = _run("check", str(tmp_path), "--format", "json")
    shown = json.loads(done.stdout)
    assert [Path(one["source"]).name for one in shown] == ["a.json", "c.ndjson.gz:1", "c.ndjson.gz:2"]
    assert len(_run("check", "-", "--format", "ndjson", stdin=PANEL + b"\n" + NORMAL).stdout.splitlines()) == 2
    pretty = json.dumps(json.loads(PANEL), indent=2).encode()
    assert len(_run("check", "-", "--format", "ndjson", stdin=pretty).stdout.splitlines()) == 1


def test_a_missing_path_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(NORMAL)
    done = _run("check", str(tmp_path / "none.json"), str(tmp_path / "a.json"), "--format", "ndjson")
    assert done.returncode == 3
    assert b"There is no such file" in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_text_shows_value_interval_and_basis() -> None:
    shown = _run("check", "-", "--language", "fr", stdin=PANEL, COLUMNS="140").stdout.decode()
    assert "Potassium 6,9 mmol/L : valeur critique élevée" in shown
    assert "3,5-5,1 mmol/L (labo)" in shown
    assert "Kost" in shown


def test_explain_shows_the_way(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(PANEL)
    shown = json.loads(_run("explain", str(file), "--format", "json").stdout)
    assert shown["normalized"][0]["analyte"] == "potassium"
    assert shown["prompt"].count("=>") >= 2
    assert {rule["kind"] for rule in shown["rules"]} >= {"interval", "critical"}
    text = _run("explain", str(file)).stdout.decode()
    for part in ("1 Read", "2 Normalized", "3 Prompt", "4 Rules", "6 Verdict"):
        assert part in text
    assert _run("explain", "-", stdin=b"{").returncode == 3


def test_config_tells_where_each_setting_came_from() -> None:
    shown = json.loads(_run("config", "--format", "json", "--set", "max_queue=9", LABCUE_PORT="6000").stdout)
    assert shown["port"] == {"value": 6000, "from": "LABCUE_PORT"}
    assert shown["max_queue"] == {"value": 9, "from": "command line"}
    assert shown["host"]["from"] == "default"


def test_settings_that_do_not_hold_are_all_named() -> None:
    done = _run("serve", "--port", "99999", "--engine", "gpt")
    assert done.returncode == 78
    assert b"port" in done.stderr
    assert b"engine" in done.stderr
    assert _run("check", "-", "--set", "nonsense=1", stdin=NORMAL).returncode == 78


def test_serve_answers_by_the_embedded_model_and_drains_on_sigterm() -> None:
    process = subprocess.Popen(
        [*LABCUE, "serve", "--port", "0", "--http-port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "degraded" not in line
        with LabCueClient(line.split()[3]) as client:
            answer = client.evaluate(PANEL)
            assert answer.cards
            assert answer.extension.evaluation.model.name == "labcue-embedded"
            assert not answer.extension.evaluation.degraded
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_demo_shows_cards_and_ends() -> None:
    done = _run("demo", "--plain", "--only", "hyperkalaemia", COLUMNS="120")
    assert done.returncode == 0, done.stderr
    assert b"CRITICAL" in done.stdout
    assert b"1 bundle sent, 1 answered" in done.stdout
    assert _run("demo", "--only", "nothing-of-that-name").returncode == 1


@pytest.mark.parametrize("form", ["text", "ndjson"])
def test_a_reader_that_stops_early_ends_it_quietly(tmp_path: Path, form: str) -> None:
    file = tmp_path / "many.ndjson"
    file.write_bytes((PANEL + b"\n") * 300)
    command = f"{' '.join(LABCUE)} check {file} --format {form} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=120)
    assert done.returncode == 141
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""


def test_a_critical_pattern_is_critical_although_no_single_result_is() -> None:
    data = (ROOT / "examples" / "bundles" / "02-hyperkalaemia-aki.json").read_bytes()
    response = cds_pb2.EvaluateResponse()
    response.cards.add(indicator="critical")
    assert status_of(response) == CRITICAL
    response.cards[0].indicator = "warning"
    response.extension.evaluation.flags.add(code="H", abnormal=True, critical=False)
    assert status_of(response) == SOME_ABNORMAL
    assert _run("check", "-", stdin=data).returncode == CRITICAL


@pytest.mark.parametrize("one", [0, 1, 2, 3])
@pytest.mark.parametrize("other", [0, 1, 2, 3])
def test_the_status_that_counts(one: int, other: int) -> None:
    assert worst(one, other) == max((one, other), key=[0, 1, 3, 2].index)


def test_several_processes_answer_in_the_same_order(tmp_path: Path) -> None:
    file = tmp_path / "night.ndjson"
    file.write_bytes(b"\n".join([NORMAL, b"{", PANEL, ABNORMAL] * 6))
    one, two = (_run("check", str(file), "--format", "ndjson", "--jobs", jobs) for jobs in ("1", "2"))
    assert [_bare(line) for line in two.stdout.splitlines()] == [_bare(line) for line in one.stdout.splitlines()]
    assert one.returncode == two.returncode == CRITICAL
    assert one.stderr == two.stderr


def _bare(line: bytes) -> object:
    answer = json.loads(line)
    for card in answer.get("cards", ()):
        card.pop("uuid")
        for suggestion in card.get("suggestions", ()):
            suggestion.pop("uuid")
    answer.get("extension", {}).get("org.labcue.evaluation", {}).pop("timings", None)
    return answer


def test_one_line_can_be_named(tmp_path: Path) -> None:
    file = tmp_path / "night.ndjson"
    file.write_bytes(NORMAL + b"\n" + PANEL + b"\n")
    assert _run("check", f"{file}:2").returncode == CRITICAL
    assert json.loads(_run("explain", f"{file}:1", "--format", "json").stdout)["verdict"][0]["code"] == "N"
    several = _run("explain", str(file))
    assert several.returncode == INCOMPLETE
    assert b"FILE:LINE" in several.stderr


def test_config_as_toml_can_be_given_back(tmp_path: Path) -> None:
    file = tmp_path / "labcue.toml"
    file.write_bytes(_run("config", "--format", "toml", "--set", "max_queue=9", "--set", "threshold=0.25").stdout)
    shown = json.loads(_run("config", "--config", str(file), "--format", "json").stdout)
    assert (shown["max_queue"]["value"], shown["threshold"]["value"]) == (9, 0.25)
    assert shown["max_queue"]["from"] == str(file)


def test_a_masked_secret_is_not_given_back_as_one(tmp_path: Path) -> None:
    file = tmp_path / "labcue.toml"
    file.write_bytes(_run("config", "--format", "toml", "--set", "remote_api_key=of-the-server").stdout)
    assert b"of-the-server" not in file.read_bytes()
    shown = json.loads(_run("config", "--config", str(file), "--format", "json").stdout)
    assert shown["remote_api_key"] == {"value": None, "from": "default"}


def test_wrong_settings_are_refused_by_every_command_with_78() -> None:
    for command in (["check", "-"], ["explain", "-"], ["config"], ["demo"]):
        done = _run(*command, "--set", "port=x", "--set", "nonsense=1")
        assert done.returncode == 78
        assert b"port" in done.stderr
        assert b"nonsense" in done.stderr


def test_a_path_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "a\x1b[31m[bold]b.json"
    file.write_bytes(PANEL)
    shown = _run("check", str(file))
    assert b"\x1b" not in shown.stdout + shown.stderr
    assert b"[bold]b.json" in shown.stdout


def test_on_one_screen_a_fault_is_told_once() -> None:
    """Both streams at one terminal; apart, each has it (see above)."""
    parent, child = pty.openpty()
    done = subprocess.run(
        [*LABCUE, "check", "-", "--engine", "none"], input=b"{", stdout=child, stderr=child, timeout=120
    )
    os.close(child)
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    assert done.returncode == 3
    assert shown.count("[not-json]") == 1
    assert "Not JSON, or cut off." in shown
