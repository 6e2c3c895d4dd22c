"""The HTTP server under the CDS Hooks app: uvicorn in our event loop, without its signal handlers and access log."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn

from cds_service.backend import Backend
from cds_service.config import Settings
from cds_service.hooks import assembly, protocol, tls
from cds_service.hooks.app import create_app
from cds_service.hooks.fhir_client import FhirClient
from cds_service.listening import listening


class _Server(uvicorn.Server):
    """Signals are the service's: it ends all doors together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpDoor:
    """uvicorn over one backend."""

    name = "HTTP"

    def __init__(self, backend: Backend, bound: socket.socket, secured: tls.Secured) -> None:
        self._socket, self._secured = bound, secured
        self.port: int = bound.getsockname()[1]
        self._client = FhirClient(backend.settings, backend.authorities)
        app = create_app(
            backend,
            self._client,
            routes=assembly.routes(backend),
            around=assembly.around(backend),
            within=assembly.within(backend),
        )
        config = uvicorn.Config(
            app,
            loop="none",
            http=tls.WithCertificate,
            ssl_context_factory=None if secured.listening is None else self._context,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # what it logs of a request holds the request's address, and errors their text
            access_log=False,
            proxy_headers=False,
            limit_concurrency=protocol.MAX_CONNECTIONS,
            timeout_keep_alive=protocol.KEEP_ALIVE_S,
            server_header=False,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def bound(cls, backend: Backend) -> HttpDoor:
        """A door that listens on ``settings.host:http_port`` but doesn't serve yet.

        Raises:
            ConfigError: it can't listen there, or a certificate doesn't hold.
        """
        secured = tls.Secured(backend.settings)
        return cls(backend, _bind(backend.settings), secured)

    def _context(self, config: uvicorn.Config, default: object) -> ssl.SSLContext:
        assert self._secured.listening is not None  # noqa: S101 - else this isn't given to uvicorn
        return self._secured.listening

    def reload(self) -> None:
        """Reads the files of TLS again, for connections to come.

        Raises:
            ConfigError: one doesn't hold; what was is kept.
        """
        self._secured.reload()

    def unbind(self) -> None:
        """Frees the address, also where the door never served."""
        self._socket.close()

    async def start(self) -> None:
        """Takes requests; ``/readyz`` says 503 until the backend is ready."""
        self._task = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)

    async def ready(self) -> None:
        """Nothing to do: ``/readyz`` looks at the backend."""

    async def not_well(self) -> None:
        """Nothing to do: ``/readyz`` looks at the backend."""

    async def not_ready(self) -> None:
        """Nothing to do: ``/readyz`` looks at the backend."""

    async def stop(self, grace: float) -> None:
        """Takes no more connections; running requests may go on for ``grace`` seconds."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace))
        self._server.should_exit = True
        await self._task
        await self._client.close()


def _bind(settings: Settings) -> socket.socket:
    found = listening(settings, "http_port")
    # Inherited by each connection: an answer's head and body are two writes, and the second would wait for the client's
    # delayed acknowledgement of the first, 40 ms.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.setblocking(False)
    return found
