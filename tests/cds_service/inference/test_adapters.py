"""Adapters on one base: each answers as if alone, is swapped under traffic, and is refused whole with file and field named."""

from __future__ import annotations

import gc
import json
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cds_service.inference import lora
from cds_service.inference.engine import SlotScores
from cds_service.inference.engines import Engines
from cds_service.inference.mistral import MistralEngine, load_mistral
from fhir_adapter.errors import ConfigError, InvalidInput
from fhir_adapter.prompt import render
from tests.cds_service.inference.conftest import MANIFEST, make_panel

PROMPT = render(make_panel(6))
Scores = tuple[SlotScores, ...]


def make_adapter(base: Path, folder: Path, seed: int, *, manifest: dict[str, Any] | None = None, **shape: Any) -> Path:
    """A LoRA adapter for the model of ``base``, with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import MistralForCausalLM

    torch.manual_seed(seed)
    given = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model = MistralForCausalLM.from_pretrained(base)
        get_peft_model(model, LoraConfig(init_lora_weights=False, **given)).save_pretrained(folder)
    said = {**MANIFEST, "name": folder.name, "base": "tiny", "version": str(seed), "threshold": 0.3, "temperature": 1.0}
    (folder / "labcue.json").write_text(json.dumps(said | (manifest or {})))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> dict[str, Path]:
    """Two adapters of different layers, rank and dropout."""
    root = tmp_path_factory.mktemp("adapters")
    return {
        "north": make_adapter(tiny_folder, root / "north", 21),
        "south": make_adapter(
            tiny_folder,
            root / "south",
            22,
            r=8,
            lora_dropout=0.1,
            target_modules=["o_proj", "down_proj"],
            manifest={"threshold": 0.6, "temperature": 2.0},
        ),
    }


def alone(base: Path, adapter: Path) -> Scores:
    return load_mistral(base, adapter, device="cpu").score([PROMPT])[0]


def close(one: Scores, other: Scores) -> bool:
    return all(a.probabilities == pytest.approx(b.probabilities, abs=1e-5) for a, b in zip(one, other, strict=True))


def made(default: MistralEngine, folders: dict[str, Path]) -> Engines:
    return Engines(
        folders, lambda name, folder: default.load_adapter(folder, f"adapters.{name}"), fingerprint=lora.fingerprint
    )


def served(base: Path, folders: dict[str, Path]) -> tuple[MistralEngine, Engines]:
    default = load_mistral(base, device="cpu")
    return default, made(default, folders)


def test_each_adapter_answers_as_if_alone_and_the_base_as_without(
    tiny_folder: Path, folders: dict[str, Path], engine: MistralEngine
) -> None:
    expected = {name: alone(tiny_folder, folder) for name, folder in folders.items()}
    base = engine.score([PROMPT])[0]
    default, engines = served(tiny_folder, folders)
    assert engines.names == ("north", "south")
    for name in ("north", "south", "south", "north", None, "south", None):
        found = engines.get(name) if name else default
        assert close(found.score([PROMPT])[0], expected[name] if name else base)
    assert not close(expected["north"], expected["south"])
    assert not close(expected["north"], base)
    south = engines.get("south")
    assert (south.info.name, south.info.adapter, south.info.version) == ("tiny", "south", "22")
    assert south.thresholds.default == 0.6
    assert default.thresholds.default == 0.4


def test_no_other_adapter_answers_for_one_that_is_not_there(tiny_folder: Path, folders: dict[str, Path]) -> None:
    _, engines = served(tiny_folder, folders)
    with pytest.raises(InvalidInput) as caught:
        engines.get("east")
    assert caught.value.violations[0].path == "labcue-adapter"
    assert "east" not in str(caught.value.violations)


def test_a_reload_swaps_what_changed_while_requests_go_on(
    tiny_folder: Path, folders: dict[str, Path], copy: Callable[[Path], Path]
) -> None:
    """Every answer under traffic is that of the old version or of the new one, with its own threshold: none is dropped or
    mixed."""
    live = {"north": copy(folders["north"]), "south": folders["south"]}
    newer = make_adapter(tiny_folder, live["north"].parent / "newer", 33, manifest={"threshold": 0.7})
    old, new = alone(tiny_folder, live["north"]), alone(tiny_folder, newer)
    other = alone(tiny_folder, folders["south"])
    default, engines = served(tiny_folder, live)
    seen: list[tuple[float, Scores]] = []
    faults: list[BaseException] = []
    swapped, stop = threading.Event(), threading.Event()

    def ask(name: str) -> None:
        try:
            while not stop.is_set():
                found = engines.get(name)
                scores = found.score([PROMPT])[0]
                if name == "south":
                    assert close(scores, other)
                else:
                    seen.append((found.thresholds.default, scores))
        except BaseException as error:  # told below
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(name,)) for name in ("north", "south", "north")]
    for thread in threads:
        thread.start()
    try:
        while len(seen) < 5 and not faults:
            pass
        for file in newer.iterdir():
            (live["north"] / file.name).write_bytes(file.read_bytes())
        assert [(change.adapter, change.outcome) for change in engines.reload()] == [
            ("north", "loaded"),
            ("south", "unchanged"),
        ]
        swapped.set()
        until = len(seen) + 10
        while len(seen) < until and not faults:
            pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert {threshold for threshold, _ in seen} == {0.3, 0.7}
    for threshold, scores in seen:
        assert close(scores, old if threshold == 0.3 else new)
    gc.collect()
    default.score([PROMPT])
    names = {name.split(".")[-2] for name, _ in default._model.named_parameters() if ".lora_A." in name}
    assert len(names) == 2, "the old version's weights are still held"


def test_who_holds_the_old_version_is_still_answered_by_it(
    tiny_folder: Path, folders: dict[str, Path], copy: Callable[[Path], Path]
) -> None:
    live = copy(folders["north"])
    _, engines = served(tiny_folder, {"north": live})
    held = engines.get("north")
    before = held.score([PROMPT])[0]
    newer = make_adapter(tiny_folder, live.parent / "newer", 34)
    for file in newer.iterdir():
        (live / file.name).write_bytes(file.read_bytes())
    assert engines.reload()[0].outcome == "loaded"
    now = engines.get("north")
    assert not close(now.score([PROMPT])[0], before)
    assert close(held.score([PROMPT])[0], before)


def truncated(folder: Path) -> None:
    file = folder / lora.WEIGHTS
    file.write_bytes(file.read_bytes()[:-40])


def garbage(folder: Path) -> None:
    (folder / lora.WEIGHTS).write_bytes(b"<html>not found</html>")


def no_weights(folder: Path) -> None:
    (folder / lora.WEIGHTS).unlink()


def pickled(folder: Path) -> None:
    (folder / lora.WEIGHTS).rename(folder / "adapter_model.bin")


def no_config(folder: Path) -> None:
    (folder / lora.CONFIG).unlink()


def no_manifest(folder: Path) -> None:
    (folder / "labcue.json").unlink()


def half_config(folder: Path) -> None:
    (folder / lora.CONFIG).write_text('{"peft_type"')


def other_kind(folder: Path) -> None:
    file = folder / lora.CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), "peft_type": "PREFIX_TUNING"}))


def rank_of_another(folder: Path) -> None:
    file = folder / lora.CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), "r": 16}))


def not_a_number(folder: Path) -> None:
    _change(folder, lambda name, tensor: tensor.fill_(float("nan")))


def half_a_pair(folder: Path) -> None:
    _change(folder, lambda name, tensor: None if "lora_B" in name else tensor)


def other_shape(folder: Path) -> None:
    _change(folder, lambda name, tensor: tensor[:, :-2].clone() if "lora_A" in name else tensor)


def other_layers(folder: Path) -> None:
    _change(folder, lambda name, tensor: tensor, rename=("layers.1.", "layers.30."))


def missing_layer(folder: Path) -> None:
    _change(folder, lambda name, tensor: None if "layers.1.self_attn.v_proj" in name else tensor)


def empty(folder: Path) -> None:
    _change(folder, lambda name, tensor: None)


def other_prompt(folder: Path) -> None:
    (folder / "labcue.json").write_text(json.dumps({**MANIFEST, "prompt_version": "0"}))


def other_base(folder: Path) -> None:
    (folder / "labcue.json").write_text(json.dumps({**MANIFEST, "base": "mistralai/Mistral-7B-v0.1"}))


def explodes(folder: Path) -> None:
    _change(folder, lambda name, tensor: tensor.fill_(3e38))


def _change(folder: Path, change: Callable[[str, Any], Any], rename: tuple[str, str] = ("", "")) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / lora.WEIGHTS
    kept = {name: change(name, tensor) for name, tensor in load_file(file).items()}
    save_file({name.replace(*rename): tensor for name, tensor in kept.items() if tensor is not None}, file)


REFUSALS: list[tuple[Callable[[Path], None], str]] = [
    (truncated, r"adapter_model\.safetensors: is truncated or not safetensors"),
    (garbage, r"adapter_model\.safetensors: is truncated or not safetensors"),
    (no_weights, r"adapter_model\.safetensors: can't be read"),
    (pickled, r"adapter_model\.safetensors: can't be read"),
    (no_config, r"adapter_config\.json: can't be read"),
    (half_config, r"adapter_config\.json: is not JSON"),
    (no_manifest, r"labcue\.json: can't be read"),
    (other_kind, r"adapter_config\.json: peft_type: must be LORA"),
    (rank_of_another, r"doesn't fit the model"),
    (not_a_number, r"adapter_model\.safetensors: .*lora_A.*: holds numbers that are not finite"),
    (half_a_pair, r"q_proj: its two halves are not a pair"),
    (other_shape, r"lora_A\.weight: is made for 30 where the model has 32"),
    (other_layers, r"layers\.30\..*: the model has no such layer"),
    (missing_layer, r"is not complete for its adapter_config\.json"),
    (empty, r"adapter_model\.safetensors: holds no weights"),
    (other_prompt, r"prompt_version: the model was trained on prompt version 0"),
    (other_base, r"base: made for mistralai/Mistral-7B-v0\.1, and the model here is tiny"),
    (explodes, r"gives no probabilities on this model"),
]


@pytest.mark.parametrize(("spoil", "said"), REFUSALS, ids=[spoil.__name__ for spoil, _ in REFUSALS])
def test_a_bad_adapter_is_refused_by_name_and_the_old_one_stays(
    tiny_folder: Path,
    folders: dict[str, Path],
    copy: Callable[[Path], Path],
    shared_engine: MistralEngine,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
    said: str,
) -> None:
    folder = copy(folders["north"])
    engines = made(shared_engine, {"north": folder})
    kept = engines.get("north")
    before, base = kept.score([PROMPT])[0], shared_engine.score([PROMPT])[0]
    spoil(folder)
    [change] = engines.reload()
    assert change.outcome == "refused"
    with pytest.raises(ConfigError, match=said) as caught:
        shared_engine.load_adapter(folder, "adapters.north")
    assert str(caught.value) == change.why
    assert {violation.path for violation in caught.value.violations} == {"adapters.north"}
    assert "the old one stays" in caplog.text
    assert engines.get("north") is kept
    assert close(kept.score([PROMPT])[0], before)
    assert close(shared_engine.score([PROMPT])[0], base)
    with pytest.raises(ConfigError, match=r"adapters\.north|" + said):
        made(shared_engine, {"north": folder})


@pytest.fixture(scope="module")
def shared_engine(tiny_folder: Path) -> MistralEngine:
    return load_mistral(tiny_folder, device="cpu")


def test_at_the_start_all_bad_adapters_are_named_at_once(
    shared_engine: MistralEngine, folders: dict[str, Path], copy: Callable[[Path], Path], tmp_path: Path
) -> None:
    bad = copy(folders["north"])
    truncated(bad)
    with pytest.raises(ConfigError) as caught:
        made(shared_engine, {"a": bad, "good": folders["south"], "b": tmp_path / "none"})
    assert [violation.path for violation in caught.value.violations] == ["adapters.a", "adapters.b"]
