"""Settings: where they come from, and that all faults come at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds_service import config
from fhir_adapter.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("LABCUE_")]:
        monkeypatch.delenv(name)


def test_command_line_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "labcue.toml"
    file.write_text('port = 1111\nmax_queue = 7\nlanguage = "fr"\n')
    monkeypatch.setenv("LABCUE_PORT", "2222")
    monkeypatch.setenv("LABCUE_MAX_QUEUE", "8")
    settings = config.load(file, port=3333)
    assert (settings.port, settings.max_queue, settings.language, settings.reflection) == (3333, 8, "fr", False)
    origins = config.origins(settings, file, port=3333)
    assert origins["port"] == "command line"
    assert origins["max_queue"] == "LABCUE_MAX_QUEUE"
    assert origins["language"] == str(file)
    assert origins["reflection"] == "default"


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "labcue.toml"
    file.write_text('port = 99999\nengine = "gpt"\nno_such = 1\n')
    with pytest.raises(ConfigError) as caught:
        config.load(file, max_queue=-1)
    assert {violation.path for violation in caught.value.violations} == {"port", "engine", "no_such", "max_queue"}


@pytest.mark.parametrize(
    "given",
    [
        {"tls_cert": Path("a.pem")},
        {"tls_client_ca": Path("ca.pem")},
        {"engine": "mistral"},
        {"adapter_path": Path("adapter")},
    ],
)
def test_settings_that_need_each_other(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        config.load(**given)


def test_a_missing_or_broken_file_is_a_clear_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as missing:
        config.load(tmp_path / "none.toml")
    assert "there is no file" in missing.value.violations[0].description
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 1")
    with pytest.raises(ConfigError):
        config.load(broken)


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("prot = 1\n", "prot", "no such setting; is port meant? (`labcue config` shows them all)"),
        ("zzzzzz = 1\n", "zzzzzz", "no such setting (`labcue config` shows them all)"),
        ('engine = "mistral"\n', "settings", "engine=mistral needs model_path"),
        ("port = 99999\n", "port", "should be less than or equal to 65535"),
    ],
)
def test_a_fault_is_said_in_words_for_who_set_it(tmp_path: Path, text: str, path: str, said: str) -> None:
    file = tmp_path / "labcue.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        config.load(file)
    assert [(one.path, one.description) for one in refused.value.violations] == [(path, said)]


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    file = tmp_path / "labcue.toml"
    file.write_text("x = [")
    with pytest.raises(ConfigError) as refused:
        config.load(file)
    assert refused.value.violations[0].description.startswith(f"{file} can't be read as TOML: ")


def test_all_faults_among_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        config.load(engine="mistral", tls_cert=Path("chain.pem"), adapter="north")
    said = refused.value.violations[0].description
    assert said == "tls_cert and tls_key go together; engine=mistral needs model_path; adapter must be one of adapters"
