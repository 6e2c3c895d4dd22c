"""The documents keep up with the code."""

from __future__ import annotations

import io
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from opentelemetry.sdk.metrics import MeterProvider
from rich.console import Console

from cds_service import show
from cds_service.build import build_pipeline
from cds_service.cli import app
from cds_service.commands.demo import ROWS
from cds_service.config import Settings
from cds_service.errors import TABLE
from cds_service.rpc.wire import to_response
from cds_service.telemetry.instruments import instruments
from fhir_adapter.errors import BENIGN_NOT_ASSESSED, NOT_ASSESSED_CODES

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


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
    names = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name in sorted(names) if f"labcue {name}" not in text] == []


def test_each_default_is_the_one_in_force() -> None:
    """Where a line names a default, it is the field's."""
    lines = re.findall(r"^\| `(\w+)` \| `LABCUE_\w+` \| ([^|]*) \|", _read("docs/settings.md"), re.MULTILINE)
    for name, shown in lines:
        default = Settings.model_fields[name].default
        said = "unset" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        assert shown.strip() == said, name


def test_each_error_has_its_mapping() -> None:
    lines = re.findall(r"^\| `([\w-]+)` \| ([A-Z_]+) \| (\d+) \| ([\w-]+) \|", _read("docs/errors.md"), re.MULTILINE)
    described = {code: (grpc, int(http), issue) for code, grpc, http, issue in lines}
    assert described == {kind.code: (to.grpc, to.http, to.issue) for kind, to in TABLE.items()}


def test_each_reason_says_whether_it_is_benign() -> None:
    lines = re.findall(r"^\| `([\w-]+)` \| [^|]+ \| (yes|no) \|$", _read("docs/errors.md"), re.MULTILINE)
    assert dict(lines) == {code: "yes" if code in BENIGN_NOT_ASSESSED else "no" for code in NOT_ASSESSED_CODES}


def test_every_library_has_its_line() -> None:
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    cells = re.findall(r"^\| ([^|]+) \|", _read("docs/libraries.md"), re.MULTILINE)
    named = {name for cell in cells for name in re.split(r",\s*|\s*\(", cell)}
    assert [one for one in wanted if re.split(r"[<>=\[]", one)[0] not in named] == []


def test_every_metric_is_what_operators_are_told_to_watch() -> None:
    """And nothing is told that isn't measured."""
    table = re.search(r"## What to watch\n(.*?)\n## ", _read("docs/operations.md"), re.DOTALL)
    assert table is not None
    told = {
        name for line in re.findall(r"^\| (`[^|]+) \|", table[1], re.MULTILINE) for name in re.findall(r"`(.+?)`", line)
    }
    found = instruments(MeterProvider(shutdown_on_exit=False).get_meter("labcue"))
    assert told == {getattr(found, field.name).name for field in fields(found)}


def test_every_package_of_the_service_stands_in_the_architecture() -> None:
    text = _read("docs/architecture.md")
    packages = [path.parent.name for path in (ROOT / "cds_service").glob("*/__init__.py")]
    assert [
        name for name in sorted(packages) if f"`cds_service/{name}/`" not in text and f"`{name}/`" not in text
    ] == []


def test_every_path_that_the_pages_name_is_there() -> None:
    """Files and folders of the repository in backquotes."""
    named = {
        (page.name, path)
        for page in DOCUMENTS
        for path in re.findall(
            r"`((?:cds_service|fhir_adapter|training|evaluation|examples|tests)/[\w./-]+)`", page.read_text()
        )
    }
    assert [one for one in sorted(named) if not (ROOT / one[1]).exists()] == []


def test_the_readme_shows_what_the_demo_shows(request: pytest.FixtureRequest) -> None:
    """Its first two cards, as the service that ships answers. `--update-golden` writes them anew."""
    block = re.search(r"<!-- demo-output -->\n```\n(.*?)\n…\n```", _read("README.md"), re.DOTALL)
    assert block is not None
    file = ROOT / "examples" / "bundles" / f"{block[1].splitlines()[0]}.json"
    response = to_response(build_pipeline(Settings(engine="auto", language="en")).evaluate(file.read_bytes()))
    page = io.StringIO()
    screen = Console(width=80, file=page, color_system=None, markup=False, emoji=False, highlight=False)
    screen.print(show.render(response, title=file.stem, max_rows=ROWS))
    lines = [line.rstrip() for line in page.getvalue().splitlines()]
    second = [index for index, line in enumerate(lines) if line.startswith("╰")][1]
    shown = "\n".join(lines[: second + 1])
    if request.config.getoption("--update-golden"):
        (ROOT / "README.md").write_text(_read("README.md").replace(block[1], shown), encoding="utf-8")
    else:
        assert block[1] == shown, "pytest tests/test_docs.py --update-golden writes it anew"


def test_every_page_stands_in_the_index() -> None:
    named = set(re.findall(r"\]\(([\w-]+\.md)\)", _read("docs/README.md")))
    assert named == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_link_is_broken(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        page = document.parent / name if name else document
        if not page.exists() or (anchor and anchor not in _anchors(page)):
            broken.append(link)
    assert broken == []
