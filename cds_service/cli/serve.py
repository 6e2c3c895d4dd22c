"""`labcue serve`: the service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cds_service.cli.options import (
    AdapterPath,
    ConfigFile,
    Engine,
    ModelPath,
    Sets,
    SiteFile,
    ending,
    examples,
    settings_and_again,
)

app = typer.Typer(rich_markup_mode=None)


@app.command(
    short_help="Run the service.",
    epilog=examples(
        "labcue serve",
        "labcue serve --port 0 --http-port 0 --reflection",
        "labcue serve --doors http --http-port 8080",
        "labcue serve --config labcue.toml --set max_queue=128",
        "labcue serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem --tls-client-ca ca.pem",
        "labcue serve --host 0.0.0.0 --behind-proxy --clients clients.toml --public-url https://cds.example.org",
        "labcue serve --telemetry otlp --otlp-endpoint http://collector:4317",
    ),
)
def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the gRPC door; 0 picks a free one.")] = None,
    http_port: Annotated[int | None, typer.Option(help="Port of the CDS Hooks door; 0 picks a free one.")] = None,
    doors: Annotated[str | None, typer.Option(metavar="WHICH", help="grpc, http or both.")] = None,
    reflection: Annotated[
        bool | None, typer.Option("--reflection/--no-reflection", help="gRPC reflection, for grpcurl.")
    ] = None,
    site: SiteFile = None,
    engine: Engine = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="PEM", help="The server's certificate chain; turns TLS on.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Its private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="PEM", help="CA of the clients' certificates; turns mutual TLS on.")
    ] = None,
    clients: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Clients that may call (TOML); all others are refused.")
    ] = None,
    public_urls: Annotated[
        list[str] | None,
        typer.Option("--public-url", metavar="URL", help="Address that clients call; tokens are bound to it."),
    ] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="A proxy in front ends TLS: open without own TLS.")
    ] = None,
    insecure: Annotated[bool | None, typer.Option("--insecure", help="Open to others without authentication.")] = None,
    telemetry: Annotated[str | None, typer.Option(metavar="WHERE", help="off, console or otlp.")] = None,
    otlp_endpoint: Annotated[str | None, typer.Option(metavar="URL", help="OTLP gRPC endpoint.")] = None,
    records: Annotated[
        str | None, typer.Option(metavar="WHERE", help="SQLite file, or postgresql://…, for cards sent and feedback.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = None,
    sets: Sets = None,
) -> None:
    """Runs the service until SIGTERM or Ctrl-C, then drains.

    Says in a line for each door on stdout where it serves and how it is degraded, if so; the log goes to stderr.

    Exit status: 0 stopped as asked; 78 the settings don't hold (every fault is named).
    """
    settings, again = settings_and_again(
        config,
        sets,
        host=host,
        port=port,
        http_port=http_port,
        doors=doors,
        reflection=reflection,
        site=site,
        engine=engine,
        model_path=model_path,
        adapter_path=adapter_path,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        clients=clients,
        public_urls=public_urls,
        behind_proxy=behind_proxy,
        insecure=insecure,
        telemetry=telemetry,
        otlp_endpoint=otlp_endpoint,
        records=records,
        log_level=log_level,
    )
    os.environ.setdefault(
        "GRPC_VERBOSITY", "NONE"
    )  # grpc's C++ writes beside the log; what fails is said by the errors
    with ending():
        from cds_service.commands import serve as command

        command.run(settings, again)
