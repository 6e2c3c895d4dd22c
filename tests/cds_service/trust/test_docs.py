"""What docs/security.md shows is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from cds_service.trust.clients import read_clients
from cds_service.trust.reasons import Reason
from cds_service.trust.token import ALGORITHMS
from tests.callers import KEY, key_set

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "security.md").read_text(encoding="utf-8")


def test_the_example_of_a_clients_file_holds(tmp_path: Path) -> None:
    (example,) = re.findall(r"<!-- clients-example -->\n```toml\n(.*?)```", TEXT, re.DOTALL)
    file = tmp_path / "clients.toml"
    file.write_text(example)
    (tmp_path / "sandbox.jwks.json").write_bytes(key_set(KEY))
    clients = read_clients(file)
    assert set(clients.by_name) == {"mercy-ehr", "north", "sandbox", "engine", "fhir-server"}
    assert clients.by_name["mercy-ehr"].burst == 100


def test_every_reason_and_algorithm_is_explained() -> None:
    assert [reason for reason in get_args(Reason) if f"`{reason}`" not in TEXT] == []
    (row,) = re.findall(r"^\| header `alg` \| (.*) \|$", TEXT, re.MULTILINE)
    assert set(re.split(r", | or ", row)) == ALGORITHMS
