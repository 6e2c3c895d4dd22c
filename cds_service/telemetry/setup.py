"""Spans and metrics of the service, behind one object that lets only allowed attributes out."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import Histogram, NoOpMeterProvider
from opentelemetry.metrics import MeterProvider as MeterProviderApi
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cds_service.config import Settings
from cds_service.inference.batcher import Pass
from cds_service.pipeline import Evaluation
from cds_service.telemetry import names
from cds_service.telemetry.guard import METHODS, Attribute, allowed
from cds_service.telemetry.instruments import instruments
from fhir_adapter.errors import DEGRADED_REASONS, EngineError


class Telemetry:
    """Tracer and instruments of one service. Made by :func:`setup`; ``shutdown`` flushes."""

    def __init__(self, tracing: TracerProvider | None, metering: MeterProviderApi) -> None:
        self._tracing, self._metering = tracing, metering
        self._off = tracing is None and isinstance(metering, NoOpMeterProvider)
        self._tracer = (tracing or trace.NoOpTracerProvider()).get_tracer(names.SCOPE)
        self._propagator = TraceContextTextMapPropagator()
        self._made = instruments(metering.get_meter(names.SCOPE))

    def attributes(self, attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
        """The allowed ones; what is dropped is counted."""
        kept = allowed(attributes)
        if len(kept) < len(attributes):
            self._made.dropped.add(len(attributes) - len(kept))
        return kept

    @contextmanager
    def call(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Iterator[Call]:
        """The span of one call, child of the caller's trace. The Call's ending is written when the block ends.

        Of what the caller sends only ``traceparent`` is read: it is hexadecimal; ``tracestate`` is free text.
        """
        carrier = {key: value for key, value in metadata if isinstance(value, str) and key == "traceparent"}
        parent = self._propagator.extract(carrier, otel_context.Context())
        base = self.attributes({names.RPC_SYSTEM: "grpc", names.RPC_METHOD: method})
        span = self._tracer.start_span(method, context=parent, kind=SpanKind.SERVER, attributes=base)
        yield from self._watched(Call(self, method, span), base, self._made.call_duration)

    @contextmanager
    def request(self, method: str, traceparent: str | None) -> Iterator[Call]:
        """The span of one HTTP request, child of the caller's trace; its route is given by :meth:`Call.routed` once known."""
        known = method if method in METHODS else "_OTHER"
        parent = self._propagator.extract(
            {} if traceparent is None else {"traceparent": traceparent}, otel_context.Context()
        )
        base = self.attributes({names.HTTP_METHOD: known})
        span = self._tracer.start_span(known, context=parent, kind=SpanKind.SERVER, attributes=base)
        yield from self._watched(Call(self, known, span, http=True), base, self._made.request_duration)

    @contextmanager
    def item(self, stream: Call) -> Iterator[Call]:
        """The span of one bundle of a stream, child of the stream's own, with an ending of its own."""
        base = self.attributes({names.RPC_SYSTEM: "grpc", names.RPC_METHOD: stream.method})
        parent = trace.set_span_in_context(stream.span, otel_context.Context())
        span = self._tracer.start_span(names.STREAM_ITEM, context=parent, attributes=base)
        yield from self._watched(Call(self, stream.method, span, client=stream.client), base, self._made.item_duration)

    def _watched(self, call: Call, base: dict[str, Attribute], duration: Histogram) -> Iterator[Call]:
        began = time.perf_counter()
        try:
            yield call
        finally:
            seconds = time.perf_counter() - began
            ending = call.ending()
            if call.error:
                ending[names.ERROR_TYPE] = call.error
                self._made.errors.add(1, self.attributes({names.ERROR_TYPE: call.error}))
            ending = self.attributes(ending)
            call.span.set_attributes(ending)
            call.span.set_status(Status(StatusCode.OK if call.well else StatusCode.ERROR))
            call.span.end()
            duration.record(seconds, {**base, **ending})
            self._made.requests.add(1, {**base, **ending})

    def step(self, parent: Span, step: str) -> AbstractContextManager[None]:
        """The span of one pipeline step and its latency."""
        return nullcontext() if self._off else self._step_span(parent, step)

    @contextmanager
    def _step_span(self, parent: Span, step: str) -> Iterator[None]:
        attributes = self.attributes({names.STEP: step})
        span = self._tracer.start_span(
            step, context=trace.set_span_in_context(parent, otel_context.Context()), attributes=attributes
        )
        began = time.perf_counter()
        try:
            yield
        except BaseException as error:
            code = getattr(error, "code", None)
            kind = code if isinstance(code, str) else type(error).__name__
            span.set_attributes(self.attributes({names.ERROR_TYPE: kind}))
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.end()
            self._made.step_duration.record(time.perf_counter() - began, attributes)

    @contextmanager
    def fetch(self, parent: Span) -> Iterator[Fetch]:
        """The span of one GET from an EHR's FHIR server: method and status, neither its address nor what is asked."""
        attributes = self.attributes({names.HTTP_METHOD: "GET"})
        context = trace.set_span_in_context(parent, otel_context.Context())
        span = self._tracer.start_span(names.FETCH, context=context, kind=SpanKind.CLIENT, attributes=attributes)
        began = time.perf_counter()
        fetch = Fetch()
        ending: dict[str, Attribute] = {}
        try:
            yield fetch
        except BaseException as error:
            ending = self.attributes({names.ERROR_TYPE: type(error).__name__})
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            if fetch.status is not None:
                ending |= self.attributes({names.HTTP_STATUS: fetch.status})
            span.set_attributes(ending)
            span.end()
            self._made.fetch_duration.record(time.perf_counter() - began, {**attributes, **ending})

    def counted(self, evaluation: Evaluation) -> Counts | None:
        """What :meth:`found` tells of an evaluation, which need not be kept for it; None where nobody would read it."""
        if self._off:
            return None
        verdict = evaluation.verdict
        return Counts(
            Counter((flag.code, flag.source) for flag in verdict.flags),
            Counter(entry.code for entry in verdict.not_assessed),
            evaluation.observations,
            len(evaluation.cards),
            evaluation.language,
            None if verdict.model is None else verdict.model.name,
            verdict.degraded,
        )

    def found(self, span: Span, counts: Counts) -> None:
        """Tells what was found: codes and reasons, nothing of the results."""
        found: dict[str, Attribute] = {
            names.OBSERVATIONS: counts.observations,
            names.FLAGS: counts.flags.total(),
            names.CARDS: counts.cards,
            names.LANGUAGE: counts.language,
            names.DEGRADED: bool(counts.degraded),
        }
        if counts.model is not None:
            found[names.MODEL] = counts.model
        if counts.degraded:
            why = DEGRADED_REASONS.get(counts.degraded, EngineError.code)
            found[names.DEGRADED_REASON] = why
            self._made.degradations.add(1, self.attributes({names.DEGRADED_REASON: why}))
        span.set_attributes(self.attributes(found))
        for (flagged, source), count in counts.flags.items():
            self._made.flags.add(count, self.attributes({names.CODE: flagged, names.SOURCE: source}))
        for reason, count in counts.not_assessed.items():
            self._made.not_assessed.add(count, self.attributes({names.REASON: reason}))

    def passed(self, seen: Pass) -> None:
        """One pass of the model."""
        self._made.pass_duration.record(seen.seconds)
        self._made.pass_requests.record(seen.requests)
        self._made.pass_tokens.record(seen.tokens)

    def running(self, change: int) -> None:
        self._made.in_flight.add(change)

    def waiting(self, change: int) -> None:
        self._made.queued.add(change)

    def shutdown(self) -> None:
        """Flushes and stops the exporters."""
        if self._tracing is not None:
            self._tracing.shutdown()
        if isinstance(self._metering, MeterProvider):
            self._metering.shutdown()


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are of each (code, source) among the flags and of each reason among what was not assessed, and what else
    a span says of an answer."""

    flags: Counter[tuple[str, str]]
    not_assessed: Counter[str]
    observations: int
    cards: int
    language: str
    model: str | None = None
    degraded: str | None = None


@dataclass(slots=True)
class Fetch:
    """One request to a FHIR server; ``status`` is that of its last answer."""

    status: int | None = None


@dataclass(slots=True)
class Call:
    """One call while it runs; ``status`` is a gRPC status name, or with ``http`` an HTTP status; ``error`` is a stable
    error code. A call that nobody ended was cancelled."""

    telemetry: Telemetry
    method: str
    span: Span
    status: str = "CANCELLED"
    error: str | None = "cancelled"
    http: bool = False
    route: str | None = None
    client: str | None = None

    def observe(self, step: str) -> AbstractContextManager[None]:
        """For ``pipeline.Work``."""
        return self.telemetry.step(self.span, step)

    def fetching(self) -> AbstractContextManager[Fetch]:
        """A span around one request to a FHIR server."""
        return self.telemetry.fetch(self.span)

    def routed(self, route: str) -> None:
        """The template of the route that an HTTP request took ("/cds-services/{id}"), never its path."""
        self.route = route
        self.span.update_name(f"{self.method} {route}")

    def end(self, status: str, error: str | None = None) -> None:
        self.status, self.error = status, error

    @property
    def well(self) -> bool:
        """Whether the server did its part: an HTTP request that was the caller's fault is no error of the server's."""
        return self.status < "5" if self.http and self.status.isdigit() else self.status == "OK"

    def ending(self) -> dict[str, Attribute]:
        """The attributes that are known at the end."""
        found: dict[str, Attribute] = {}
        if not self.http:
            found[names.RPC_STATUS] = self.status
        elif self.status.isdigit():
            found[names.HTTP_STATUS] = int(self.status)
        if self.route is not None:
            found[names.HTTP_ROUTE] = self.route
        if self.client is not None:
            found[names.CLIENT] = self.client
        return found

    @property
    def trace_id(self) -> str:
        """32 hex digits, or empty where tracing is off."""
        context = self.span.get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else ""


def setup(
    settings: Settings, *, processors: Sequence[SpanProcessor] = (), readers: Sequence[MetricReader] = ()
) -> Telemetry:
    """Telemetry as set: off, to the console (stderr), or to an OTLP collector. ``processors`` and ``readers`` add to it."""
    processors, readers = list(processors), list(readers)
    interval = settings.metric_interval_s * 1000
    if settings.telemetry == "console":
        processors.append(BatchSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
        readers.append(PeriodicExportingMetricReader(ConsoleMetricExporter(out=sys.stderr), interval))
    elif settings.telemetry == "otlp":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        insecure = settings.otlp_insecure or settings.otlp_endpoint.startswith("http://")
        processors.append(BatchSpanProcessor(OTLPSpanExporter(settings.otlp_endpoint, insecure)))
        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter(settings.otlp_endpoint, insecure), interval))
    if not processors and not readers:
        return Telemetry(None, NoOpMeterProvider())
    resource = Resource.create({"service.name": "labcue", "service.version": version("labcue")})
    tracing = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)), resource=resource, shutdown_on_exit=False
    )
    for processor in processors:
        tracing.add_span_processor(processor)
    return Telemetry(tracing, MeterProvider(readers, resource=resource, shutdown_on_exit=False))
