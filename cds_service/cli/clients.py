"""`labcue clients`: who may call. Parses, and hands over to ``cds_service.commands.clients``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cds_service.cli.options import GROUP, ending, examples

app = typer.Typer(
    name="clients",
    help="Who may call the service: check the file of clients, make keys for one, sign a token to try it.",
    **GROUP,
)
ClientsFile = Annotated[Path, typer.Option("--clients", metavar="FILE", help="TOML file of the clients.")]


@app.command(
    short_help="Say who is in the file, or what is wrong with it.", epilog=examples("labcue clients check clients.toml")
)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file of the clients.")],
    keys_from_loopback: Annotated[
        bool, typer.Option("--keys-from-loopback", help="Allow key sets by http:// from this machine.")
    ] = False,
) -> None:
    """Says who is in the file, or all that is wrong with it. Fetches nothing. Exit status: 0; 78 it doesn't hold."""
    with ending():
        from cds_service.commands import clients as command

        print(command.shown(file, allow_loopback_http=keys_from_loopback))


@app.command(
    short_help="Make keys for a client, and add it to the file.",
    epilog=examples(
        "labcue clients new engine",
        "labcue clients new ehr --permission evaluate --permission feedback",
        "labcue clients new fhir-server --secret",
    ),
)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and hyphens.")],
    clients: ClientsFile = Path("clients.toml"),
    issuer: Annotated[str | None, typer.Option(help="iss of its tokens; default urn:labcue:NAME.")] = None,
    permission: Annotated[
        list[str] | None, typer.Option(help="evaluate, feedback, audit or admin; default evaluate and feedback.")
    ] = None,
    secret: Annotated[
        bool,
        typer.Option("--secret", help="A secret in place of keys, for a FHIR server's Subscription: notify alone."),
    ] = False,
) -> None:
    """Makes an ES384 key pair for a client and adds it to the file of clients, which is made where there is none.

    Beside the file: NAME.private.jwk.json, for the client alone, and NAME.jwks.json, its public key. For a client that
    has keys of its own, write the entry by hand: see docs/security.md. With --secret: NAME.secret, for a client that can
    only send the same header always; its --issuer and --permission don't count. Exit status: 0; 78 it can't be done.
    """
    with ending():
        from cds_service.commands import clients as command

        if secret:
            print(command.new_with_secret(name, clients))
        else:
            print(command.new(name, clients, issuer or f"urn:labcue:{name}", permission or ["evaluate", "feedback"]))


@app.command(
    short_help="Sign a token, to try one call.",
    epilog=examples(
        "labcue clients token engine --url http://127.0.0.1:8080/cds-services",
        'curl -H "Authorization: Bearer $(labcue clients token engine --url $URL)" $URL',
    ),
)
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A client of the file.")],
    url: Annotated[str, typer.Option(metavar="URL", help="The URL that will be called: aud.")],
    clients: ClientsFile = Path("clients.toml"),
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its private JWK; default NAME.private.jwk.json beside the file."),
    ] = None,
    life: Annotated[int, typer.Option(min=1, max=3600, help="Seconds until it expires.")] = 60,
) -> None:
    """Signs a token that is good for one call, for tests and curl. Exit status: 0; 78 it can't be done."""
    with ending():
        from cds_service.commands import clients as command

        print(command.token(name, url, clients, key, life))
