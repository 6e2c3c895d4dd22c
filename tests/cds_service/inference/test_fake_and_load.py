"""The fake engine says what the lines say; load_engine says which engine, and torch stays out until a model is wanted."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from cds_service.config import Settings
from cds_service.domain import Thresholds
from cds_service.inference import load
from cds_service.inference.fake import FakeEngine
from cds_service.inference.load import load_engine
from cds_service.inference.mistral import MistralEngine
from cds_service.inference.panel import prompts_for, score_prompts
from fhir_adapter.errors import ConfigError, EngineError, EngineNotLoaded
from fhir_adapter.model import Answer, Interval, Panel, PanelResult, Patient, Quantity, Result, Value
from fhir_adapter.prompt import LABELS, PROMPT_VERSION, render

LAB = Interval(3.5, 5.1, "mmol/L", "lab")
CRITICAL = Interval(2.5, 6.2, "mmol/L", "usual")


def one(
    value: Value, *, interval: Interval | None = LAB, expected: tuple[str, ...] = (), name: str = "K", index: int = 0
) -> PanelResult:
    return PanelResult(
        Result("", "", (), name, value),
        display=name,
        number=value.number if isinstance(value, Quantity) else None,
        interval=interval if isinstance(value, Quantity) else None,
        critical=CRITICAL if interval is not None and isinstance(value, Quantity) else None,
        expected=expected,
    )


@pytest.mark.parametrize(
    ("result", "label"),
    [
        (one(Quantity(4.0, "mmol/L")), "N"),
        (one(Quantity(5.5, "mmol/L")), "H"),
        (one(Quantity(3.0, "mmol/L")), "L"),
        (one(Quantity(6.9, "mmol/L")), "HH"),
        (one(Quantity(2.0, "mmol/L")), "LL"),
        (one(Quantity(4.0), name="; critical [1 to 2] above ] above"), "N"),
        (one(Answer("Positive"), expected=("negative",)), "A"),
        (one(Answer("Negative"), expected=("negative",)), "N"),
        (one(Quantity(9.0), interval=None), "N"),
    ],
)
def test_the_fake_repeats_its_line(result: PanelResult, label: str) -> None:
    engine = FakeEngine()
    panel = Panel(Patient(), (one(Quantity(9.9)), result), (), 2)
    scores = score_prompts(engine, prompts_for(engine, panel))
    assert [score.slot for score in scores] == [0, 1]
    probabilities = scores[1].probabilities
    assert LABELS[max(range(len(LABELS)), key=probabilities.__getitem__)] == label
    assert math.isclose(sum(probabilities), 1)
    assert (scores[1].abnormal >= engine.thresholds.of(result)) == (label != "N")
    assert scores == score_prompts(engine, [render(panel)])


def test_the_fake_names_itself_and_fails_on_wish() -> None:
    assert FakeEngine().info.name == "fake"
    assert FakeEngine().info.prompt_version == PROMPT_VERSION
    assert FakeEngine(threshold=0.3).thresholds == Thresholds(0.3)
    with pytest.raises(EngineError, match="model failed"):
        FakeEngine(failure=EngineError()).score([render(Panel(Patient(), (), (), 0))])


def test_which_engine_for_which_setting(tiny_folder: Path, tiny_adapter: Path) -> None:
    assert load_engine(Settings(engine="none", model_path=tiny_folder)) == (None, None)
    fake, reason = load_engine(Settings(engine="fake"))
    assert isinstance(fake, FakeEngine)
    assert reason is None
    for wanted in ("auto", "mistral"):
        engine, reason = load_engine(Settings(engine=wanted, model_path=tiny_folder, device="cpu"))
        assert isinstance(engine, MistralEngine)
        assert reason is None
    adapted, _ = load_engine(Settings(model_path=tiny_folder, adapter_path=tiny_adapter, device="cpu"))
    assert adapted is not None
    assert adapted.info.adapter == "tiny-lora"


def test_a_package_without_its_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "EMBEDDED", tmp_path)
    assert load_engine(Settings(engine="auto")) == (None, "model not loaded")


@pytest.mark.parametrize("wanted", ["auto", "mistral"])
def test_a_model_that_is_named_and_not_there_is_an_error(tmp_path: Path, tiny_folder: Path, wanted: str) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        load_engine(Settings(engine=wanted, model_path=tmp_path / "none"))  # type: ignore[arg-type]
    (tmp_path / "m").mkdir()
    for file in tiny_folder.iterdir():
        (tmp_path / "m" / file.name).write_bytes(file.read_bytes()[: 900 if file.suffix == ".safetensors" else None])
    with pytest.raises(EngineNotLoaded, match="can't be loaded"):
        load_engine(Settings(engine=wanted, model_path=tmp_path / "m"))  # type: ignore[arg-type]


def test_torch_stays_out_until_a_model_is_wanted() -> None:
    code = """
import sys
from cds_service.config import Settings
from cds_service.inference import engine, fake, load, manifest, mistral, panel, slots, weights
load.load_engine(Settings(engine="none"))
load.load_engine(Settings(engine="fake"))
heavy = {"torch", "transformers", "peft", "tokenizers", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
