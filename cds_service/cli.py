"""The `labcue` command. Imports late, so that `--help` is instant."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cds_service.config import Settings
    from cds_service.pipeline import Pipeline

EX_CONFIG = 78
INCOMPLETE = 3
app = typer.Typer(
    name="labcue",
    help="Laboratory results as FHIR in, CDS Hooks cards with anomaly flags out. Not a medical device: a clinician decides.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Form(StrEnum):
    text = "text"
    json = "json"
    ndjson = "ndjson"


class Form2(StrEnum):
    text = "text"
    json = "json"


class Language(StrEnum):
    en = "en"
    fr = "fr"


ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting; see `labcue config`.")
]
EngineName = Annotated[str | None, typer.Option("--engine", help="auto, none or mistral.")]
ModelPath = Annotated[Path | None, typer.Option("--model-path", help="Folder of a MistralForCausalLM.")]
AdapterPath = Annotated[Path | None, typer.Option("--adapter-path", help="Folder of a LoRA adapter.")]


def _settings(file: Path | None, sets: list[str] | None, **given: Any) -> tuple[Settings, dict[str, Any]]:
    """The effective settings and the overrides; ends with 78 where they don't hold, all faults shown."""
    from cds_service import config
    from fhir_adapter.errors import ConfigError, Violation

    overrides = {name: value for name, value in given.items() if value is not None}
    faults = []
    for pair in sets or ():
        name, equals, value = pair.partition("=")
        if not equals or name not in config.Settings.model_fields:
            faults.append(Violation(name, "no such setting; write NAME=VALUE, see `labcue config`"))
        else:
            overrides[name] = value
    try:
        if faults:
            raise ConfigError(violations=tuple(faults))
        return config.load(file, **overrides), overrides
    except ConfigError as error:
        return _refuse(error)  # type: ignore[no-any-return]


def _refuse(error: Any) -> Any:
    print(f"labcue: {error}", file=sys.stderr)
    for fault in error.violations:
        print(f"  {fault.path}: {fault.description}", file=sys.stderr)
    raise typer.Exit(EX_CONFIG)


def _pipeline(settings: Settings) -> Pipeline:
    from cds_service.inference.load import load_engine
    from cds_service.pipeline import Pipeline
    from fhir_adapter import catalog
    from fhir_adapter.errors import LabCueError

    try:
        engine, degraded = load_engine(settings)
        return Pipeline(settings, catalog.load(), engine, degraded)
    except LabCueError as error:
        return _refuse(error)  # type: ignore[no-any-return]


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        from importlib import metadata

        print(f"labcue {metadata.version('labcue')}")
        raise typer.Exit


@app.command(
    epilog="Examples:  labcue serve   |   labcue serve --port 0 --reflection   |   "
    "labcue serve --tls-cert s.pem --tls-key s.key --tls-client-ca ca.pem   |   labcue serve --set max_queue=128"
)
def serve(
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    reflection: Annotated[bool | None, typer.Option("--reflection/--no-reflection", help="gRPC reflection.")] = None,
    engine: EngineName = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate chain; turns TLS on.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM CA of client certificates; turns mutual TLS on.")
    ] = None,
    telemetry: Annotated[str | None, typer.Option(help="off, console or otlp.")] = None,
    otlp_endpoint: Annotated[str | None, typer.Option(help="OTLP gRPC endpoint.")] = None,
    feedback_path: Annotated[Path | None, typer.Option(help="SQLite file for feedback.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    sets: Sets = None,
) -> None:
    """Runs the service until SIGTERM or Ctrl-C, then drains. Exit status 78: the settings don't hold."""
    given = {name: value for name, value in locals().items() if name not in ("config", "sets") and value is not None}
    settings, _ = _settings(config, sets, **given)
    import asyncio
    import logging

    from cds_service.rpc.server import build_pipeline
    from cds_service.rpc.server import serve as run
    from fhir_adapter.errors import LabCueError

    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        pipeline = build_pipeline(settings)

        def ready(bound: int) -> None:
            scheme = "TLS" if settings.tls_cert is not None else "no TLS"
            suffix = f"; degraded: {pipeline.degraded}" if pipeline.degraded else ""
            print(f"labcue serves on {settings.host}:{bound} (gRPC, {scheme}){suffix}", flush=True)

        asyncio.run(run(settings, pipeline, ready=ready))
    except LabCueError as error:
        _refuse(error)


@app.command(
    epilog="Examples:  labcue check panel.json   |   labcue check night.ndjson --format ndjson > answers.ndjson   |   "
    "cat panel.json | labcue check -   |   labcue check exports/ --language fr --exit-zero"
)
def check(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="JSON or NDJSON files (also .gz), folders, or -.")
    ],
    form: Annotated[
        Form, typer.Option("--format", help="text, json, or ndjson: one response a line, nothing else.")
    ] = Form.text,
    language: Annotated[Language | None, typer.Option(help="Language of the cards.")] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever was found.")] = False,
    engine: EngineName = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Judges bundles without a server.

    Exit status: 2 something critical; else 3 something could not be assessed or read; else 1 something abnormal; else 0.
    A critical result never hides behind a reading problem.
    """
    settings, _ = _settings(config, sets, engine=engine, model_path=model_path, adapter_path=adapter_path)
    from cds_service.commands import check as command

    status = command.run(_pipeline(settings), paths, form.value, language.value if language else None)
    raise typer.Exit(0 if exit_zero else status)


@app.command(epilog="Examples:  labcue explain panel.json   |   labcue explain - --format json < panel.json")
def explain(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A JSON file, or -.")],
    form: Annotated[Form2, typer.Option("--format", help="text or json.")] = Form2.text,
    language: Annotated[Language | None, typer.Option(help="Language of the texts.")] = None,
    engine: EngineName = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Shows the way of one bundle: what was read, how it was normalized, the exact prompt, every rule and its source."""
    settings, _ = _settings(config, sets, engine=engine, model_path=model_path, adapter_path=adapter_path)
    import orjson

    from cds_service import show
    from cds_service.bundles import read_all
    from cds_service.commands import explain as command
    from fhir_adapter.errors import LabCueError

    for source in read_all([bundle]):
        if source.data is None:
            print(f"{source.name}: {source.fault}", file=sys.stderr)
            raise typer.Exit(INCOMPLETE)
        try:
            shown = command.explain(_pipeline(settings), source.data, language.value if language else None)
        except LabCueError as error:
            print(f"{source.name}: {error} [{error.code}]", file=sys.stderr)
            for fault in error.violations:
                print(f"  {fault.path}: {fault.description}", file=sys.stderr)
            raise typer.Exit(INCOMPLETE) from None
        if form is Form2.json:
            print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
        else:
            command.print_text(show.console(), shown)


@app.command(name="config", epilog="Examples:  labcue config   |   LABCUE_PORT=6000 labcue config --format json")
def show_config(
    config: ConfigFile = None,
    form: Annotated[Form2, typer.Option("--format", help="text or json.")] = Form2.text,
    sets: Sets = None,
) -> None:
    """Prints the effective settings and where each came from."""
    settings, overrides = _settings(config, sets)
    from cds_service.config import origins

    found = origins(settings, config, **overrides)
    values = settings.model_dump(mode="json")
    if form is Form2.json:
        import orjson

        body = {name: {"value": values[name], "from": found[name]} for name in values}
        print(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
        return
    for name, value in values.items():
        print(f"{name:22} {'' if value is None else value!s:28} {found[name]}")


@app.command(epilog="Examples:  labcue demo   |   labcue demo --only aki --language fr")
def demo(
    only: Annotated[str | None, typer.Option(help="Only examples whose name holds this.")] = None,
    language: Annotated[Language | None, typer.Option(help="Language of the cards.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="No colour.")] = False,
    engine: EngineName = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Starts the service on a free port, sends the shipped example bundles over gRPC, prints the cards, and ends."""
    settings, _ = _settings(config, sets, engine=engine, host="127.0.0.1", port=0)
    from cds_service.commands import demo as command

    colour = False if plain or os.environ.get("NO_COLOR") else None
    raise typer.Exit(command.run(settings, only=only, language=language.value if language else None, colour=colour))


def main() -> None:
    """Entry point; a reader that stops early (`| head`) ends it quietly."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
