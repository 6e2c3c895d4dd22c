"""`labcue clients`, as an operator uses it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cds_service.cli import app
from cds_service.trust.audience import Audience
from cds_service.trust.clients import read_clients
from cds_service.trust.token import read_token

URL = "http://127.0.0.1:8080/cds-services"


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["clients", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_new_client_can_sign_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("new", "engine")[0] == 0
    assert _run("new", "lab", "--issuer", "https://lab.example.org", "--permission", "audit")[0] == 0
    status, said, _ = _run("check", "clients.toml")
    assert status == 0
    assert "tokens    from urn:labcue:engine" in said
    assert "may       audit" in said
    status, said, _ = _run("token", "engine", "--url", URL)
    assert status == 0
    clients = read_clients(Path("clients.toml"))
    token = read_token(said.strip())
    keys = clients.by_name["engine"].keys
    assert keys is not None
    token.check_signature(keys[token.kid])
    token.check_claims(Audience(("/cds-services",), None), token.expires - 60, leeway_s=0, life_s=60)


def test_the_private_key_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _, said, _ = _run("new", "engine")
    private, public = Path("engine.private.jwk.json"), Path("engine.jwks.json")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    secret = json.loads(private.read_text())["d"]
    assert secret not in public.read_text() + Path("clients.toml").read_text() + said


def test_a_secret_is_kept_by_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, said, _ = _run("new", "fhir-server", "--secret")
    assert status == 0
    kept = Path("fhir-server.secret")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    secret = kept.read_text().strip()
    assert secret not in said + Path("clients.toml").read_text()
    client = read_clients(Path("clients.toml")).of_secret(secret)
    assert client is not None
    assert (client.name, client.permissions) == ("fhir-server", {"notify"})
    assert "for notify alone" in _run("check", "clients.toml")[1]
    assert _run("new", "fhir-server", "--secret")[0] == 78


def test_an_existing_file_keeps_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clients.toml").write_text(
        '# ours\n[clients.ehr]\nissuer = "i"\njku = ["https://i/"]\npermissions = ["evaluate"]'
    )
    assert _run("new", "engine")[0] == 0
    assert Path("clients.toml").read_text().startswith("# ours\n[clients.ehr]")
    assert set(read_clients(Path("clients.toml")).by_name) == {"ehr", "engine"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "No Good"), "NAME: a name has small letters"),
        (("new", "a", "--permission", "all"), "--permission: all: one of evaluate, feedback, notify, audit, admin"),
        (("new", "a", "--issuer", 'x"\n[evil]'), "--issuer: printable"),
        (("token", "engine", "--url", URL), "clients.toml"),
        (("check", "none.toml"), "none.toml"),
    ],
)
def test_faults_are_said_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, errors = _run(*arguments)
    assert (status, out) == (78, "")
    assert said in errors
    assert list(tmp_path.iterdir()) == []


def test_a_client_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _run("new", "engine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert _run("new", "engine")[0] == 78
    assert _run("token", "engine", "--url", "not a url")[0] == 78
    assert _run("token", "other", "--url", URL)[0] == 78
    assert _run("token", "engine", "--url", URL, "--key", "engine.jwks.json")[0] == 78
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
