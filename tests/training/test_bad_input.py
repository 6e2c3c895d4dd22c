"""What goes wrong in training's data and files is named, and nothing half-written is taken."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import yaml

from fhir_adapter import catalog
from training import build, models, simulate
from training.config import Config, NewModel
from training.examples import DataError, Example, of_split, write
from training.saving import last_checkpoint
from training.split import Split, split_of
from training.tokenizer import new_tokenizer

CATALOG = catalog.load()


@pytest.fixture(scope="module")
def made() -> list[Example]:
    return list(simulate.examples(CATALOG, count=120, laboratories=10))


def _normal(example: Example) -> Example:
    slots = tuple(msgspec.structs.replace(slot, label="N") for slot in example.slots)
    return msgspec.structs.replace(example, slots=slots)


def _rows(
    made: list[Example], *, without: Split | None = None, normal: Split | None = None
) -> Iterator[tuple[Split, Example]]:
    for one in made:
        split = split_of(one.group)
        if split != without:
            yield split, _normal(one) if split == normal else one


def test_an_empty_split_one_of_one_class_and_a_patient_in_two_are_refused(made: list[Example], tmp_path: Path) -> None:
    for rows, why in (
        (_rows(made, without="test"), "the test split is empty; give more patients"),
        (_rows(made, normal="validation"), "the validation split holds only results labelled N"),
        (
            iter([*_rows(made), ("test", next(one for split, one in _rows(made) if split == "train"))]),
            "train and in the test",
        ),
    ):
        with pytest.raises(DataError, match=why):
            build.build(tmp_path / "dataset", rows, {})
        assert not (tmp_path / "dataset").exists()


def test_a_split_that_cannot_be_trained_on_is_named_when_it_is_read(made: list[Example], tmp_path: Path) -> None:
    write(tmp_path / "train.ndjson.gz", [_normal(one) for one in made])
    with pytest.raises(DataError, match="the train split has one class only"):
        of_split(tmp_path, "train")
    with pytest.raises(DataError, match="holds nothing of sources mimic-iv"):
        of_split(tmp_path, "train", ["mimic-iv"])
    whole = (tmp_path / "train.ndjson.gz").read_bytes()
    (tmp_path / "train.ndjson.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"train\.ndjson\.gz: ends in the middle of line \d+; build the dataset again"):
        of_split(tmp_path, "train")
    with pytest.raises(DataError, match=r"validation\.ndjson\.gz: can't be read"):
        of_split(tmp_path, "validation")


def _checkpoint(folder: Path, step: int) -> Path:
    import torch
    from safetensors.torch import save_file

    made = folder / f"checkpoint-{step}"
    made.mkdir()
    save_file({"weight": torch.ones(64, 64)}, str(made / "model.safetensors"))
    for name in ("optimizer.pt", "pytorch_model_fsdp.bin", f"global_step{step}/states.pt"):
        (made / name).parent.mkdir(exist_ok=True)
        torch.save({"step": torch.ones(64, 64)}, made / name)
    (made / "trainer_state.json").write_text("{}")
    return made


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "optimizer.pt", "trainer_state.json", "pytorch_model_fsdp.bin", "global_step10/states.pt"],
)
def test_training_goes_on_from_the_last_checkpoint_that_is_whole(name: str, tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    first, second = _checkpoint(tmp_path, 9), _checkpoint(tmp_path, 10)
    assert last_checkpoint(tmp_path) == str(second)
    whole = (second / name).read_bytes()
    (second / name).write_bytes(whole[: len(whole) // 2])
    assert last_checkpoint(tmp_path) == str(first)
    shutil.rmtree(first)
    assert last_checkpoint(tmp_path) is None


def _config(base: Path) -> Config:
    return Config.model_validate(yaml.safe_load(f"{{name: x, data: x, base: {base}, lora: {{}}}}"))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_base_that_is_damaged_or_has_anothers_tokenizer_is_named(made: list[Example], tmp_path: Path) -> None:
    shape = NewModel(hidden_size=16, layers=1, heads=2, kv_heads=1, intermediate_size=16)
    tokenizer = new_tokenizer(CATALOG, [one.prompt for one in made[:20]])
    models.new_model(shape, tokenizer.get_vocab_size()).save_pretrained(str(tmp_path))
    with pytest.raises(DataError, match=r"tokenizer\.json.*is missing"):
        models.load(_config(tmp_path), ())
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    models.load(_config(tmp_path), ())
    tokenizer.add_tokens(["one too many"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match=r"tokenizer\.json: has .* entries and the model .*another model"):
        models.load(_config(tmp_path), ())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"base .*: can't be loaded \(SafetensorError\)"):
        models.load(_config(tmp_path), ())
