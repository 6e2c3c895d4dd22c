"""A real server on loopback, and pipelines that do as a test tells them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cds_service.config import Settings
from cds_service.pipeline import Evaluation, Pipeline, Work
from cds_service.rpc.servicer import SERVICE
from cds_service.serving import Running, running
from cds_service.telemetry.names import STREAM_ITEM
from cds_service.telemetry.setup import setup
from fhir_adapter import catalog


@dataclass
class Gated:
    """The real pipeline behind a gate: it says when work has begun and goes on when told, or when its caller is gone."""

    inner: Pipeline
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    calls: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def evaluate(self, bundle: bytes, *, language: str | None = None, work: Work | None = None) -> Evaluation:
        self.calls += 1
        self.begun.release()
        while not self.gate.wait(0.01):
            if work is not None and work.cancelled():
                self.stopped.set()
                work.check()
        if self.error is not None:
            raise self.error
        return self.inner.evaluate(bundle, language=language, work=work)


class Endings(SpanProcessor):
    """Lets a test wait until spans of a name have ended."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._changed = threading.Condition()

    def on_end(self, span: ReadableSpan) -> None:
        with self._changed:
            self._names.append(span.name)
            self._changed.notify_all()

    def wait(self, name: str, count: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._names.count(name) >= count, timeout=20)


@dataclass
class Served:
    """A running server, what it exports, and its pipeline."""

    server: Running
    spans: InMemorySpanExporter
    metrics: InMemoryMetricReader
    pipeline: Any
    endings: Endings

    async def ended(self, method: str, count: int = 1) -> None:
        """Waits until that many calls of a method (or items of streams) have ended at the server."""
        name = method if method == STREAM_ITEM else f"{SERVICE}/{method}"
        assert await asyncio.to_thread(self.endings.wait, name, count), f"{name} didn't end"

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def gated() -> Gated:
    return Gated(Pipeline(Settings(engine="none"), catalog.load()))


@pytest.fixture
def serve() -> Serve:
    """Starts a server with given settings, and its pipeline (default: the real one)."""

    @asynccontextmanager
    async def start(pipeline: Any = None, **given: Any) -> AsyncIterator[Served]:
        settings = Settings(**({"doors": "grpc", "port": 0, "engine": "none", "drain_grace_s": 2.0} | given))
        spans, metrics = InMemorySpanExporter(), InMemoryMetricReader()
        endings = Endings()
        telemetry = setup(settings, processors=[SimpleSpanProcessor(spans), endings], readers=[metrics])
        pipeline = pipeline or Pipeline(settings, catalog.load())
        async with running(settings, pipeline, telemetry=telemetry) as server:
            yield Served(server, spans, metrics, pipeline, endings)

    return start
