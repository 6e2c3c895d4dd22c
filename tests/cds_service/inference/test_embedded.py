"""The model that ships in the package: that it loads as it was built, and says what a laboratory would."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from cds_service.clinical.assess import assess
from cds_service.config import Settings
from cds_service.inference.load import EMBEDDED, load_engine
from cds_service.inference.onnx_engine import OnnxEngine
from cds_service.inference.panel import prompts_for, score_prompts
from cds_service.pipeline import Pipeline
from fhir_adapter import catalog
from fhir_adapter.normalize import normalize
from fhir_adapter.read import read
from tests.bundles import bundle, observation

CATALOG = catalog.load()
EXAMPLES = sorted((Path(__file__).parents[3] / "examples" / "bundles").glob("*.json"))


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    engine, degraded = load_engine(Settings(engine="auto"))
    assert degraded is None
    assert isinstance(engine, OnnxEngine)
    return engine


def test_it_is_small_whole_and_has_its_card() -> None:
    assert sum(file.stat().st_size for file in EMBEDDED.iterdir()) < 8 * 1024 * 1024
    training = json.loads((EMBEDDED / "training.json").read_text())
    assert 500_000 <= training["parameters"] <= 5_000_000
    manifest = json.loads((EMBEDDED / "labcue.json").read_text())
    assert set(manifest["files"]) >= {"model.safetensors", "model.onnx", "config.json", "tokenizer.json"}
    card = (EMBEDDED / "MODEL_CARD.md").read_text()
    for part in ("## Use", "## Data", "## Figures", "## Limits", "ODbL"):
        assert part in card
    for ground, at in manifest["thresholds"].items():
        assert f"{'no say' if at is None else at} ({ground})" in card
    assert training["calibration"]["thresholds"] == manifest["thresholds"]


def _flagged(engine: OnnxEngine, data: bytes) -> list[bool]:
    panel = normalize(read(data), CATALOG)
    return [score.abnormal >= engine.thresholds.default for score in score_prompts(engine, prompts_for(engine, panel))]


@pytest.mark.parametrize(
    ("value", "flagged"), [(2.9, True), (3.4, True), (3.5, False), (4.2, False), (5.1, False), (5.2, True), (7.0, True)]
)
def test_with_the_laboratorys_interval_it_says_on_which_side_a_value_lies(
    engine: OnnxEngine, value: float, flagged: bool
) -> None:
    data = bundle(observation("k", "2823-3", value, "mmol/L", 3.5, 5.1))
    assert _flagged(engine, data) == [flagged]


def test_on_the_examples_it_agrees_with_the_laboratorys_intervals(engine: OnnxEngine) -> None:
    agreed = judged = 0
    for file in EXAMPLES:
        panel = normalize(read(file.read_bytes()), CATALOG)
        by_slot = {score.slot: score for score in score_prompts(engine, prompts_for(engine, panel))}
        for finding in assess(panel).results:
            placed = panel.results[finding.index]
            if placed.interval is None or placed.interval.source != "lab" or placed.position is None:
                continue
            judged += 1
            agreed += (abs(placed.position) > 1) == (by_slot[finding.index].abnormal >= engine.thresholds.default)
    assert judged > 500
    assert agreed / judged > 0.995


def test_the_order_of_a_panel_hardly_moves_a_judgement(engine: OnnxEngine) -> None:
    panel = normalize(read(EXAMPLES[1].read_bytes()), CATALOG)
    there = {placed.result.path: placed for placed in panel.results}
    back = replace(panel, results=tuple(reversed(panel.results)))
    first = [score.abnormal for score in score_prompts(engine, prompts_for(engine, panel))]
    second = [score.abnormal for score in score_prompts(engine, prompts_for(engine, back))]
    assert len(there) == len(first) == len(second)
    assert [p >= engine.thresholds.default for p in first] == [p >= engine.thresholds.default for p in reversed(second)]


def test_what_is_far_outside_the_usual_interval_is_flagged_without_the_laboratorys(engine: OnnxEngine) -> None:
    pipeline = Pipeline(Settings(), CATALOG, engine)
    values = {"2823-3": 8.0, "718-7": 5.0, "2160-0": 9.0, "777-3": 12.0, "2951-2": 112}
    units = {"2823-3": "mmol/L", "718-7": "g/dL", "2160-0": "mg/dL", "777-3": "10*3/uL", "2951-2": "mmol/L"}
    data = bundle(*(observation(code, code, value, units[code]) for code, value in values.items()))
    flags = pipeline.evaluate(data).verdict.flags
    assert len(flags) == len(values)
    assert all(flag.abnormal and flag.critical for flag in flags)
    assert {flag.source for flag in flags} <= {"both", "rule"}


def test_a_value_just_inside_its_usual_interval_is_not_called_abnormal(engine: OnnxEngine) -> None:
    """A card that says "high" where normal is more likely cries wolf."""
    analytes = (
        "sodium",
        "potassium",
        "glucose",
        "creatinine",
        "alt",
        "alp",
        "haemoglobin",
        "leucocytes",
        "mcv",
        "ferritin",
    )
    units = {CATALOG.analytes[name].loinc[0]: CATALOG.analytes[name].unit for name in analytes}
    ones = normalize(read(bundle(*(observation(code, code, 1, unit) for code, unit in units.items()))), CATALOG)
    inside = {}
    for placed in ones.results:
        assert placed.interval is not None
        assert placed.interval.high is not None
        low = placed.interval.low or 0
        inside[placed.result.codings[0].code] = placed.interval.high - 0.02 * (placed.interval.high - low)
    data = bundle(*(observation(code, code, value, units[code]) for code, value in inside.items() if code))
    flags = Pipeline(Settings(), CATALOG, engine).evaluate(data).verdict.flags
    assert [flag.subject.result.observation for flag in flags if flag.abnormal] == []
    assert len(flags) == len(analytes)


def test_files_that_were_changed_are_not_loaded(tmp_path: Path) -> None:
    from fhir_adapter.errors import ConfigError

    copy = tmp_path / "copy"
    copy.mkdir()
    for file in EMBEDDED.iterdir():
        data = file.read_bytes()
        (copy / file.name).write_bytes(data[:-1] + b"!" if file.name == "model.safetensors" else data)
    with pytest.raises(ConfigError, match="differs from the SHA-256"):
        load_engine(Settings(model_path=copy))


def test_hardly_a_value_inside_its_usual_interval_is_called_abnormal(engine: OnnxEngine) -> None:
    """Tenths of the way through each interval of the catalog for a woman of 53; under a lone limit tenths of it."""
    pipeline = Pipeline(Settings(), CATALOG, engine)
    raised, judged = [], 0
    for tenth in range(1, 11):
        found = []
        for analyte in CATALOG.analytes.values():
            usual = analyte.interval_for(sex="female", age_years=53, pregnant=None)
            if analyte.loinc and usual is not None and usual.high is not None and not analyte.descriptive:
                value = float(f"{(usual.low or 0) + (usual.high - (usual.low or 0)) * tenth / 10:.4g}")
                found.append(observation(analyte.id, analyte.loinc[0], value, analyte.unit or ""))
        for flag in pipeline.evaluate(bundle(*found)).verdict.flags:
            judged += 1
            if flag.abnormal and flag.source == "model":
                raised.append((flag.subject.result.observation, tenth))
    assert judged > 1000
    assert len(raised) < judged / 200, raised
    assert not any(name == "Observation/rdw" for name, _ in raised)
