"""The shipped examples: what a specialist expects of them, and golden answers of the whole service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from cds_service.config import Settings
from cds_service.pipeline import Pipeline
from cds_service.rpc.wire import to_json, to_response
from fhir_adapter import catalog
from fhir_adapter.strict import uncollected

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples" / "bundles").glob("*.json"))
GOLDEN = ROOT / "tests" / "golden"
EXPECTED: dict[str, Any] = tomllib.loads((ROOT / "tests" / "examples_expected.toml").read_text())
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
R5 = {"21-r5-hypokalaemia"}

by_name = pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """Every example's answer as CDS Hooks JSON."""
    pipeline = Pipeline(Settings(engine="none"), catalog.load())
    return {file.stem: to_json(to_response(pipeline.evaluate(file.read_bytes()))) for file in EXAMPLES}


def _evaluation(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = answer["extension"]["org.labcue.evaluation"]
    return found


def test_there_are_enough() -> None:
    assert len(EXAMPLES) >= 20


def _came_in(node: Any) -> int:
    """Observations wherever they stand, and their components, counted without the reader."""
    if isinstance(node, list):
        return sum(_came_in(one) for one in node)
    if not isinstance(node, dict):
        return 0
    own = 1 + len(node.get("component", [])) if node.get("resourceType") == "Observation" else 0
    return own + sum(_came_in(child) for key, child in node.items() if key != "component")


@by_name
def test_everything_that_came_in_ends_once(file: Path, answers: dict[str, dict[str, Any]]) -> None:
    found = _evaluation(answers[file.stem])
    paths = [entry["path"] for entry in [*found.get("flags", []), *found.get("notAssessed", [])]]
    assert len(paths) == len(set(paths)) == found["observations"] == _came_in(json.loads(file.read_text()))


@by_name
def test_nothing_alarming_hides(file: Path, answers: dict[str, dict[str, Any]]) -> None:
    """Every critical result leads a critical card, every abnormal one stands in some card, and none where all is normal."""
    answer = answers[file.stem]
    found, cards = _evaluation(answer), answer.get("cards", [])
    about = [(card["indicator"], card.get("extension", {}).get("org.labcue.card", {})) for card in cards]
    alone = [subject.get("observations") for indicator, subject in about if indicator == "critical"]
    shown = {one for _, subject in about for one in subject.get("observations", [])}
    for flag in found.get("flags", []):
        assert not flag["critical"] or [flag["observation"]] in alone
        assert not flag["abnormal"] or flag["observation"] in shown
    quiet = not any(flag["abnormal"] for flag in found.get("flags", []))
    assert not (quiet and any(indicator != "info" for indicator, _ in about))
    assert all(len(card["summary"]) < 140 for card in cards)


def test_each_example_has_its_expectation() -> None:
    assert set(EXPECTED) == {file.stem for file in EXAMPLES}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_a_specialist_expects(name: str, answers: dict[str, dict[str, Any]]) -> None:
    found, expected = _evaluation(answers[name]), EXPECTED[name]
    names = {entry["path"]: entry for entry in found.get("flags", [])}
    codes: dict[str, list[str]] = defaultdict(list)
    bundle = json.loads((ROOT / "examples" / "bundles" / f"{name}.json").read_text())
    for path, flag in names.items():
        codes[flag.get("loinc") or f"name:{_text(bundle, path)}"].append(flag["code"])
    if "all" in expected:
        assert {code for each in codes.values() for code in each} == {expected["all"]}
    for key, wanted in expected.get("codes", {}).items():
        assert codes[key] == wanted, key
    if "abnormal" in expected:
        assert sum(code != "N" for each in codes.values() for code in each) == expected["abnormal"]
    patterns = {pattern["id"] for pattern in found.get("patterns", [])}
    assert patterns >= set(expected.get("patterns", []))
    assert not patterns & set(expected.get("not", []))
    if "not_assessed" in expected:
        assert sorted(entry["code"] for entry in found.get("notAssessed", [])) == expected["not_assessed"]


def _text(bundle: dict[str, Any], path: str) -> str:
    index = re.match(r"Bundle\.entry\[(\d+)\]", path)
    assert index
    return str(bundle["entry"][int(index[1])]["resource"]["code"]["text"])


@by_name
def test_golden(file: Path, answers: dict[str, dict[str, Any]], request: pytest.FixtureRequest) -> None:
    answer = json.loads(json.dumps(answers[file.stem]))
    _evaluation(answer).pop("timings")
    _evaluation(answer).pop("catalogVersion")
    sent = file.read_text(encoding="utf-8")
    made: dict[str, str] = {}

    def same(match: re.Match[str]) -> str:
        """An id of ours by its turn; one that the bundle brought stays as it is."""
        return match[0] if match[0] in sent else made.setdefault(match[0], f"uuid-{len(made) + 1}")

    text = UUID.sub(same, json.dumps(answer, indent=1, ensure_ascii=False, sort_keys=True)) + "\n"
    if len(text) > 60_000:  # a long one is held by its flags and summaries, to keep the repository small
        found = _evaluation(answer)
        short = {"codes": [f"{flag['observation']} {flag['code']}" for flag in found["flags"]]}
        short["summaries"] = [card["summary"] for card in answer["cards"]]
        text = json.dumps(short, separators=(",", ":"), ensure_ascii=False) + "\n"
    golden = GOLDEN / file.name
    if request.config.getoption("--update-golden"):
        golden.write_text(text, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == text


@by_name
def test_each_example_is_valid_fhir(file: Path) -> None:
    from fhir.resources import get_fhir_model_class as r5
    from fhir.resources.R4B import get_fhir_model_class as r4

    resource = json.loads(file.read_text())
    with uncollected():
        (r5 if file.stem in R5 else r4)(resource["resourceType"]).model_validate(resource)


def test_the_page_names_every_example() -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    assert set(re.findall(r"\(bundles/([\w-]+)\.json\)", page)) == {file.stem for file in EXAMPLES}


def test_the_examples_are_what_their_script_makes(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import make_bundles as m;"
        "m.FOLDER = pathlib.Path(sys.argv[2]); m.main()"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT / "examples"), str(tmp_path)], check=True)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        file.name: file.read_text() for file in EXAMPLES
    }
