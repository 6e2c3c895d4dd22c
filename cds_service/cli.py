"""The `labcue` command: parses, and hands over to ``cds_service.commands``. Imports late, so that `--help` is instant."""

from __future__ import annotations

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cds_service.cli_catalog import app as catalog_app
from cds_service.cli_clients import app as clients_app
from cds_service.cli_records import feedback_app, records_app

EX_SOFTWARE = 70
INCOMPLETE = 3
NOT_A_DEVICE = "Not a medical device: a clinician decides."

app = typer.Typer(
    name="labcue",
    help=f"""Laboratory results as FHIR in, CDS Hooks cards with anomaly flags out. {NOT_A_DEVICE}

    Settings come from defaults, then --config FILE (TOML), then LABCUE_* variables, then options; `labcue config` shows
    them all. Exit status 78: the settings don't hold; 70: a fault of LabCue's.""",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(clients_app)
app.add_typer(catalog_app)
app.add_typer(feedback_app)
app.add_typer(records_app)


class Form(StrEnum):
    """Forms of `check`."""

    text = "text"
    json = "json"
    ndjson = "ndjson"


class ExplainForm(StrEnum):
    """Forms of `explain`."""

    text = "text"
    json = "json"


class ConfigForm(StrEnum):
    """Forms of `config`."""

    text = "text"
    json = "json"
    toml = "toml"


class Language(StrEnum):
    """Languages of the cards."""

    en = "en"
    fr = "fr"


ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="TOML file of settings.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting of `labcue config`; may be given several times."),
]
Engine = Annotated[str | None, typer.Option("--engine", metavar="NAME", help="auto, none (rules alone) or mistral.")]
ModelPath = Annotated[
    Path | None,
    typer.Option("--model-path", metavar="FOLDER", help="A MistralForCausalLM with tokenizer and manifest."),
]
AdapterPath = Annotated[Path | None, typer.Option("--adapter-path", metavar="FOLDER", help="A LoRA adapter for it.")]
SiteFile = Annotated[
    Path | None, typer.Option("--site", metavar="FILE", help="The site's own intervals, limits and names (TOML).")
]
CardLanguage = Annotated[Language | None, typer.Option("--language", help="Language of the cards.")]


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@app.callback(invoke_without_command=True)
def _main(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        from importlib import metadata

        print(f"labcue {metadata.version('labcue')}")
        raise typer.Exit


@app.command(
    short_help="Run the service.",
    epilog=_examples(
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
    given = {
        "host": host,
        "port": port,
        "http_port": http_port,
        "doors": doors,
        "reflection": reflection,
        "site": site,
        "engine": engine,
        "model_path": model_path,
        "adapter_path": adapter_path,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "tls_client_ca": tls_client_ca,
        "clients": clients,
        "public_urls": public_urls,
        "behind_proxy": behind_proxy,
        "insecure": insecure,
        "telemetry": telemetry,
        "otlp_endpoint": otlp_endpoint,
        "records": records,
        "log_level": log_level,
    }
    from cds_service.commands.common import endings, refuse, settings_from
    from fhir_adapter.errors import LabCueError

    settings, _ = settings_from(config, sets, given)
    from cds_service.commands import serve as command

    try:
        with endings():
            command.run(settings)
    except LabCueError as error:
        refuse(error)


@app.command(
    short_help="Judge bundles without a server.",
    epilog=_examples(
        "labcue check panel.json",
        "labcue check night.ndjson --format ndjson > answers.ndjson",
        "labcue check exports/ --language fr --jobs 4",
        "cat panel.json | labcue check - --format json | jq '.[].response.cards[].summary'",
        "labcue check night.ndjson:17        (its line 17 alone)",
        "labcue check --site site.toml night.ndjson",
    ),
)
def check(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…",
            show_default=False,
            help="JSON or NDJSON files (.gz too), folders (recursive: *.json, *.ndjson, *.jsonl), or - for stdin.",
        ),
    ],
    form: Annotated[
        Form, typer.Option("--format", help="ndjson: one response a line for each bundle, in order, and nothing else.")
    ] = Form.text,
    language: CardLanguage = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 whatever was found or could not be read.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes that judge; the order stays.")] = 1,
    site: SiteFile = None,
    engine: Engine = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Judges bundles without a server. What can't be read is said on stderr with file and line; the rest goes on.

    \b
    Exit status, the first that holds over all bundles:
      2   something critical (never hidden by a reading problem)
      3   something could not be assessed or read (no such file, too)
      1   something abnormal
      0   none of these, or --exit-zero
    A wrong option also ends with 2, before anything is read; settings that
    don't hold with 78; Ctrl-C with 130; a reader that stops early with 141.
    """
    from cds_service.commands.common import endings, settings_from

    settings, _ = settings_from(config, sets, _models(engine, model_path, adapter_path) | {"site": site})
    from cds_service.commands import check as command

    with endings():
        status = command.run(settings, _pipeline(settings), paths, form.value, _value(language), jobs)
    raise typer.Exit(0 if exit_zero else status)


@app.command(
    short_help="Show the way of one bundle, step by step.",
    epilog=_examples(
        "labcue explain panel.json",
        "labcue explain night.ndjson:17",
        "labcue explain - --format json < panel.json | jq .rules",
    ),
)
def explain(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="A JSON file, FILE.ndjson:LINE, or - for stdin.")],
    form: Annotated[ExplainForm, typer.Option("--format")] = ExplainForm.text,
    language: CardLanguage = None,
    site: SiteFile = None,
    engine: Engine = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Shows the way of one bundle: what was read, how it was normalized, the exact prompt, every rule and its source.

    Prints what the bundle holds of the patient's results: mind where it goes.

    Exit status: 0; 3 the bundle can't be read, or the file holds several (name one as FILE:LINE).
    """
    from cds_service.commands.common import complain, endings, settings_from

    settings, _ = settings_from(config, sets, _models(engine, model_path, adapter_path) | {"site": site})
    import itertools

    from cds_service import bundles
    from fhir_adapter.errors import LabCueError

    found = list(itertools.islice(bundles.read_all([bundle], max_bytes=settings.max_bundle_bytes), 2))
    if len(found) != 1 or found[0].data is None:
        many = "There are several bundles; name one as FILE:LINE." if found else "There is no bundle."
        complain(f"{bundle}: {found[0].fault if len(found) == 1 else many}")
        raise typer.Exit(INCOMPLETE)
    from cds_service import explanation

    try:
        shown = explanation.explain(_pipeline(settings), found[0].data, _value(language))
    except LabCueError as error:
        complain(f"{found[0].name}: {error} [{error.code}]", error.violations)
        raise typer.Exit(INCOMPLETE) from None
    with endings():
        if form is ExplainForm.json:
            import orjson

            print(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
        else:
            from cds_service.commands.explain_text import print_text
            from cds_service.show import console

            print_text(console(), shown)


@app.command(
    name="config",
    short_help="Print the settings and where each came from.",
    epilog=_examples(
        "labcue config",
        "labcue config --format toml > labcue.toml",
        "LABCUE_PORT=6000 labcue config --config labcue.toml --format json",
    ),
)
def show_config(
    config: ConfigFile = None,
    form: Annotated[ConfigForm, typer.Option("--format", help="toml can be given back to --config.")] = ConfigForm.text,
    sets: Sets = None,
) -> None:
    """Prints the effective settings and where each came from: default, file, variable or command line.

    There is nothing secret among them: of keys and certificates only the paths are settings.
    """
    from cds_service.commands.common import endings, settings_from

    settings, overrides = settings_from(config, sets, {})
    from cds_service.commands import config as command

    with endings():
        print(command.shown(settings, config, overrides, form.value))


@app.command(
    short_help="Start the service, send it the examples, show the cards.",
    epilog=_examples("labcue demo", "labcue demo --only aki --language fr", "labcue demo --plain | less"),
)
def demo(
    only: Annotated[str | None, typer.Option(metavar="NAME", help="Only examples with this in their name.")] = None,
    language: CardLanguage = None,
    plain: Annotated[bool, typer.Option("--plain", help="No colour.")] = False,
    engine: Engine = None,
    model_path: ModelPath = None,
    adapter_path: AdapterPath = None,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Starts the service on a free port, sends the shipped example bundles over gRPC, prints the cards, and ends.

    The people in the examples are invented. Exit status: 0 every bundle was answered; 1 not.
    """
    from cds_service.commands.common import endings, refuse, settings_from
    from fhir_adapter.errors import LabCueError

    settings, _ = settings_from(config, sets, _models(engine, model_path, adapter_path))
    from cds_service.commands import demo as command

    try:
        with endings():
            status = command.run(settings, only=only, language=_value(language), plain=plain)
    except LabCueError as error:
        refuse(error)
    raise typer.Exit(status)


def _models(engine: str | None, model_path: Path | None, adapter_path: Path | None) -> dict[str, Any]:
    return {"engine": engine, "model_path": model_path, "adapter_path": adapter_path}


def _value(language: Language | None) -> str | None:
    return language.value if language is not None else None


def _pipeline(settings: Any) -> Any:
    from cds_service.backend import build_pipeline
    from cds_service.commands.common import refuse
    from fhir_adapter.errors import LabCueError

    try:
        return build_pipeline(settings)
    except LabCueError as error:
        refuse(error)


_ELSEWHERE = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(short_help="Train a model; see labcue train --help.", context_settings=_ELSEWHERE, add_help_option=False)
def train(context: typer.Context) -> None:
    """Fine-tune a Mistral on a dataset, or train a small one."""
    _entry_point("train", context.args)


@app.command(
    short_help="Measure the flags; see labcue evaluate --help.", context_settings=_ELSEWHERE, add_help_option=False
)
def evaluate(context: typer.Context) -> None:
    """Measure the flags that are served against the laboratory's own."""
    _entry_point("evaluate", context.args)


def _entry_point(name: str, arguments: list[str]) -> None:
    """Hands over to a package that the service itself never imports (the entry points "labcue.commands")."""
    from importlib.metadata import entry_points

    (found,) = entry_points(group="labcue.commands", name=name)
    raise typer.Exit(found.load()(arguments))


def main() -> None:
    """Entry point. A fault of ours is told by type and place: its text might repeat what a bundle holds."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without "●" gets "?", not a crash
    try:
        app()
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "" if trace is None else f" at {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"
        print(f"labcue: internal error: {type(error).__name__}{where}", file=sys.stderr)
        sys.exit(EX_SOFTWARE)


if __name__ == "__main__":
    main()
