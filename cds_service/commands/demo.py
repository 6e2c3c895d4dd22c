"""`labcue demo`: the real service on a free port, the example bundles over gRPC, the cards as a clinician reads them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cds_service import show
from cds_service.client import AsyncLabCueClient
from cds_service.config import Settings
from cds_service.rpc.server import running
from fhir_adapter.errors import LabCueError
from labcue.v1 import cds_pb2

PACKAGED = Path(__file__).resolve().parents[1] / "examples"
CHECKOUT = Path(__file__).resolve().parents[2] / "examples" / "bundles"


def examples() -> list[Path]:
    """The shipped example bundles, in order of their names."""
    folder = PACKAGED if PACKAGED.is_dir() else CHECKOUT
    return sorted(folder.glob("*.json"))


def run(settings: Settings, *, only: str | None, language: str | None, colour: bool | None) -> int:
    """Runs the demonstration; 0 when every bundle was answered."""
    files = [file for file in examples() if only is None or only in file.name]
    console = show.console(colour=colour)
    if not files:
        console.print(Text("No example bundle of that name.", style="red"))
        return 1
    return asyncio.run(_demonstrate(settings, files, language, console))


async def _demonstrate(settings: Settings, files: list[Path], language: str | None, console: Console) -> int:
    answers: list[tuple[Path, cds_pb2.EvaluateResponse | LabCueError]] = []
    async with running(settings) as server, AsyncLabCueClient(f"{settings.host}:{server.port}") as client:
        info = await client.service_info()
        console.print(Text(f"LabCue {info.version} serves on {settings.host}:{server.port} (gRPC)", style="bold"))
        console.print(Text(f"{info.analytes} analytes in the catalog", style="dim"))
        if info.degraded:
            console.print(Text(f"degraded: {info.degraded}; rules answer", style="yellow"))
        console.print()
        for file in files:
            try:
                response = await client.evaluate(file.read_bytes(), language=language)
            except LabCueError as error:
                console.print(Text(f"{file.name}: {error} [{error.code}]", style="red"))
                answers.append((file, error))
                continue
            console.print(show.render(response, title=file.stem))
            console.print()
            answers.append((file, response))
    console.print(_summary(answers))
    failed = sum(isinstance(answer, LabCueError) for _, answer in answers)
    console.print(
        Text(
            f"{len(answers)} bundles sent, {len(answers) - failed} answered. Not a medical device: a clinician decides."
        )
    )
    return 1 if failed else 0


def _summary(answers: list[tuple[Path, cds_pb2.EvaluateResponse | LabCueError]]) -> Table:
    table = Table(title="What the service said", title_justify="left", box=None, padding=(0, 1), header_style="bold")
    table.add_column("bundle", no_wrap=True)
    for column in ("results", "abnormal", "critical", "not assessed", "cards", "ms"):
        table.add_column(column, justify="right")
    for file, answer in answers:
        if isinstance(answer, LabCueError):
            table.add_row(file.stem, *[""] * 5, answer.code, style="red")
            continue
        evaluation = answer.extension.evaluation
        critical = sum(flag.critical for flag in evaluation.flags)
        table.add_row(
            file.stem,
            str(len(evaluation.flags)),
            str(sum(flag.abnormal for flag in evaluation.flags)),
            Text(str(critical), style="bold red" if critical else ""),
            str(len(evaluation.not_assessed)),
            str(len(answer.cards)),
            f"{evaluation.timings.total_ms:.1f}",
        )
    return table
