"""The Mistral engine on a tiny random model: right numbers, and clear refusals."""

from __future__ import annotations

import json
import math
import struct
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cds_service.inference import mistral
from cds_service.inference.mistral import MistralEngine, load_mistral
from cds_service.inference.panel import prompts_for, score_prompts
from fhir_adapter.errors import ConfigError, EngineAnswer, EngineError, EngineNotLoaded
from fhir_adapter.model import Patient
from fhir_adapter.prompt import LABELS, Prompt, render
from tests.cds_service.inference.conftest import MANIFEST, make_panel

Copy = Callable[[Path], Path]


def numbers(scores: Any) -> list[float]:
    return [number for score in scores for number in score.probabilities]


def close(one: Any, other: Any) -> bool:
    first, second = numbers(one), numbers(other)
    return len(first) == len(second) and all(
        math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5) for a, b in zip(first, second, strict=True)
    )


def naive(folder: Path, prompt: Prompt, temperature: float) -> list[list[float]]:
    """Full logits at every token through the documented call, slots found in the text itself."""
    import torch
    from transformers import MistralForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = MistralForCausalLM.from_pretrained(folder).eval()
    labels = [tokenizer.encode(f" {label}", add_special_tokens=False) for label in LABELS]
    assert all(len(ids) == 1 for ids in labels)
    rows = []
    for slot in prompt.slots:
        # The text up to the slot alone: a causal model can't see what comes after it.
        ids = tokenizer(prompt.text[: slot.end], return_tensors="pt").input_ids
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, -1].float()
        rows.append(torch.softmax(logits[[ids[0] for ids in labels]] / temperature, 0).tolist())
    return rows


def test_one_pass_equals_reading_each_slot_by_itself(engine: MistralEngine, tiny_folder: Path) -> None:
    prompt = render(make_panel(6))
    [scores] = engine.score([prompt])
    assert [score.slot for score in scores] == [slot.result for slot in prompt.slots]
    expected = naive(tiny_folder, prompt, temperature=1.5)
    assert numbers(scores) == pytest.approx([number for row in expected for number in row], rel=1e-4, abs=1e-6)
    assert len({score.probabilities for score in scores}) > 1


def test_probabilities_sum_to_one_and_abnormal_is_the_rest(engine: MistralEngine) -> None:
    [scores] = engine.score([render(make_panel(20))])
    assert len(scores) == 20
    for score in scores:
        assert math.isclose(sum(score.probabilities), 1, abs_tol=1e-5)
        assert math.isclose(score.abnormal, sum(score.probabilities[1:]), abs_tol=1e-5)


def test_a_batch_answers_as_each_panel_alone(engine: MistralEngine) -> None:
    prompts = [render(make_panel(count, seed=count)) for count in (1, 11, 4, 0, 2)]
    together = engine.score(prompts)
    assert [len(scores) for scores in together] == [1, 11, 4, 0, 2]
    for prompt, scores in zip(prompts, together, strict=True):
        assert close(scores, engine.score([prompt])[0])


def test_small_passes_answer_as_one_large(engine: MistralEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [render(make_panel(count, seed=count)) for count in (3, 9, 5)]
    large = engine.score(prompts)
    monkeypatch.setattr(mistral, "TOKENS_A_PASS", 300)
    for one, other in zip(large, engine.score(prompts), strict=True):
        assert close(one, other)


def test_nothing_to_score(engine: MistralEngine) -> None:
    assert engine.score([]) == []
    assert engine.score([render(make_panel(0))]) == [()]


def test_threads_get_the_same_answers(engine: MistralEngine) -> None:
    prompts = [render(make_panel(5, seed=seed)) for seed in range(6)]
    expected = [engine.score([prompt])[0] for prompt in prompts]
    answers: list[Any] = [None] * len(prompts)

    def ask(number: int) -> None:
        answers[number] = engine.score([prompts[number]])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(close(one, other) for one, other in zip(answers, expected, strict=True))


def test_says_who_it_is_and_warms_up(engine: MistralEngine) -> None:
    engine.warm_up()
    info = engine.info
    assert (info.name, info.version, info.adapter, info.prompt_version) == (
        "tiny",
        "0.1",
        None,
        MANIFEST["prompt_version"],
    )
    assert engine.thresholds.default == 0.4
    assert engine.max_results == 40


def test_special_tokens_in_a_text_are_text(engine: MistralEngine) -> None:
    ids = engine._tokenizer.encode("x</s><s>").ids
    assert ids[0] == 1
    assert not set(ids[1:]) & {1, 2}


def test_too_long_is_refused_not_cut(engine: MistralEngine) -> None:
    with pytest.raises(EngineError, match=r"^prompt too long$"):
        engine.score([render(make_panel(200))])


def test_a_long_panel_goes_in_as_many_prompts_as_the_manifest_says(tiny_folder: Path, copy: Copy) -> None:
    folder = copy(tiny_folder)
    (folder / "labcue.json").write_text(json.dumps({**MANIFEST, "max_results": 8}))
    limited = load_mistral(folder, device="cpu")
    panel = make_panel(20)
    prompts = prompts_for(limited, panel)
    assert [len(prompt.slots) for prompt in prompts] == [8, 8, 4]
    scores = score_prompts(limited, prompts)
    assert [score.slot for score in scores] == list(range(20))
    assert close(scores[16:], limited.score([prompts[2]])[0])
    assert score_prompts(limited, prompts_for(limited, make_panel(0))) == ()


def test_max_tokens_of_the_manifest_binds(tiny_folder: Path, copy: Copy) -> None:
    folder = copy(tiny_folder)
    (folder / "labcue.json").write_text(json.dumps({**MANIFEST, "max_tokens": 60}))
    with pytest.raises(EngineError, match="prompt too long"):
        load_mistral(folder, device="cpu").score([render(make_panel(5))])


def test_temperature_flattens_and_keeps_the_order(engine: MistralEngine, tiny_folder: Path, copy: Copy) -> None:
    folder = copy(tiny_folder)
    (folder / "labcue.json").write_text(json.dumps({**MANIFEST, "temperature": 5}))
    prompt = render(make_panel(4))
    flat, sharp = load_mistral(folder, device="cpu").score([prompt])[0], engine.score([prompt])[0]
    for one, other in zip(flat, sharp, strict=True):
        assert max(one.probabilities) < max(other.probabilities)
        order = range(len(LABELS))
        assert sorted(order, key=one.probabilities.__getitem__) == sorted(order, key=other.probabilities.__getitem__)


def test_an_adapter_changes_answers_and_leaves_the_base_alone(
    engine: MistralEngine, tiny_folder: Path, tiny_adapter: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import MistralForCausalLM

    prompt = render(make_panel(6))
    before = engine.score([prompt])[0]
    adapted = load_mistral(tiny_folder, tiny_adapter, device="cpu")
    assert adapted.info.adapter == "tiny-lora"
    assert (adapted.info.name, adapted.info.version, adapted.thresholds.default) == ("tiny", "0.2", 0.3)
    scores = adapted.score([prompt])[0]
    assert not close(scores, before)
    assert close(load_mistral(tiny_folder, device="cpu").score([prompt])[0], before)

    # peft's own way, merged into the weights, says the same.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads a deprecated attribute of transformers
        base = MistralForCausalLM.from_pretrained(tiny_folder)
        merged = PeftModel.from_pretrained(base, tiny_adapter).merge_and_unload()
    ids = adapted._tokenizer.encode(prompt.text[: prompt.slots[-1].end]).ids
    with torch.no_grad():
        logits = merged.eval()(input_ids=torch.tensor([ids])).logits[0, -1]
    expected = torch.softmax(logits[adapted._labels], 0).tolist()
    assert list(scores[-1].probabilities) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_another_prompt_version_is_not_scored(engine: MistralEngine) -> None:
    with pytest.raises(EngineError, match="another prompt version"):
        engine.score([replace(render(make_panel(1)), version="0")])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_probability_is_an_error(tiny_folder: Path, bad: float) -> None:
    import torch

    broken = load_mistral(tiny_folder, device="cpu")
    with torch.no_grad():
        broken._model.lm_head.weight.fill_(bad)
    with pytest.raises(EngineAnswer):
        broken.score([render(make_panel(2))])


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("torch.OutOfMemoryError", "out of memory"),
        ("RuntimeError:DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes", "out of memory"),
        ("RuntimeError:CUDA error: out of memory", "out of memory"),
        ("RuntimeError:CUDA error: an illegal memory access was encountered", "^model stopped$"),
        ("RuntimeError:shape of secret", "^model failed$"),
        ("MemoryError", "out of memory"),
    ],
)
def test_failures_inside_the_model_are_engine_errors_with_fixed_text(
    tiny_folder: Path, failure: str, said: str
) -> None:
    import torch

    broken = load_mistral(tiny_folder, device="cpu")
    kind, _, text = failure.partition(":")
    error = {
        "torch.OutOfMemoryError": torch.OutOfMemoryError,
        "RuntimeError": RuntimeError,
        "MemoryError": MemoryError,
    }[kind]

    def fail(*_: object, **__: object) -> None:
        raise error(text)

    broken._model.lm_head.forward = fail
    with pytest.raises(EngineError, match=said) as caught:
        broken.score([render(make_panel(2))])
    assert "secret" not in str(caught.value)
    assert not broken._shared.lock.locked()


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def corrupt_header(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**40) + file.read_bytes()[8:])


def drop_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.self_attn.q_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})


def reshape_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] = tensors["lm_head.weight"][:-1].clone()
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("spoil", [truncate, corrupt_header, drop_a_tensor, reshape_a_tensor])
def test_weights_that_do_not_hold_are_refused(tiny_folder: Path, copy: Copy, spoil: Callable[[Path], None]) -> None:
    folder = copy(tiny_folder)
    spoil(folder)
    with pytest.raises(EngineNotLoaded, match=r"weights in .*(can't be loaded|not complete)"):
        load_mistral(folder, device="cpu")


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def other_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", "auto_map": {"AutoModel": "evil.py"}}')


def no_manifest(folder: Path) -> None:
    (folder / "labcue.json").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def half_tokenizer(folder: Path) -> None:
    file = folder / "tokenizer.json"
    file.write_text(file.read_text()[:500])


def foreign_tokenizer(folder: Path) -> None:
    from tests.cds_service.inference.conftest import byte_level_tokenizer

    byte_level_tokenizer(vocab_size=265).save(str(folder / "tokenizer.json"))


def large_tokenizer(folder: Path) -> None:
    from tests.cds_service.inference.conftest import byte_level_tokenizer

    tokenizer = byte_level_tokenizer()
    tokenizer.add_tokens([f"extra{number}" for number in range(9)])
    tokenizer.save(str(folder / "tokenizer.json"))


def half_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": ')


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pickled, r"no \*\.safetensors"),
        (other_model, "config.json: model_type: must be mistral"),
        (half_config, "config.json: is not JSON"),
        (no_manifest, "labcue.json: can't be read"),
        (no_tokenizer, "tokenizer.json: is missing"),
        (half_tokenizer, "tokenizer.json: is not a tokenizer"),
        (foreign_tokenizer, "tokenizer.json: the label .* is not one token after a slot"),
        (large_tokenizer, "tokenizer.json: has more entries"),
    ],
)
def test_a_folder_that_does_not_hold_is_refused_by_name(
    tiny_folder: Path, copy: Copy, spoil: Callable[[Path], None], said: str
) -> None:
    folder = copy(tiny_folder)
    spoil(folder)
    with pytest.raises(ConfigError, match=said) as caught:
        load_mistral(folder, device="cpu")
    assert all(violation.path == "model_path" for violation in caught.value.violations)
    assert caught.value.violations


def test_no_folder(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        load_mistral(tmp_path / "none")
    with pytest.raises(ConfigError, match="is not a folder") as caught:
        load_mistral(tiny_folder, tmp_path / "none")
    assert [violation.path for violation in caught.value.violations] == ["adapter_path"]


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:99", "mps"])
def test_a_device_that_is_not_there_is_refused(tiny_folder: Path, device: str) -> None:
    with pytest.raises(ConfigError, match="device") as caught:
        load_mistral(tiny_folder, device=device)
    assert [violation.path for violation in caught.value.violations] == ["device"]


def test_a_patient_never_reaches_an_error(engine: MistralEngine) -> None:
    panel = structs.replace(make_panel(200), patient=Patient(reference="Patient/secret"))
    with pytest.raises(EngineError) as caught:
        engine.score([render(panel)])
    assert str(caught.value) == "prompt too long"


@pytest.mark.gpu
def test_cuda_answers_as_the_cpu_does(engine: MistralEngine, tiny_folder: Path) -> None:
    prompts = [render(make_panel(count, seed=count)) for count in (3, 12)]
    on_gpu = load_mistral(tiny_folder, device="cuda").score(prompts)
    for one, other in zip(on_gpu, engine.score(prompts), strict=True):
        assert numbers(one) == pytest.approx(numbers(other), abs=0.05)
