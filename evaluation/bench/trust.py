"""What it costs to know who calls, in this process: the gate by algorithm, and the headers that every answer gets."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey

from cds_service.config import Settings
from cds_service.hooks.headers import SecurityHeaders
from cds_service.trust.audience import Audience
from cds_service.trust.gate import Credentials, open_gate
from cds_service.trust.signing import PrivateKey, Signer
from evaluation.bench.steps import Row

BASE, PATH, ISSUER = "https://cds.example.org", "/cds-services/labcue-results", "urn:bench"


def measure(repeats: int) -> list[Row]:
    """Median milliseconds that each of these adds to a call."""
    keys: dict[str, PrivateKey] = {
        "ES384": ECKey.generate_key("P-384", {"kid": "ES384", "alg": "ES384"}),
        "ES256": ECKey.generate_key("P-256", {"kid": "ES256", "alg": "ES256"}),
        "RS384": RSAKey.generate_key(2048, {"kid": "RS384", "alg": "RS384"}),
        "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "Ed25519", "alg": "Ed25519"}),
    }
    rows: list[Row] = [{"what": "headers of an answer", "ms": round(asyncio.run(_headers(repeats * 10)), 4)}]
    with tempfile.TemporaryDirectory() as folder:
        public = {"keys": [key.as_dict(private=False) for key in keys.values()]}
        (Path(folder) / "keys.json").write_text(json.dumps(public))
        clients = Path(folder) / "clients.toml"
        clients.write_text(
            f'[clients.bench]\nissuer = "{ISSUER}"\nkey_file = "keys.json"\npermissions = ["evaluate"]\n'
        )
        settings = Settings(clients=clients)
        for name, key in keys.items():
            rows.append({"what": f"a token, {name}", "ms": round(asyncio.run(_gate(settings, key, repeats)), 3)})
    return rows


async def _gate(settings: Settings, key: PrivateKey, repeats: int) -> float:
    gate, signer, here = open_gate(settings), Signer(key, ISSUER, BASE + PATH), Audience((PATH,), (BASE,))
    if gate is None:
        raise RuntimeError("the settings name clients")
    spent = []
    for token in [signer() for _ in range(repeats)]:
        began = time.perf_counter()
        await gate.admit(Credentials((f"Bearer {token}",)), here, "evaluate")
        spent.append(time.perf_counter() - began)
    return median(spent) * 1e3


async def _headers(repeats: int) -> float:
    """What the middleware adds to an app that answers at once."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nowhere(message: Any) -> None:
        pass

    async def spent(called: Any) -> float:
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            await called({"type": "http", "headers": []}, None, nowhere)
            times.append(time.perf_counter() - began)
        return median(times) * 1e3

    return await spent(SecurityHeaders(app, hsts=True)) - await spent(app)
