"""`labcue demo`: the real service on a free port, the example bundles over gRPC, the cards as a clinician reads them."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cds_service import show
from cds_service.client import AsyncLabCueClient
from cds_service.config import Settings
from cds_service.example_bundles import examples
from cds_service.serving import running
from fhir_adapter.errors import LabCueError
from labcue.v1 import cds_pb2

ROWS = 8
"""Most results shown on one card; the rest is counted."""
DISCLAIMER = "Not a medical device: a clinician decides."

Answer = cds_pb2.EvaluateResponse | LabCueError


def run(settings: Settings, *, only: str | None, language: str | None, plain: bool = False) -> int:
    """Runs the demonstration; 0 when every bundle was answered, 1 otherwise. Listens on this machine only, without TLS."""
    files = [file for file in examples() if only is None or only in file.name]
    console = show.console(colour=False if plain else None)
    if not files:
        console.print(Text("No example bundle has that in its name. There are:", style="red"))
        console.print(Text("\n".join(file.stem for file in examples())))
        return 1
    alone = {"doors": "grpc", "host": "127.0.0.1", "port": 0, "tls_cert": None, "tls_key": None, "tls_client_ca": None}
    bundles = [(file.stem, file.read_bytes()) for file in files]
    return asyncio.run(_demonstrate(settings.model_copy(update=alone), bundles, language, console))


async def _demonstrate(
    settings: Settings, bundles: list[tuple[str, bytes]], language: str | None, console: Console
) -> int:
    answers: list[tuple[str, Answer]] = []
    async with running(settings) as server:
        address = f"{settings.host}:{server.port}"
        health = await _health(address)
        async with AsyncLabCueClient(address) as client:
            info = await client.service_info()
            console.print(Text(f"LabCue {info.version} on {address} (gRPC): {health}", style="bold"))
            console.print(Text(f"{info.analytes} analytes in the catalog; {DISCLAIMER}", style="dim"))
            if info.degraded:
                console.print(Text(f"degraded: {info.degraded}; rules answer", style="yellow"))
            for name, bundle in bundles:
                console.print()
                answers.append((name, await _send(client, name, bundle, language, console)))
    console.print()
    console.print(_summary(answers))
    failed = sum(isinstance(answer, LabCueError) for _, answer in answers)
    console.print(
        Text(
            f"{_counted(len(answers), 'bundle')} sent, {len(answers) - failed} answered; the service has stopped.",
            style="red" if failed else "",
        )
    )
    return 1 if failed else 0


async def _health(address: str) -> str:
    """What the service's own health check says ("SERVING")."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        checked = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(checked.status))


async def _send(client: AsyncLabCueClient, name: str, bundle: bytes, language: str | None, console: Console) -> Answer:
    try:
        response = await client.evaluate(bundle, language=language)
    except LabCueError as error:
        console.print(show.unread(str(error), error.code, error.violations, title=name))
        return error
    console.print(show.render(response, title=name, max_rows=ROWS))
    return response


def _summary(answers: list[tuple[str, Answer]]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("bundle", no_wrap=True)
    for column in ("results", "abnormal", "critical", "not assessed", "cards", "ms"):
        table.add_column(column, justify="right")
    for name, answer in answers:
        if isinstance(answer, LabCueError):
            table.add_row(name, *[""] * 5, answer.code, style="red")
            continue
        evaluation = answer.extension.evaluation
        urgent = {"critical": "bold red", "warning": "yellow"}.get(
            answer.cards[0].indicator if answer.cards else "", ""
        )
        critical = sum(flag.critical for flag in evaluation.flags)
        table.add_row(
            Text(name, style=urgent),
            str(len(evaluation.flags)),
            str(sum(flag.abnormal for flag in evaluation.flags)),
            Text(str(critical), style="bold red" if critical else ""),
            str(len(evaluation.not_assessed)),
            str(len(answer.cards)),
            f"{evaluation.timings.total_ms:.1f}",
        )
    return table


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
