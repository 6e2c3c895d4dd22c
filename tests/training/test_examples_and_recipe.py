"""Examples of every source, the split, and the recipe on a tiny Mistral."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from cds_service.inference.mistral import MistralEngine, load_mistral
from fhir_adapter import catalog
from fhir_adapter.prompt import LABELS, Prompt, Slot
from training import build, from_bundles, simulate
from training.config import load
from training.examples import DataError, Example, read, write
from training.finetune import main, run
from training.plan import plan
from training.recalibrate import recalibrate
from training.split import check_apart, split_of

CATALOG = catalog.load()
EXAMPLES = Path(__file__).parents[2] / "examples" / "bundles"


def test_the_split_is_seventy_fifteen_fifteen_and_never_moves() -> None:
    shares = Counter(split_of(f"patient {number}") for number in range(20_000))
    assert shares["train"] / 20_000 == pytest.approx(0.70, abs=0.01)
    assert shares["validation"] / 20_000 == pytest.approx(0.15, abs=0.01)
    with pytest.raises(DataError, match="train and in the test split"):
        check_apart([("train", ["a", "b"]), ("test", ["b"])])


def test_the_simulator_is_the_same_for_the_same_seed_and_labels_follow_its_intervals() -> None:
    first = list(simulate.examples(CATALOG, count=150, seed=3))
    assert first == list(simulate.examples(CATALOG, count=150, seed=3))
    assert first != list(simulate.examples(CATALOG, count=150, seed=4))
    sides = {"L": "below", "LL": "below", "H": "above", "HH": "above"}
    checked = 0
    for example in first:
        for slot in example.slots:
            line = example.prompt[: slot.end].rpartition("\n")[2]
            if " lab] " in line and slot.label in sides:
                checked += 1
                assert sides[slot.label] in line
    assert checked > 20


def test_bundles_give_the_laboratorys_own_word_as_label() -> None:
    made = [example for _, example in from_bundles.examples(EXAMPLES, CATALOG)]
    assert {slot.origin for example in made for slot in example.slots} <= {"interpretation", "interval"}
    assert {example.case for example in made} == {"given", "usual"}
    with pytest.raises(DataError, match="holds no bundle"):
        list(from_bundles.examples(EXAMPLES / "none", CATALOG))


def test_lines_that_are_no_examples_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    (one, *_) = simulate.examples(CATALOG, count=5)
    write(file, [one])
    assert list(read(file)) == [one]
    for bad, why in (("{", "line 2"), (json.dumps({"source": "x"}), "line 2"), (_with_label(one, "X"), "none of N")):
        file.write_bytes(file.read_bytes().split(b"\n")[0] + b"\n" + bad.encode() + b"\n")
        with pytest.raises(DataError, match=why):
            list(read(file))


def _with_label(example: Example, label: str) -> str:
    fields = {name: getattr(example, name) for name in example.__struct_fields__}
    return json.dumps(fields | {"slots": [[5, label, "flag", "x", True]]})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    rows = ((split_of(one.group), one) for one in simulate.examples(CATALOG, count=300))
    build.build(folder, rows, {"seed": 1})
    return folder


def test_a_dataset_that_was_touched_is_refused(dataset: Path, tmp_path: Path) -> None:
    build.load_manifest(dataset)
    assert "simulated" in (dataset / "CARD.md").read_text()
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in dataset.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "test.ndjson.gz").write_bytes(b"")
    with pytest.raises(DataError, match="differs from its digest"):
        build.load_manifest(copy)
    with pytest.raises(DataError, match="exists already"):
        build.build(dataset, (), {})


def _config(folder: Path, data: Path, **more: object) -> Path:
    file = folder / "config.yaml"
    optimiser = {
        "learning_rate": 2e-3,
        "gradient_accumulation_steps": 1,
        "max_steps": 6,
        "warmup_steps": 1,
        "eval_steps": 3,
        "save_steps": 3,
    }
    new = {"hidden_size": 32, "layers": 1, "heads": 2, "kv_heads": 1, "intermediate_size": 48, "vocabulary": 1024}
    file.write_text(
        yaml.safe_dump(
            {"name": "tiny", "data": str(data), "output_dir": str(folder / "run"), "new": new, "optimiser": optimiser}
            | more
        )
    )
    return file


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_the_recipe_trains_a_model_that_the_service_loads(dataset: Path, tmp_path: Path) -> None:
    config = load(_config(tmp_path, dataset, report_to=["tensorboard"]))
    planned = plan(config)
    assert planned["steps"] == 6
    trained = run(config, quiet=True)
    # The estimate takes the vocabulary as asked; training may find fewer entries.
    assert 0 < trained["parameters"] <= planned["parameters"]
    final = tmp_path / "run" / "final"
    assert not final.with_name("final.unfinished").exists()
    engine = load_mistral(final)
    (example, *_) = read(dataset / "test.ndjson.gz")
    slots = tuple(Slot(number, slot.end) for number, slot in enumerate(example.slots))
    (scores,) = engine.score([Prompt(example.prompt, slots, example.version)])
    assert len(scores) == len(slots)
    assert all(len(score.probabilities) == len(LABELS) for score in scores)
    assert engine.thresholds.default == trained["calibration"]["threshold"]
    (told,) = (tmp_path / "run").rglob("events.out.tfevents.*")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    seen = EventAccumulator(str(told)).Reload()
    assert [one.step for one in seen.Scalars("eval/loss")] == [3, 6]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_model_of_single_results_is_trained_planned_and_asked_so(dataset: Path, tmp_path: Path) -> None:
    config = load(_config(tmp_path, dataset, one_result=True))
    panels = list(read(dataset / "train.ndjson.gz"))
    assert plan(config)["examples"] == sum(len(one.slots) for one in panels) > len(panels)
    trained = run(config, quiet=True)
    engine = load_mistral(tmp_path / "run" / "final")
    assert engine.max_results == 1
    fitted = trained["calibration"]["groups"]
    again = recalibrate(config)["calibration"]
    assert again["groups"] == fitted
    assert again["temperature"] == trained["calibration"]["temperature"]


def test_mistakes_of_a_config_are_all_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("data: x\nname: ''\nseed: many\noptimiser: {learning_rate: -1, typo: 2}\n")
    assert main(["--config", str(file)]) == 2
    said = capsys.readouterr().err
    for field in ("name", "seed", "optimiser.learning_rate", "optimiser.typo"):
        assert field in said
    assert main(["--config", str(_config(tmp_path, tmp_path / "none"))]) == 2
    assert "dataset.json" in capsys.readouterr().err
    assert main(["--config", str(tmp_path / "none.yaml")]) == 2


@pytest.fixture(scope="module")
def tiny(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained tiny Mistral, as a base for adapters."""
    folder = tmp_path_factory.mktemp("tiny")
    run(load(_config(folder, dataset)), quiet=True)
    return folder / "run" / "final"


def _scores(engine: MistralEngine, dataset: Path) -> list[tuple[float, ...]]:
    (example, *_) = read(dataset / "test.ndjson.gz")
    slots = tuple(Slot(number, slot.end) for number, slot in enumerate(example.slots))
    (scores,) = engine.score([Prompt(example.prompt, slots, example.version)])
    return [score.probabilities for score in scores]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_an_adapter_is_trained_saved_loaded_and_merged_alike(dataset: Path, tiny: Path, tmp_path: Path) -> None:
    import peft
    import torch
    import transformers

    optimiser = {"learning_rate": 0.02, "gradient_accumulation_steps": 2, "max_steps": 4, "warmup_steps": 1}
    file = _config(tmp_path, dataset, new=None, base=str(tiny), lora={"r": 4}, optimiser=optimiser)
    trained = run(load(file), quiet=True)
    assert 0 < trained["trained_parameters"] < trained["parameters"] / 3
    final = tmp_path / "run" / "final"
    base, adapted = load_mistral(tiny), load_mistral(tiny, final)
    assert adapted.info.adapter == "tiny"
    assert _scores(base, dataset) != _scores(adapted, dataset)
    merged = peft.PeftModel.from_pretrained(
        transformers.MistralForCausalLM.from_pretrained(str(tiny)), str(final)
    ).merge_and_unload()
    merged.save_pretrained(str(tmp_path / "merged"))
    manifest = json.loads((tiny / "labcue.json").read_text()) | {"files": {}}
    manifest["temperature"] = json.loads((final / "labcue.json").read_text())["temperature"]
    (tmp_path / "merged" / "labcue.json").write_text(json.dumps(manifest))
    (tmp_path / "merged" / "tokenizer.json").write_bytes((tiny / "tokenizer.json").read_bytes())
    whole = _scores(load_mistral(tmp_path / "merged"), dataset)
    torch.testing.assert_close(torch.tensor(whole), torch.tensor(_scores(adapted, dataset)), atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_run_that_was_cut_off_goes_on_to_the_same_weights(dataset: Path, tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    config = load(_config(tmp_path, dataset))
    run(config, quiet=True)
    whole = load_file(str(tmp_path / "run" / "final" / "model.safetensors"))
    # As after a kill: no final folder, and a later checkpoint that was cut off while it was written.
    shutil.rmtree(tmp_path / "run" / "final")
    shutil.rmtree(tmp_path / "run" / "checkpoint-6")
    (tmp_path / "run" / "checkpoint-5").mkdir()
    run(config, quiet=True)
    resumed = load_file(str(tmp_path / "run" / "final" / "model.safetensors"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    # Cut off after the last step: nothing is left to train.
    shutil.rmtree(tmp_path / "run" / "final")
    run(config, quiet=True)
    ended = load_file(str(tmp_path / "run" / "final" / "model.safetensors"))
    assert all(torch.equal(whole[name], ended[name]) for name in whole)
    assert not (tmp_path / "run" / "checkpoint-7").exists()
    # The same seed gives the same model.
    first = load_file(str(tiny / "model.safetensors"))
    assert all(torch.equal(whole[name], first[name]) for name in whole)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_loss_that_is_no_number_ends_training_with_its_step(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optimiser = {"learning_rate": 1e38, "max_steps": 6, "warmup_steps": 0, "max_grad_norm": 1e30}
    file = _config(tmp_path, dataset, optimiser=optimiser)
    assert main(["--config", str(file)]) == 3
    assert "the loss is no number at step" in capsys.readouterr().err
    assert not (tmp_path / "run" / "final").exists()


def test_what_cannot_be_a_base_is_named(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("{}")
    file = _config(tmp_path, dataset, new=None, base=str(tmp_path))
    assert main(["--config", str(file)]) == 2
    assert "config.json: is no Mistral's configuration, it lacks hidden_size" in capsys.readouterr().err


def test_seven_billion_parameters_are_planned_and_refused_where_they_cannot_fit(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"new": None, "base": "mistralai/Mistral-7B-v0.1", "optimiser": {}}
    lora = plan(load(_config(tmp_path, dataset, lora={}, **given)))
    assert lora["parameters"] == pytest.approx(7.24e9 + 42e6, rel=0.002)
    assert lora["trained_parameters"] == 41_943_040
    quantized = plan(load(_config(tmp_path, dataset, lora={}, quantization="4bit", **given)))
    assert quantized["memory_gib"] < 16 / 2 < lora["memory_gib"] < 24
    assert main(["--config", str(_config(tmp_path, dataset, **given)), "--dry-run"]) == 2
    assert "GiB" in capsys.readouterr().err
