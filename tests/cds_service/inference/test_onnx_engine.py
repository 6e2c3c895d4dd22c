"""The exported graph answers as torch does, whatever is asked, and loads without torch."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cds_service.config import Settings
from cds_service.inference import onnx_engine
from cds_service.inference.engine import FreesMemory, Prepares
from cds_service.inference.load import EMBEDDED, load_engine
from cds_service.inference.mistral import MistralEngine, load_mistral
from cds_service.inference.onnx_engine import OnnxEngine, load_onnx
from cds_service.inference.panel import score_panel
from fhir_adapter.errors import ConfigError, EngineAnswer, EngineError, EngineMemory, EngineNotLoaded, PromptTooLong
from fhir_adapter.model import Patient
from fhir_adapter.prompt import LABELS, Prompt, chunks, render
from tests.cds_service.inference.conftest import MANIFEST, byte_level_tokenizer, make_panel
from training.export_onnx import CannotExport, export, main

Copy = Callable[[Path], Path]


def numbers(scores: Any) -> list[float]:
    return [number for score in scores for number in score.probabilities]


def small(folder: Path, **shape: Any) -> Path:
    """A small Mistral with random weights: its folder, without a graph."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    tokenizer = byte_level_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(3)
    usual = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,
    }
    config = MistralConfig(vocab_size=tokenizer.get_vocab_size(), **(usual | shape))
    MistralForCausalLM(config).save_pretrained(folder)
    (folder / "labcue.json").write_text(json.dumps(MANIFEST))
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with its graph."""
    folder = small(tmp_path_factory.mktemp("small"))
    export(folder)
    return folder


@pytest.fixture(scope="module")
def onnx(exported: Path) -> OnnxEngine:
    return load_onnx(exported)


@pytest.fixture(scope="module")
def torch_engine(exported: Path) -> MistralEngine:
    return load_mistral(exported, device="cpu")


@pytest.mark.parametrize("count", [1, 2, 20, 60])
def test_it_answers_as_torch_does(onnx: OnnxEngine, torch_engine: MistralEngine, count: int) -> None:
    prompt = render(make_panel(count, seed=count))
    (mine,), (other,) = onnx.score([prompt]), torch_engine.score([prompt])
    assert [score.slot for score in mine] == [score.slot for score in other]
    assert numbers(mine) == pytest.approx(numbers(other), abs=1e-5)


def test_a_batch_answers_as_each_panel_alone(onnx: OnnxEngine, torch_engine: MistralEngine) -> None:
    prompts = [render(make_panel(count, seed=count)) for count in (1, 11, 4, 0, 2, 30, 11)]
    together = onnx.score(prompts)
    assert [len(scores) for scores in together] == [1, 11, 4, 0, 2, 30, 11]
    for prompt, scores in zip(prompts, together, strict=True):
        assert numbers(scores) == pytest.approx(numbers(onnx.score([prompt])[0]), abs=1e-5)
        assert numbers(scores) == pytest.approx(numbers(torch_engine.score([prompt])[0]), abs=1e-5)


def test_padding_moves_no_answer(
    onnx: OnnxEngine, torch_engine: MistralEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_engine, "WASTE", 1.0)
    runs: list[int] = []
    run = OnnxEngine._run
    monkeypatch.setattr(OnnxEngine, "_run", lambda self, rows: runs.append(len(rows)) or run(self, rows))
    prompts = [render(make_panel(count, seed=count)) for count in (1, 40, 3)]
    for prompt, scores in zip(prompts, onnx.score(prompts), strict=True):
        assert numbers(scores) == pytest.approx(numbers(torch_engine.score([prompt])[0]), abs=1e-5)
    assert runs == [3]


def test_what_prompts_begin_with_is_computed_once(
    onnx: OnnxEngine, torch_engine: MistralEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three patients' single results in one pass: three heads, of unlike length, and torch's answers."""
    monkeypatch.setattr(onnx_engine, "WASTE", 1.0)
    patients = (Patient(sex="female"), Patient(), Patient(sex="male", pregnant=False))
    prompts = [
        prompt
        for number, patient in enumerate(patients)
        for prompt in chunks(replace(make_panel(7, seed=number), patient=patient), 1)
    ]
    given: list[dict[str, Any]] = []
    session = onnx._session

    class Listening:
        def run(self, outputs: list[str], inputs: dict[str, Any]) -> Any:
            given.append(inputs)
            return session.run(outputs, inputs)

    monkeypatch.setattr(onnx, "_session", Listening())
    answers = onnx.score(prompts)
    (inputs,) = given
    assert len(inputs["heads"]) == 3
    assert len(set(inputs["lengths"].tolist())) == 3
    longest = max(len(row.ids) for row in onnx.prepare(prompts))
    assert inputs["ids"].shape[1] < longest - min(inputs["lengths"]) + 1
    for prompt, scores, other in zip(prompts, answers, torch_engine.score(prompts), strict=True):
        assert numbers(scores) == pytest.approx(numbers(other), abs=1e-5)
        assert numbers(scores) == pytest.approx(numbers(onnx.score([prompt])[0]), abs=1e-5)


@pytest.mark.parametrize("blocks", [1, 4])
def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int) -> None:
    import training.export_onnx

    monkeypatch.setattr(training.export_onnx, "BLOCKS", blocks)
    export(small(tmp_path))
    prompts = [render(make_panel(count)) for count in (1, 2, 30)]
    for mine, other in zip(
        load_onnx(tmp_path).score(prompts), load_mistral(tmp_path, device="cpu").score(prompts), strict=True
    ):
        assert numbers(mine) == pytest.approx(numbers(other), abs=1e-5)


def test_a_later_result_moves_no_earlier_one(onnx: OnnxEngine) -> None:
    long = make_panel(9)
    whole = render(long)
    slots = whole.slots[:4]
    # The header tells of the whole panel, so the text is cut, not rendered anew.
    cut = Prompt(whole.text[: slots[-1].end] + "\n", slots, whole.version)
    (all_of_them,), (first_four,) = onnx.score([whole]), onnx.score([cut])
    assert numbers(all_of_them[:4]) == pytest.approx(numbers(first_four), abs=1e-6)


def test_a_prompt_as_long_as_the_window(onnx: OnnxEngine, torch_engine: MistralEngine) -> None:
    count = 1
    while len(onnx._tokenizer.encode(render(make_panel(count + 1)).text).ids) <= 2048:
        count += 1
    prompt = render(make_panel(count))
    assert numbers(onnx.score([prompt])[0]) == pytest.approx(numbers(torch_engine.score([prompt])[0]), abs=1e-5)
    with pytest.raises(PromptTooLong):
        onnx.score([render(make_panel(count + 1))])
    onnx.warm_up()


def test_it_says_what_the_manifest_says(onnx: OnnxEngine) -> None:
    assert (onnx.info.name, onnx.info.version) == (MANIFEST["name"], MANIFEST["version"])
    assert onnx.thresholds.default == MANIFEST["threshold"]
    assert onnx.max_results == 40
    assert isinstance(onnx, Prepares)
    assert not isinstance(onnx, FreesMemory)
    assert onnx.score([]) == []


@pytest.mark.parametrize(
    "shape",
    [
        {"num_attention_heads": 6, "num_key_value_heads": 6, "hidden_size": 48, "num_hidden_layers": 1},
        {"tie_word_embeddings": False, "rms_norm_eps": 1e-3},
        {"head_dim": 32, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    ],
)
def test_another_geometry(tmp_path: Path, shape: dict[str, Any]) -> None:
    export(small(tmp_path, **shape))
    prompt = render(make_panel(12))
    other = load_mistral(tmp_path, device="cpu").score([prompt])[0]
    assert numbers(load_onnx(tmp_path).score([prompt])[0]) == pytest.approx(numbers(other), abs=1e-5)


def test_the_embedded_model_is_exported_and_answers_as_torch_does() -> None:
    """Its weights change; that both ways of running them agree doesn't."""
    mine, reason = load_engine(Settings())
    assert isinstance(mine, OnnxEngine)
    assert reason is None
    other = load_mistral(EMBEDDED, device="cpu")
    for count in (1, 20, 40, 100):
        panel = make_panel(count, seed=count)
        assert numbers(score_panel(mine, panel).scores) == pytest.approx(
            numbers(score_panel(other, panel).scores), abs=1e-5
        )


def test_which_engine_for_which_setting(exported: Path, tiny_folder: Path) -> None:
    def kind(**given: Any) -> type:
        return type(load_engine(Settings(**given))[0])

    assert kind(model_path=exported) is OnnxEngine
    assert kind(model_path=exported, engine="onnx", engine_threads=1) is OnnxEngine
    assert kind(engine="onnx") is OnnxEngine
    assert kind(model_path=exported, engine="mistral", device="cpu") is MistralEngine
    with pytest.raises(ConfigError) as caught:  # of an adapter only torch has a use
        kind(model_path=exported, adapter_path=tiny_folder / "none", device="cpu")
    assert [fault.path for fault in caught.value.violations] == ["adapter_path"]
    assert kind(model_path=tiny_folder, device="cpu") is MistralEngine
    with pytest.raises(ConfigError, match=r"lists no model\.onnx; python -m training\.export_onnx"):
        load_engine(Settings(engine="onnx", model_path=tiny_folder))


def test_neither_torch_nor_transformers_is_imported() -> None:
    code = """
import sys
from cds_service.config import Settings
from cds_service.inference.load import serving_engine
engine, _ = serving_engine(Settings())
engine.warm_up()
heavy = {"torch", "transformers", "peft", "onnx", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Answering:
    """A session that gives, or raises, what a test says."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def run(self, *_: object) -> list[object]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return [self._answer]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), EngineMemory),
        (RuntimeError("std::bad_alloc"), EngineMemory),
        (MemoryError(), EngineMemory),
        (RuntimeError("secret"), EngineError),
    ],
)
def test_failures_of_the_runtime(onnx: OnnxEngine, failure: Exception, kind: type[Exception]) -> None:
    broken = OnnxEngine(Answering(failure), onnx._tokenizer, onnx._manifest, 2048)
    with pytest.raises(EngineError) as caught:
        broken.score([render(make_panel(1))])
    assert type(caught.value) is kind
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_no_probability_is_an_error(onnx: OnnxEngine, bad: float) -> None:
    import numpy as np

    broken = OnnxEngine(Answering(np.full((1, 7), bad, np.float32)), onnx._tokenizer, onnx._manifest, 2048)
    with pytest.raises(EngineAnswer), np.errstate(invalid="ignore"):
        broken.score([render(make_panel(1))])


def listed(folder: Path, name: str) -> None:
    """Lists the file as it is now in the manifest."""
    manifest = json.loads((folder / "labcue.json").read_text())
    manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "labcue.json").write_text(json.dumps(manifest))


def test_graph_and_weights_belong_together(exported: Path, copy: Copy) -> None:
    """A graph reads its weights by their place in the file: of another file it would read nonsense."""
    folder = copy(exported)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ConfigError, match=r"model\.safetensors: differs from the SHA-256"):
        load_onnx(folder)
    listed(folder, "model.safetensors")
    with pytest.raises(ConfigError, match="was made for other weights"):
        load_onnx(folder)
    weights.write_bytes(weights.read_bytes()[:-4])
    listed(folder, "model.safetensors")
    with pytest.raises(EngineNotLoaded, match=r"training\.export_onnx .* writes it again"):
        load_onnx(folder)


def test_a_graph_that_is_none(exported: Path, copy: Copy) -> None:
    folder = copy(exported)
    (folder / "model.onnx").write_bytes(b"nonsense")
    listed(folder, "model.onnx")
    with pytest.raises(EngineNotLoaded, match=r"model\.onnx can't be loaded"):
        load_onnx(folder)


def test_a_graph_that_asks_for_something_else(exported: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.onnx_graph

    folder = copy(exported)
    monkeypatch.setattr(training.onnx_graph, "INPUTS", ("ids", "slots", "heads", "lengths", "whose"))
    export(folder)
    with pytest.raises(ConfigError, match=r"was written by another version; python -m training\.export_onnx"):
        load_onnx(folder)


def test_labels_in_another_order(exported: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    import training.export_onnx

    folder = copy(exported)
    monkeypatch.setattr(training.export_onnx, "LABELS", LABELS[::-1])
    export(folder)
    with pytest.raises(ConfigError, match="was made for other labels"):
        load_onnx(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"head_dim": 8}, "head_dim: must be a multiple of 16"),
        ({"model_type": "llama"}, "model_type: must be mistral"),
        ({"hidden_act": "gelu"}, "hidden_act: must be silu"),
        ({"sliding_window": 128}, "sliding_window: must be null"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
    ],
)
def test_what_the_graph_does_not_fit_is_not_exported(
    exported: Path, copy: Copy, change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(exported)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    assert main([str(folder)]) == 1
    assert said in capsys.readouterr().err


def test_weights_of_another_kind_are_not_exported(exported: Path, copy: Copy) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy(exported)
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in weights.items()}, folder / "model.safetensors")
    with pytest.raises(CannotExport, match="F16; only F32"):
        export(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(CannotExport, match="is missing"):
        export(folder)


def test_the_command_exports(exported: Path, copy: Copy) -> None:
    folder = copy(exported)
    assert main([str(folder)]) == 0
    assert main([str(folder)]) == 0  # again: what is there is written anew
    assert (folder / "model.onnx").stat().st_size < 100_000
    assert load_onnx(folder).info.name == MANIFEST["name"]
