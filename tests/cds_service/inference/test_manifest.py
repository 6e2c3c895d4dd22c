"""labcue.json: what is accepted, and that every refusal names file and field."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from cds_service.inference.manifest import Manifest, read_manifest
from fhir_adapter.errors import ConfigError
from fhir_adapter.prompt import LABELS, PROMPT_VERSION

LEAST = {"name": "m", "version": "1", "prompt_version": PROMPT_VERSION}


def write(folder: Path, data: object) -> None:
    (folder / "labcue.json").write_text(data if isinstance(data, str) else json.dumps(data))


def test_the_least_manifest(tmp_path: Path) -> None:
    write(tmp_path, LEAST)
    assert read_manifest(tmp_path) == Manifest("m", "1", PROMPT_VERSION, threshold=0.5, temperature=1.0)


def test_a_full_manifest(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"weights")
    full = {
        **LEAST,
        "threshold": 0.4,
        "thresholds": {"site": 0.3, "words": 0.2, "none": None},
        "inside": 0.6,
        "temperature": 2,
        "max_results": 40,
        "max_tokens": 4096,
        "base": "base",
        "label_tokens": {label: f"<{label}>" for label in LABELS},
        "files": {"weights": hashlib.sha256(b"weights").hexdigest().upper()},
    }
    write(tmp_path, full)
    assert read_manifest(tmp_path) == Manifest(**full)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "name: must be text"),
        ({"version": 1}, "version: must be text"),
        ({"prompt_version": ""}, "prompt_version: must be text"),
        ({"prompt_version": "0"}, "prompt_version: the model was trained on prompt version 0, this service writes"),
        ({"threshold": 0}, "threshold: must be"),
        ({"threshold": 1}, "threshold: must be"),
        ({"threshold": "0.5"}, "threshold: must be"),
        ({"threshold": True}, "threshold: must be"),
        ({"thresholds": [0.5]}, "thresholds: must map"),
        ({"inside": 1}, "inside: must be"),
        ({"inside": "0.6"}, "inside: must be"),
        ({"thresholds": {"site": 1}}, "thresholds: must map"),
        (
            {"thresholds": {"zebra": 0.5}},
            "thresholds: must be for some of lab, site, usual, none, bound, words, unread",
        ),
        ({"temperature": 0}, "temperature: must be"),
        ({"temperature": -1}, "temperature: must be"),
        ({"temperature": None}, "temperature: must be"),
        ({"max_results": 0}, "max_results: must be"),
        ({"max_results": 1.5}, "max_results: must be"),
        ({"max_tokens": True}, "max_tokens: must be"),
        ({"base": 3}, "base: must be"),
        ({"writes_notes": "yes"}, "writes_notes: must be"),
        ({"label_tokens": {"N": "x"}}, "label_tokens: must name exactly N, L, H, A, LL, HH, AA"),
        ({"label_tokens": []}, "label_tokens: must map"),
        ({"files": {"../x": "0" * 64}}, "files: must name files of the same folder"),
        ({"files": {"x": "0"}}, "files: must map"),
        ({"files": {"gone": "0" * 64}}, "gone: is listed in the manifest and can't be read"),
        ({"files": {"labcue.json": "0" * 64}}, "labcue.json: differs from the SHA-256"),
        ({"treshold": 0.5}, "treshold: is not a field"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    write(tmp_path, {**LEAST, **change})
    with pytest.raises(ConfigError) as caught:
        read_manifest(tmp_path, where="adapter_path")
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert {violation.path for violation in caught.value.violations} == {"adapter_path"}


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"name": "m", "threshold": 7, "odd": 1})
    with pytest.raises(ConfigError) as caught:
        read_manifest(tmp_path)
    assert len(caught.value.violations) == 4


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is not JSON"), ("[]", "is not a JSON object"), ("\x00", "is not JSON")]
)
def test_what_is_no_manifest(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)
    with pytest.raises(ConfigError, match=f"labcue.json: {said}"):
        read_manifest(tmp_path)


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labcue.json: can't be read"):
        read_manifest(tmp_path)


def test_every_field_is_documented() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "prompt.md").read_text(encoding="utf-8")
    assert [name for name in Manifest.__dataclass_fields__ if f"`{name}`" not in page] == []
