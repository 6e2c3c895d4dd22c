"""What the embedded model is made of: the tokenizer's lens, known limits, thresholds, and the comparison's ways of showing a panel."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from fhir_adapter import catalog
from fhir_adapter.prompt import LABELS, render
from training import build, compare, known_limits, simulate, singles, slots_data
from training.calibrate import FITTED, Fitted, calibrate
from training.config import NewModel
from training.examples import Example, SlotLabel
from training.laboratories import Laboratories, laboratory, side
from training.models import lay_out_numbers, new_model
from training.slots_data import target
from training.split import split_of
from training.tokenizer import new_tokenizer

CATALOG = catalog.load()
PROMPT = """Laboratory results. Patient: adult, 54 years, female. After => stands N, L, H, A, LL, HH or AA.
Tests · Bilirubin, total · Potassium · 1 unknown
Outside their intervals: 1 of 2, +50%
Potassium: 6.9 mmol/L [3.5 to 5.1 lab] above +3.25 log +1.93 +0.68 +10.30; was 4.2 3 d ago; change +2.7 +64% =>
"Lipase XL": 12 U/L [none] =>
"""


def test_the_lens_lets_arithmetic_through_and_each_catalog_name_is_one_token() -> None:
    tokenizer = new_tokenizer(CATALOG, [PROMPT] * 3)
    read = [tokenizer.decode([token]) for token in tokenizer.encode(PROMPT).ids]
    assert read[8:13] == [" · Bilirubin, total", " · Potassium", " · 1 unknown", " +50%", "Potassium:"]
    assert read[13:25] == [" lab", " above", " +3.2", "5", " log", " +1.9", "3", " +0.6", "8", " +10", ".3", "0"]
    assert "6.9" not in "".join(read)
    assert "mmol" not in "".join(read)
    for analyte in CATALOG.analytes.values():
        assert len(tokenizer.encode(f"Tests · {analyte.name()}\n{analyte.name()}: 1 [none] =>\n").ids) <= 5
    single = new_tokenizer(CATALOG, [PROMPT] * 3, lens="single")
    alone = [single.decode([token]) for token in single.encode(PROMPT).ids]
    assert alone[:8] == read[:8]
    assert alone[8:] == read[12:]  # who the patient is, then the results: no list of tests, no share outside
    bare = new_tokenizer(CATALOG, [PROMPT] * 3, lens="numbers")
    shown = "".join(bare.decode([token]) for token in bare.encode(PROMPT).ids)
    assert "6.9 mmol/L3.5 to 5.1 lab" in shown
    for arithmetic in ("above", "+3.2", "log", "64%", "50%"):
        assert arithmetic not in shown


def test_known_limits_are_of_the_catalog_and_plausible() -> None:
    for id, lists in known_limits.known().items():
        analyte = CATALOG.analytes[id]
        assert len(lists["male"]) >= 3
        for low, high in (*lists["male"], *lists["female"]):
            for end in (low, high):
                if end is None or end == 0:
                    continue
                assert analyte.implausible_low is None or end >= analyte.implausible_low, id
                assert analyte.implausible_high is None or end <= analyte.implausible_high, id
            # A slip of a unit or a decimal would lie far from the usual interval.
            usual = analyte.interval_for(sex="male", age_years=50, pregnant=None)
            if usual is not None and usual.high is not None and high is not None:
                assert usual.high / 3 < high < usual.high * 3, id


@pytest.mark.parametrize("text", ["5-4", "-", "a-b", "3,5-5", ""])
def test_limits_that_are_none_are_named(text: str) -> None:
    with pytest.raises(ValueError, match="zebra"):
        known_limits._limits("zebra", text)


def test_invented_laboratories_print_limits_that_laboratories_print() -> None:
    printed = set(known_limits.known()["sodium"]["male"])
    sodium = CATALOG.analytes["sodium"]
    seen = [laboratory(1, number).interval(sodium, "male", 40) for number in range(60)]
    share = sum(one in printed for one in seen) / len(seen)
    assert 0.5 < share < 0.95
    assert len(set(seen)) > 8
    # Both sexes' limits come from the same laboratory's line.
    lists = known_limits.known()["haemoglobin"]
    pairs = set(zip(lists["male"], lists["female"], strict=True))
    haemoglobin = CATALOG.analytes["haemoglobin"]
    for number in range(60):
        where = laboratory(2, number)
        men, women = (where.interval(haemoglobin, sex, 40) for sex in ("male", "female"))
        if men in lists["male"] and not where.one_for_both and women in lists["female"]:
            assert (men, women) in pairs or men == women


def _examples() -> list[Example]:
    return list(simulate.examples(CATALOG, count=40, seed=5))


def test_singles_show_each_result_as_render_would_alone() -> None:
    checked = 0
    for example in _examples():
        made = list(singles.singles(example))
        assert [one.slots[0].label for one in made] == [slot.label for slot in example.slots]
        for one in made:
            lines = one.prompt.splitlines()
            assert len(lines) == singles.HEADER + 1
            assert one.prompt[: one.slots[0].end].endswith(" =>")
            assert lines[-1] in example.prompt
            assert lines[2] in (
                "Outside their intervals: 1 of 1, +99%",
                "Outside their intervals: 0 of 1, +0%",
                "Outside their intervals: 0 of 0, unknown",
            )
            checked += 1
    assert checked > 100


def test_singles_have_the_header_that_the_service_writes() -> None:
    from fhir_adapter.normalize import normalize
    from fhir_adapter.read import read
    from tests.bundles import bundle, observation

    data = bundle(
        observation("k", "2823-3", 6.9, "mmol/L", 3.5, 5.1),
        observation("na", "2951-2", 140, "mmol/L", 135, 145),
        observation("odd", "99999-9", 3, "wibble"),
    )
    panel = normalize(read(data), CATALOG)
    prompt = render(panel)
    slots = tuple(SlotLabel(slot.end, "N", "flag", "x") for slot in prompt.slots)
    example = Example(source="x", group="g", case="given", version=prompt.version, prompt=prompt.text, slots=slots)
    alone = [render(replace(panel, results=(one,))).text for one in panel.results]
    assert [one.prompt for one in singles.singles(example)] == alone


def test_all_laboratories_together_say_what_share_would_call_a_number_low_or_high() -> None:
    potassium = CATALOG.analytes["potassium"]
    known = Laboratories(1, 80)
    limits = [limits for one in known.all if (limits := one.interval(potassium, "male", 40)) is not None]
    for number in (2.9, 3.4, 3.5, 4.2, 5.05, 5.1, 6.0):
        sides = [side(number, *one) for one in limits]
        shares = known.shares(potassium, "male", 40, number)
        assert shares == pytest.approx((sides.count("L") / len(sides), sides.count("H") / len(sides)), abs=1e-4)
    # A withheld interval teaches what all laboratories say; one that is shown teaches its own word.
    shared = {"usual": 0, "site": 0, "given": 0}
    for example in simulate.examples(CATALOG, count=60, laboratories=20):
        shared[example.case] += sum(slot.shares is not None for slot in example.slots)
        assert all(0 <= sum(slot.shares) <= 1 for slot in example.slots if slot.shares is not None)
    assert shared["usual"] > 100
    assert shared["site"] == shared["given"] == 0


def test_the_loss_wants_the_laboratories_shares_and_keeps_what_is_critical() -> None:
    n, low, high, _, critical_low, critical_high, _ = (LABELS.index(label) for label in LABELS)
    assert target(high, None)[high] == 1.0
    shared = target(n, (0.1, 0.25))
    assert (shared[n], shared[low], shared[high]) == pytest.approx((0.65, 0.1, 0.25))
    past = target(critical_high, (0.0, 1.0))
    assert past[critical_high] == 1.0
    assert past[high] == past[n] == 0
    assert target(critical_low, (0.9, 0.0))[critical_low] == 0.9


def test_near_numbers_start_with_near_embeddings() -> None:
    import torch

    torch.manual_seed(7)
    tokenizer = new_tokenizer(CATALOG, [PROMPT.replace("+3.25", f"+{n / 100:.2f}") for n in range(0, 400, 5)])
    model = new_model(NewModel(hidden_size=64, layers=1, heads=2, kv_heads=1), tokenizer.get_vocab_size())
    before = model.get_input_embeddings().weight.detach().clone()
    lay_out_numbers(model, tokenizer, 0.06)
    after = model.get_input_embeddings().weight.detach()

    def likeness(a: str, b: str) -> float:
        one, other = (after[tokenizer.token_to_id(f"Ġ{text}")] for text in (a, b))
        return float(torch.nn.functional.cosine_similarity(one, other, dim=0))

    assert likeness("+0.8", "+0.9") > 0.8 > likeness("+0.8", "+1.2") > likeness("+0.8", "+3.0")
    # Words and labels keep theirs, and no number is larger than they are.
    word = tokenizer.token_to_id("Ġabove")
    assert torch.equal(before[word], after[word])
    assert float(after[tokenizer.token_to_id("Ġ+0.8")].std()) == pytest.approx(0.06, rel=0.4)


def test_each_ground_is_calibrated_on_its_own_real_labels() -> None:
    import torch

    def slots(ground: str, origin: str) -> tuple[SlotLabel, ...]:
        return tuple(
            SlotLabel(10, "H" if number % 2 else "N", origin, "x", ground != "words", ground) for number in range(600)
        )

    grounds = (
        ("mimic-iv", "site", "flag", 2.0),
        ("mimic-iv", "usual", "flag", -1.0),
        ("simulated", "usual", "simulated", -9.0),
    )
    examples = [
        Example(source=source, group=source, case=ground, version="2", prompt="", slots=slots(ground, origin))
        for source, ground, origin, _ in grounds
    ]
    rows = []
    for (_, _, _, lift), example in zip(grounds, examples, strict=True):
        for slot in example.slots:
            true = slot.label != "N"
            rows.append([0.0, -9.0, lift if true else -5.0, -9.0, -9.0, -9.0, -9.0])
    truth = torch.tensor([2 if slot.label != "N" else 0 for example in examples for slot in example.slots])
    wanted = dict.fromkeys(FITTED, 0.9) | {"site": 0.98}
    fitted = calibrate(examples, torch.tensor(rows), truth, recall=wanted, worth=0.6, highest=0.5)
    # Where no rule says anything and nothing was measured it has no say; elsewhere the default holds.
    assert {ground for ground, at in fitted.thresholds.items() if at is None} == {"none", "unread"}
    assert set(fitted.thresholds) == {"site", "usual", "none", "unread"}
    # The simulator's abnormal results can't be found at all: they don't pull the threshold down.
    assert 0.05 < fitted.thresholds["usual"] < fitted.thresholds["site"] <= 0.5
    assert fitted.threshold == fitted.thresholds["usual"]
    assert fitted.groups["mimic-iv, site"]["recall"] == 1.0
    assert fitted.groups["simulated, usual"]["recall"] == 0.0

    # Where it calls all of another laboratory's results abnormal, it knows the habits of one alone.
    elsewhere = [row if number < 1200 else [0.0, -9.0, 2.0, *row[3:]] for number, row in enumerate(rows)]
    local = calibrate(examples, torch.tensor(elsewhere), truth, recall=wanted, worth=0.6, highest=0.5)
    assert local.thresholds["usual"] is None
    assert local.thresholds["site"] is not None

    # To keep its recall on noise a model would have to flag nearly everything: it gets no say.
    noise = torch.zeros_like(torch.tensor(rows))
    blind = calibrate(examples, noise, truth, recall=wanted, worth=0.6, highest=0.5)
    assert set(blind.thresholds.values()) == {None}
    assert blind.threshold == 0.5


def test_a_number_inside_its_interval_that_does_not_reach_the_least_for_it_counts_as_not_flagged() -> None:
    import torch

    lines = [f'"x": 1 [1 to 2 usual] {"inside" if number % 4 < 2 else "above"} +1.00 =>' for number in range(800)]
    examples = []
    for number, line in enumerate(lines):
        slot = SlotLabel(len("head\n" + line), "H" if number % 2 else "N", "flag", "x", True, "usual")
        examples.append(
            Example(source="s", group="g", case="usual", version="2", prompt=f"head\n{line}\n", slots=(slot,))
        )
    assert sum(singles.lies_inside(one, one.slots[0]) for one in examples) == 400
    # The same P(abnormal), a little over a half, for all that is abnormal, inside or not.
    rows = [[0.0, -9.0, 0.2 if number % 2 else -5.0, *(-9.0,) * 4] for number in range(800)]
    truth = torch.tensor([2 if number % 2 else 0 for number in range(800)])

    def fitted(inside: float | None, recall: float) -> Fitted:
        wanted = dict.fromkeys(FITTED, recall)
        return calibrate(examples, torch.tensor(rows), truth, recall=wanted, worth=0.6, highest=0.5, inside=inside)

    assert fitted(None, 0.9).groups["s, usual"]["recall"] == 1.0
    said = 1 - float(torch.softmax(torch.tensor(rows[1]) / fitted(None, 0.9).temperature, -1)[0])
    held = fitted(said + 0.01, 0.4)
    assert held.inside == said + 0.01
    assert held.groups["s, usual"]["recall"] == 0.5
    assert held.thresholds["usual"] == 0.5
    # The recall that is wanted can't be had by any threshold then; the lowest is taken.
    assert fitted(said + 0.01, 0.9).thresholds["usual"] == 0.05


def test_abnormal_answers_that_were_left_unflagged_do_not_move_the_temperature() -> None:
    import torch

    def example(line: str, label: str) -> Example:
        slot = SlotLabel(len("head\n" + line), label, "flag", "x", False, "words")
        return Example(source="s", group="g", case="usual", version="2", prompt=f"head\n{line}\n", slots=(slot,))

    known = [example('"x": "NEG", normal answer =>', "N"), example('"x": "2+", abnormal answer =>', "A")] * 200
    silent = [example('"x": "2+", abnormal answer =>', "N")] * 300
    sure = {"N": [6.0, *(0.0,) * 6], "A": [0.0, 0.0, 0.0, 6.0, 0.0, 0.0, 0.0]}

    def fitted(examples: list[Example]) -> Fitted:
        rows = [sure["N" if "normal" in one.prompt and "abnormal" not in one.prompt else "A"] for one in examples]
        truth = torch.tensor([LABELS.index(one.slots[0].label) for one in examples])
        wanted = dict.fromkeys(FITTED, 0.9) | {"unread": None}
        return calibrate(examples, torch.tensor(rows), truth, recall=wanted, worth=0.1, highest=0.5)

    alone, together = fitted(known), fitted(known + silent)
    assert together.temperature == alone.temperature < 1
    # What it costs in precision is told all the same.
    assert alone.groups["s, words"]["precision"] == 1.0
    assert together.groups["s, words"]["precision"] == 0.4
    assert together.thresholds["unread"] is None
    # A clinician's "normal" is no silence.
    said = [replace(one, slots=(replace(one.slots[0], origin="feedback"),)) for one in silent]
    assert fitted(known + said).temperature > alone.temperature


@pytest.mark.slow
def test_a_disk_that_fills_up_while_saving_ends_in_a_word_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    from tests.training.test_examples_and_recipe import _config

    folder = tmp_path / "dataset"
    build.build(folder, ((split_of(one.group), one) for one in simulate.examples(CATALOG, count=300)), {"seed": 1})
    file = _config(tmp_path, folder)
    for limit in (20_000, 90_000):  # the weights, then what the optimiser keeps
        code = (
            f"import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
            f"from training.finetune import main; raise SystemExit(main(['--config', {str(file)!r}]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
        assert done.returncode == 3, done.stderr[-2000:]
        assert "can't be written" in done.stderr
        assert "free some space" in done.stderr
        assert not (tmp_path / "run" / "final").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_comparison_trains_every_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.training.test_examples_and_recipe import _config

    folder = tmp_path / "dataset"
    examples = [  # patients of one hospital, and others whose limits nobody was told
        replace(one, source="nhanes" if one.case == "usual" and number % 2 else "mimic-iv")
        for number, one in enumerate(simulate.examples(CATALOG, count=200))
    ]
    build.build(folder, ((split_of(one.group), one) for one in examples), {"seed": 1})
    out = tmp_path / "comparison.json"
    given = ["--data", str(folder), "--config", str(_config(tmp_path, folder)), "--seeds", "1", "--out", str(out)]
    assert compare.main(given) == 0
    shown = capsys.readouterr().out
    for variant in compare.VARIANTS:
        assert variant.name in shown
    for row in json.loads(out.read_text()):
        assert all(row[column]["results"] > 0 for column in compare.COLUMNS)


def test_long_prompts_are_judged_in_fewer_at_once_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    torch.manual_seed(7)
    tokenizer = new_tokenizer(CATALOG, [PROMPT])
    model = new_model(NewModel(hidden_size=64, layers=1, heads=2, kv_heads=1), tokenizer.get_vocab_size())
    slots = (SlotLabel(PROMPT.index("=>\n") + 2, "HH", "flag", "potassium"),)
    long = PROMPT + "".join(PROMPT.splitlines(keepends=True)[3:]) * 5
    examples = [
        Example(source="x", group=str(number), case="given", version="2", prompt=text, slots=slots)
        for number, text in enumerate((PROMPT, long, PROMPT))
    ]
    sizes: list[int] = []
    whole = slots_data.slot_logits

    def counted(model: object, inputs: dict[str, torch.Tensor], labels: Sequence[int]) -> torch.Tensor:
        sizes.append(len(inputs["input_ids"]))
        return whole(model, inputs, labels)  # type: ignore[no-any-return]

    monkeypatch.setattr(slots_data, "slot_logits", counted)
    labels = range(len(LABELS))
    at_once, truth, _ = slots_data.predict(model, tokenizer, labels, examples, 4096)
    assert sizes == [3]
    monkeypatch.setattr(slots_data, "ATTENTION", 2 * len(tokenizer.encode(PROMPT).ids) ** 2)
    apart, _, _ = slots_data.predict(model, tokenizer, labels, examples, 4096)
    assert sizes[1:] == [1, 2]
    assert truth.tolist() == [LABELS.index("HH")] * 3
    torch.testing.assert_close(at_once, apart)
