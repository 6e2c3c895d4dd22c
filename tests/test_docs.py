"""The documents keep up with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cds_service.cli import app
from cds_service.config import Settings
from cds_service.errors import TABLE
from fhir_adapter.errors import NOT_ASSESSED_CODES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_setting_has_its_line() -> None:
    text = _read("docs/settings.md")
    missing = [name for name in Settings.model_fields if f"| `{name}` | `LABCUE_{name.upper()}` |" not in text]
    assert missing == []


def test_no_line_describes_a_setting_that_is_gone() -> None:
    described = set(re.findall(r"^\| `(\w+)` \| `LABCUE_", _read("docs/settings.md"), re.MULTILINE))
    assert described == set(Settings.model_fields)


def test_every_error_and_reason_has_its_line() -> None:
    text = _read("docs/errors.md")
    codes = {kind.code for kind in TABLE} | set(NOT_ASSESSED_CODES)
    assert [code for code in sorted(codes) if f"| `{code}` |" not in text] == []


def test_every_command_stands_in_the_readme() -> None:
    text = _read("README.md")
    names = {
        command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands
    }
    assert [name for name in sorted(names) if f"labcue {name}" not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_is_broken(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert broken == []
