"""A tiny Mistral that was taught one sentence: its notes are real text from a real model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cds_service.notes.facts import Facts, facts_of, prompt_of
from fhir_adapter import catalog
from tests.bundles import PANEL
from tests.cds_service.inference.conftest import MANIFEST, tiny_folder  # noqa: F401 - a fixture


def facts_of_panel() -> Facts:
    from cds_service.clinical.assess import assess
    from cds_service.domain import Thresholds
    from cds_service.policy import decide
    from fhir_adapter.normalize import normalize
    from fhir_adapter.read import read

    known = catalog.load()
    panel = normalize(read(PANEL), known)
    verdict = decide(panel, assess(panel), None, thresholds=Thresholds(), model=None, degraded=None)
    return facts_of(verdict, known.analytes.values(), "en")


def teach(base: Path, folder: Path, sentence: str) -> Path:
    """The model of ``base``, trained until it continues the panel's prompt with ``sentence`` and ends."""
    import torch
    from tokenizers import Tokenizer
    from transformers import MistralForCausalLM

    shutil.copytree(base, folder)
    (folder / "labcue.json").write_text(json.dumps({**MANIFEST, "writes_notes": True}))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    before = tokenizer.encode(prompt_of(facts_of_panel(), "en")).ids
    after = [*tokenizer.encode(f" {sentence}", add_special_tokens=False).ids, 2]
    model = MistralForCausalLM.from_pretrained(folder)
    ids = torch.tensor([[*before, *after]])
    labels = torch.tensor([[-100] * len(before) + after])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(3)
    for _ in range(200):
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.02:
            break
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:  # noqa: F811
    """Says what stands on the panel."""
    return teach(tiny_folder, tmp_path_factory.mktemp("sound") / "m", "Potassium is critically high at 6.9 mmol/L.")


@pytest.fixture(scope="session")
def wrong(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:  # noqa: F811
    """Says a number that nobody measured."""
    return teach(tiny_folder, tmp_path_factory.mktemp("wrong") / "m", "Potassium is critically high at 7.9 mmol/L.")
