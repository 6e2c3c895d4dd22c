"""``labcue.json``, the manifest beside a model's or an adapter's weights: what it is, and how to read its answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import orjson

from cds_service.domain import Ground, Thresholds
from fhir_adapter.errors import ConfigError, Violation
from fhir_adapter.prompt import LABELS, PROMPT_VERSION

FILE = "labcue.json"
GROUNDS: tuple[str, ...] = get_args(Ground)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What stands in ``labcue.json``; unknown fields are refused.

    ``prompt_version``: the prompt format that the model was trained on. ``threshold``: P(abnormal) at and above which the
    policy flags, fitted on validation data. ``thresholds``: others for some of :data:`GROUNDS`, None where the model has no say. ``inside``: the least P(abnormal) for a number inside its interval, where that is more than its threshold. ``temperature``: divides the label logits (calibration). ``max_results``: most
    results in one prompt (attention grows with the square of a prompt's length), None for no limit but the model's length.
    ``max_tokens``: the longest prompt in tokens, None for the model's own length. ``base``: the
    model an adapter belongs to. ``label_tokens``: for each label the exact vocabulary entry that stands for it, where
    the label itself isn't one token. ``writes_notes``: whether the model was trained to write notes, and may be asked for them. ``files``: SHA-256 (hex) of files beside it, checked at load.
    """

    name: str
    version: str
    prompt_version: str
    threshold: float = 0.5
    thresholds: Mapping[str, float | None] = field(default_factory=dict)
    inside: float | None = None
    temperature: float = 1.0
    max_results: int | None = 40
    max_tokens: int | None = None
    base: str | None = None
    writes_notes: bool = False
    label_tokens: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def fitted(self) -> Thresholds:
        """The thresholds as the policy takes them."""
        return Thresholds(self.threshold, self.thresholds, self.inside)


def refuse(file: Path, what: str, where: str = "model_path") -> ConfigError:
    """A ConfigError that names the file and what is wrong with it; ``where`` is the setting that led there."""
    text = f"{file}: {what}"
    return ConfigError(text, violations=(Violation(where, text),))


def read_manifest(folder: Path, *, where: str = "model_path") -> Manifest:
    """Reads and checks ``folder/labcue.json``, the files it lists included.

    Raises:
        ConfigError: missing, not JSON, a field missing, unknown, of the wrong type or out of bounds, another prompt
            version than :data:`fhir_adapter.prompt.PROMPT_VERSION`, or a listed file that differs. All faults of fields
            are reported at once.
    """
    file = folder / FILE
    try:
        raw = file.read_bytes()
    except OSError:
        raise refuse(file, "can't be read; a model needs this manifest beside its weights", where) from None
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise refuse(file, "is not JSON", where) from None
    if not isinstance(data, dict):
        raise refuse(file, "is not a JSON object", where)
    faults = _faults(data)
    if faults:
        violations = tuple(Violation(where, f"{file}: {fault}") for fault in faults)
        raise ConfigError(f"{file}: {'; '.join(faults)}", violations=violations)
    manifest = Manifest(**data)
    if manifest.prompt_version != PROMPT_VERSION:
        raise refuse(
            file,
            f"prompt_version: the model was trained on prompt version {manifest.prompt_version}, this service writes "
            f"version {PROMPT_VERSION}",
            where,
        )
    for name, expected in manifest.files.items():
        if _digest(folder / name, where) != expected.lower():
            raise refuse(folder / name, "differs from the SHA-256 in the manifest", where)
    return manifest


def _faults(data: dict[str, Any]) -> list[str]:
    known = set(Manifest.__dataclass_fields__)
    faults = [f"{name}: is not a field of the manifest" for name in sorted(set(data) - known)]
    for name in ("name", "version", "prompt_version"):
        if name not in data:
            faults.append(f"{name}: is missing")
        elif not _text(data[name]):
            faults.append(f"{name}: must be text of 1 to 200 characters")
    if "base" in data and data["base"] is not None and not _text(data["base"]):
        faults.append("base: must be text of 1 to 200 characters, or null")
    if "threshold" in data and not (_number(data["threshold"]) and 0 < data["threshold"] < 1):
        faults.append("threshold: must be a number above 0 and below 1")
    inside = data.get("inside")
    if inside is not None and not (_number(inside) and 0 < inside < 1):
        faults.append("inside: must be a number above 0 and below 1, or null")
    others = data.get("thresholds", {})
    if not isinstance(others, dict) or not all(
        one is None or (_number(one) and 0 < one < 1) for one in others.values()
    ):
        faults.append("thresholds: must map grounds to numbers above 0 and below 1, or null")
    elif not set(others) <= set(GROUNDS):
        faults.append(f"thresholds: must be for some of {', '.join(GROUNDS)}")
    if "temperature" in data and not (_number(data["temperature"]) and 0.01 <= data["temperature"] <= 100):
        faults.append("temperature: must be a number from 0.01 to 100")
    for name in ("max_results", "max_tokens"):
        value = data.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            faults.append(f"{name}: must be a whole number of at least 1, or null")
    if not isinstance(data.get("writes_notes", False), bool):
        faults.append("writes_notes: must be true or false")
    labels = data.get("label_tokens", {})
    if not isinstance(labels, dict) or not all(_text(token) for token in labels.values()):
        faults.append("label_tokens: must map labels to vocabulary entries")
    elif labels and set(labels) != set(LABELS):
        faults.append(f"label_tokens: must name exactly {', '.join(LABELS)}")
    files = data.get("files", {})
    if not isinstance(files, dict) or not all(_text(digest) and len(digest) == 64 for digest in files.values()):
        faults.append("files: must map file names to SHA-256 in hex")
    elif any(Path(name).name != name or name in ("", ".", "..") for name in files):
        faults.append("files: must name files of the same folder")
    return faults


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _digest(file: Path, where: str) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        raise refuse(file, "is listed in the manifest and can't be read", where) from None
