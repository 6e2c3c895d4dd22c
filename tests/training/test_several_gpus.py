"""What several GPUs need of us: configurations that accelerate takes, and a model that is called as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_adapter import catalog
from training import simulate
from training.config import Lora, NewModel
from training.models import new_model
from training.slots_data import Rows, collate, encode, slot_logits
from training.tokenizer import LABEL_TOKENS, new_tokenizer

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


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
