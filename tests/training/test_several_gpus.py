"""What several GPUs need of us: configurations that accelerate takes, a model that is called as a whole, and one result of all processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cds_service.inference.mistral import load_mistral
from fhir_adapter import catalog
from fhir_adapter.prompt import Prompt, Slot
from training import build, processes, simulate, slots_data
from training.config import Lora, NewModel, load
from training.examples import read
from training.finetune import run
from training.models import new_model
from training.plan import memory_gib, plan
from training.slots_data import Rows, collate, encode, slot_logits
from training.split import split_of
from training.tokenizer import LABEL_TOKENS, new_tokenizer

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "training" / "configs"


@pytest.mark.parametrize(("name", "part"), [("fsdp", "fsdp_config"), ("deepspeed", "deepspeed_config")])
def test_accelerate_takes_the_configuration_and_knows_each_of_its_keys(name: str, part: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    file = CONFIGS / f"{name}.yaml"
    config = load_config_from_file(str(file))  # refuses unknown keys of the first level
    (command,) = (line[4:] for line in file.read_text().splitlines() if line.startswith("#   accelerate launch"))
    given = command.split()[2:]
    assert given[:2] == ["--config_file", f"training/configs/{name}.yaml"]
    given[1] = str(file)
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(given))
    assert set(getattr(config, part)) <= set(vars(args))
    assert args.use_fsdp is (name == "fsdp")
    assert args.use_deepspeed is (name == "deepspeed")
    assert args.mixed_precision == "bf16"
    assert args.num_processes == 4
    assert args.training_script == "training.finetune"
    if name == "deepspeed":
        assert args.zero_stage == 2


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    import torch

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("lora", [None, Lora(r=2)])
def test_a_wrapped_model_gives_the_logits_and_gradients_of_a_plain_one(
    lora: Lora | None, request: pytest.FixtureRequest
) -> None:
    import peft
    import torch

    examples = list(simulate.examples(catalog.load(), count=6, laboratories=5))
    tokenizer = new_tokenizer(catalog.load(), [one.prompt for one in examples])
    labels = [tokenizer.token_to_id(token) for token in LABEL_TOKENS.values()]
    torch.manual_seed(3)
    shape = NewModel(hidden_size=32, layers=1, heads=2, kv_heads=1, intermediate_size=48)
    model = new_model(shape, tokenizer.get_vocab_size())
    if lora is not None:
        model = peft.get_peft_model(
            model, peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        )
    rows, _ = encode(examples, tokenizer, 4096)
    items = Rows(rows)
    batch = collate([items[index] for index in range(len(rows))])

    def step(called: torch.nn.Module) -> tuple[torch.Tensor, list[torch.Tensor]]:
        model.zero_grad()
        logits = slot_logits(called, batch, labels)
        torch.nn.functional.cross_entropy(logits, batch["targets"]).backward()
        return logits.detach(), [one.grad.clone() for one in model.parameters() if one.grad is not None]

    plain, gradients = step(model)
    request.getfixturevalue("process_group")
    asked: list[int] = []
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    wrapped.register_forward_pre_hook(lambda *_: asked.append(1))
    together, gathered = step(wrapped)
    assert asked == [1]  # through the wrapper, so that its hooks run
    torch.testing.assert_close(together, plain)
    torch.testing.assert_close(gathered, gradients, atol=1e-6, rtol=1e-4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    made = simulate.examples(catalog.load(), count=300)
    build.build(folder, ((split_of(one.group), one) for one in made), {"seed": 1})
    return folder


def _config(folder: Path, data: Path, accumulation: int = 1, **more: object) -> Path:
    folder.mkdir(exist_ok=True)
    optimiser = {"learning_rate": 0.02, "max_steps": 6, "warmup_steps": 1, "eval_steps": 3, "save_steps": 3}
    optimiser |= {"logging_steps": 1, "per_device_train_batch_size": 4, "gradient_accumulation_steps": accumulation}
    # A number of examples that two processes can't share evenly.
    told = {"name": "x", "data": str(data), "output_dir": str(folder / "run"), "validation_examples": 37}
    (folder / "config.yaml").write_text(yaml.safe_dump(told | {"optimiser": optimiser} | more))
    return folder / "config.yaml"


def test_the_plan_is_for_all_processes_and_memory_for_each(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"base": "mistralai/Mistral-7B-v0.1", "optimiser": {}}
    whole = load(_config(tmp_path, dataset, **given))
    alone, machine = plan(whole), memory_gib()
    assert (alone["processes"], alone["examples_a_step"]) == (1, 32)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    copies = plan(whole)
    assert (copies["processes"], copies["examples_a_step"]) == (4, 128)
    assert copies["steps"] == pytest.approx(alone["steps"] / 4, abs=1)
    assert copies["memory_gib"] == alone["memory_gib"]
    assert memory_gib() == pytest.approx(machine / 4)  # type: ignore[operator]
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    needs = {}
    for stage in ("0", "1", "2", "3"):
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", stage)
        needs[stage] = plan(whole)["memory_gib"]
    assert alone["memory_gib"] == needs["0"] > needs["1"] > needs["2"] > needs["3"]
    monkeypatch.delenv("ACCELERATE_USE_DEEPSPEED")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert plan(whole)["memory_gib"] == needs["3"] == pytest.approx(1 + (alone["memory_gib"] - 1) / 4, abs=0.02)
    quantized = load(_config(tmp_path, dataset, **given, lora={}, quantization="4bit"))
    assert plan(quantized)["memory_gib"] > 0.55 * 7.2e9 / 2**30  # its weights aren't shared out


@pytest.mark.parametrize("passes", [1, 2, 5, 8])
def test_each_pass_is_some_processes_and_all_take_equally_many(passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [[number] for number in range(passes)]
    assert slots_data._mine(chunks) == chunks
    monkeypatch.setattr(processes, "together", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in ("0", "1", "2"):
        monkeypatch.setenv("RANK", rank)
        shares.append(slots_data._mine(chunks))
    assert len({len(share) for share in shares}) == 1
    assert sorted({chunk[0] for share in shares for chunk in share}) == list(range(passes))


def _launched(way: str, folder: Path, config: Path) -> str:
    """Runs the recipe in two processes; what they said."""
    if way == "ddp":
        launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training.finetune"]
    else:
        told = yaml.safe_load((CONFIGS / "fsdp.yaml").read_text())
        (folder / "two.yaml").write_text(
            yaml.safe_dump(told | {"num_processes": 2, "use_cpu": True, "mixed_precision": "no"})
        )
        launcher = ["accelerate.commands.launch", "--config_file", str(folder / "two.yaml"), "--main_process_port", "0"]
        launcher += ["-m", "tests.training.two_processes"]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, "--config", str(config)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def _scores(base: Path, adapter: Path, dataset: Path) -> list[tuple[float, ...]]:
    engine = load_mistral(base, adapter)
    (example, *_) = read(dataset / "test.ndjson.gz")
    slots = tuple(Slot(number, slot.end) for number, slot in enumerate(example.slots))
    (scores,) = engine.score([Prompt(example.prompt, slots, example.version)])
    return [score.probabilities for score in scores]


def _told(run: Path) -> tuple[int, list[float], list[float]]:
    """The last checkpoint's steps, their losses, and those of the evaluations."""
    state = json.loads((run / "checkpoint-6" / "trainer_state.json").read_text())
    losses, evaluations = ([one[name] for one in state["log_history"] if name in one] for name in ("loss", "eval_loss"))
    return state["global_step"], losses, evaluations


@pytest.fixture(scope="module")
def alone(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Path]:
    """A base, what an adapter on it is trained with, and the run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    new = {"hidden_size": 32, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate_size": 48, "vocabulary": 1024}
    run(load(_config(folder / "base", dataset, new=new)), quiet=True)
    base = folder / "base" / "run" / "final"
    more = {"base": str(base), "lora": {"r": 4, "dropout": 0.0}, "report_to": ["tensorboard"]}
    run(load(_config(folder / "one", dataset, 4, **more)), quiet=True)
    return base, more, folder / "one" / "run"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes_train_what_one_trains(
    way: str, dataset: Path, alone: tuple[Path, dict[str, Any], Path], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    base, more, one = alone
    config = _config(tmp_path, dataset, 2, **more)
    said = _launched(way, tmp_path, config)
    two = tmp_path / "run"
    # The same steps of as many examples: the same losses, of training and of all validation examples, each counted once.
    (steps, losses, evaluations), (steps_one, losses_one, evaluations_one) = _told(two), _told(one)
    assert steps == steps_one == 6
    assert losses == pytest.approx(losses_one, rel=1e-4)
    assert evaluations == pytest.approx(evaluations_one, rel=1e-4)
    assert len(losses) == 6
    assert len(evaluations) == 2
    # One process speaks and writes, and what is shared out is whole again.
    assert said.count("trained in") == said.count("trained parameters") == 1
    assert sorted(file.name for file in (two / "final").iterdir()) == sorted(p.name for p in (one / "final").iterdir())
    assert not [*two.rglob("*.unfinished"), *two.rglob("tmp*")]
    assert len([*two.rglob("events.out.tfevents.*")]) == 1
    assert (two / "checkpoint-6" / "pytorch_model_fsdp.bin").is_file() is (way == "fsdp")
    told, told_one = (json.loads((folder / "final" / "training.json").read_text()) for folder in (two, one))
    assert told["processes"] == 2
    for name in ("parameters", "trained_parameters", "calibration"):
        assert told[name] == told_one[name]
    weights, weights_one = (load_file(str(run / "final" / "adapter_model.safetensors")) for run in (two, one))
    torch.testing.assert_close(weights, weights_one, atol=1e-5, rtol=1e-4)
    scores, scores_one = (torch.tensor(_scores(base, run / "final", dataset)) for run in (two, one))
    torch.testing.assert_close(scores, scores_one, atol=1e-5, rtol=1e-4)
    # As after a kill: it goes on from its last whole checkpoint, to the same bytes.
    whole = (two / "final" / "adapter_model.safetensors").read_bytes()
    shutil.rmtree(two / "final")
    (two / "checkpoint-6" / "rng_state_1.pth").write_bytes(b"")
    _launched(way, tmp_path, config)
    assert (two / "final" / "adapter_model.safetensors").read_bytes() == whole
    assert _told(two)[1] == pytest.approx(losses)
